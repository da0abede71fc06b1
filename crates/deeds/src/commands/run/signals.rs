//! Signals that ask this process to end, handed on to the command.

use std::fs::File;

use anyhow::Context as _;
use capture::command::Signal;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

/// What a terminal sends to all processes in front at once (Ctrl-C, Ctrl-\).
const FROM_TERMINAL: [SignalKind; 2] = [SignalKind::interrupt(), SignalKind::quit()];

/// Tells of each signal that asks to end. Those that this process was started to ignore (`nohup`) stay ignored, also by
/// the command.
pub(super) fn listen(tell: &UnboundedSender<Signal>) -> anyhow::Result<()> {
    let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    let [interrupt, quit] = FROM_TERMINAL;
    for kind in [SignalKind::hangup(), interrupt, quit, SignalKind::terminate()] {
        let number = kind.as_raw_value();
        if ignored & (1 << (number - 1)) != 0 {
            continue;
        }
        let mut signals = signal(kind).with_context(|| format!("cannot wait for the signal {number}"))?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let shared = FROM_TERMINAL.contains(&kind) && is_in_front();
                if tell.send(Signal { number, shared }).is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Whether our process group is the one that a terminal sends its signals to. The command is in the same group.
fn is_in_front() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|front| front == getpgrp()))
}

/// Bit mask of the ignored signals in a Linux process status; nothing where there is none.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n"), 0x1001);
        assert_eq!((ignored(""), ignored("SigIgn:\tzz\n")), (0, 0));
    }
}
