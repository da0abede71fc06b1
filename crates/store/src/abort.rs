//! The end of the process when going on could break a promise.

use std::fmt::Display;
use std::io::Write;

/// Says why, on stderr, and aborts. Used where the state on disk is in doubt or the caller's state may
/// have run ahead of the log: what was acknowledged is on disk, and start-up is recovery, so a new
/// process is the one way back to a known state.
pub(crate) fn fatal(problem: impl Display) -> ! {
    // not through `tracing`: nothing that buffers or may fail stands between this line and the reader.
    // A stderr that is gone must not keep the process alive.
    let line = format!(
        "deeds: the store stops this process: {problem}; start it again, it recovers what was acknowledged\n"
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
    std::process::abort();
}

/// While it is held, a panic ends the process. Held by each thread of the store for its whole life.
pub(crate) struct AbortOnPanic(pub(crate) &'static str);

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            fatal(format_args!("the {} panicked", self.0));
        }
    }
}
