//! Other processes: ending one and seeing that it is gone.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// A process id that a signal may be sent to: never a group, never process 1.
pub(crate) fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().filter(|number| *number > 1).and_then(Pid::from_raw)
}

/// Asks a process to end; fine when it is gone already.
pub(crate) fn terminate(pid: Pid) -> rustix::io::Result<()> {
    match kill_process(pid, Signal::TERM) {
        Err(Errno::SRCH) => Ok(()),
        other => other,
    }
}

/// Whether a process has ended. One that its parent has not waited for yet has ended too.
pub(crate) fn is_gone(pid: Pid) -> bool {
    if test_kill_process(pid) == Err(Errno::SRCH) {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // `pid (name) state …`; the name may hold anything, so the state is what follows the last parenthesis
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_gone_when_it_has_ended_even_if_nobody_waited() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let id = pid(child.id()).unwrap();
        assert!(!is_gone(id));
        terminate(id).unwrap();
        while !is_gone(id) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_gone(id));
        terminate(id).unwrap();
    }

    #[test]
    fn no_signal_goes_to_groups_or_to_the_first_process() {
        assert!(pid(0).is_none() && pid(1).is_none() && pid(u32::MAX).is_none());
    }
}
