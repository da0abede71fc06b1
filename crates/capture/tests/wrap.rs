//! The proxy against a real child process and a real server of the API over a Unix socket: what passes, what is
//! decided, in which order, and what each kind of trouble leaves behind. The client of the API has its tests here
//! too, against the same server.

#[cfg(test)]
mod support;

#[cfg(test)]
mod wrap {
    mod acts;
    mod asked;
    mod batches;
    mod calls;
    mod client;
    mod definitions;
    mod disguised;
    mod ends;
    mod files;
    mod frames;
    mod given;
    mod hostile;
    mod presented;
    mod retries;
    mod server_away;
    mod storm;
    mod tasks;
}
