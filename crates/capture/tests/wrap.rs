//! The proxy against a real child process and a real server of the API over a Unix socket: what passes, what is
//! decided, in which order, and what each kind of trouble leaves behind. The client of the API has its tests here
//! too, against the same server.

#[cfg(test)]
mod support;

#[cfg(test)]
mod wrap {
    mod calls;
    mod client;
    mod ends;
    mod frames;
    mod given;
    mod presented;
    mod server_away;
    mod storm;
}
