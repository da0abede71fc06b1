//! begin, finish, observe: identify, decide, make durable, then let the act go.
