//! What the operating system says of the process behind a caller. Best effort, and labelled `inferred` wherever it
//! is used: a process id may have been given to another process since the connection was made.

use std::fs::File;
use std::io::Read as _;

use recorder::{Client, Peer};

/// Longest `/proc/<pid>/stat` that is read.
const STAT_MAX_BYTES: u64 = 4_096;
/// Longest program path that is recorded.
const EXE_MAX_BYTES: usize = 4_096;

/// The client of a caller: the process that started it.
///
/// The caller's own claim about its parent is only compared with what the kernel says: where they differ (a process
/// in between, another process id space) nothing is said.
pub(crate) fn client_of(peer: Peer, claimed_parent: u32) -> Client {
    let nothing = Client { pid: None, start: None, exe: None };
    let Some(parent) = peer.pid.and_then(stat).map(|stat| stat.parent) else { return nothing };
    if u32::try_from(parent) != Ok(claimed_parent) {
        return nothing;
    }
    let Some(known) = stat(parent) else { return nothing };
    Client { pid: Some(parent), start: Some(known.start), exe: program(parent) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// Clock ticks from boot to its start; with the process id, the name of a process.
    start: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let mut text = String::new();
    let file = File::open(format!("/proc/{pid}/stat")).ok()?;
    file.take(STAT_MAX_BYTES).read_to_string(&mut text).ok()?;
    parse(&text)
}

/// proc(5): `pid (name) state ppid … starttime …`, fields 4 and 22. The name may hold anything, so what follows the
/// last parenthesis is read.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split_ascii_whitespace();
    let parent = words.nth(1)?.parse().ok()?;
    let start = words.nth(17)?.parse().ok()?;
    Some(Stat { parent, start })
}

fn program(pid: i32) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_string_lossy().into_owned();
    (text.len() <= EXE_MAX_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_cannot_forge_the_fields_behind_it() {
        let line = "7 (a) S 1 (b) ) R 42 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4711 23 24";
        assert_eq!(parse(line), Some(Stat { parent: 42, start: 4711 }));
        assert_eq!(parse("7 (a) S"), None);
        assert_eq!(parse("7 a S 1"), None);
    }

    #[test]
    fn the_parent_is_told_where_the_claim_agrees() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let own = std::process::id();
        let peer = Peer { uid: 0, pid: i32::try_from(child.id()).ok() };
        let client = client_of(peer, own);
        assert_eq!(client.pid, i32::try_from(own).ok());
        assert!(client.start.is_some());
        assert_eq!(client.exe, std::env::current_exe().ok().map(|exe| exe.to_string_lossy().into_owned()));
        assert_eq!(client_of(peer, own + 1), Client { pid: None, start: None, exe: None });
        assert_eq!(client_of(Peer { uid: 0, pid: None }, own).pid, None);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
