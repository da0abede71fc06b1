//! In which direction the configuration of a client changed: whether a server there is wrapped since.
//!
//! An entry says no more than the digests of the command line before and after. But a server is watched from when it
//! was wrapped on, and a change is recorded when it no longer is, or is again: so the changes of one server alternate,
//! as long as each begins with what the one before it ended with.

use evidence::definition::CLIENT_CONFIG;
use evidence::id;
use rusqlite::{Connection, params};

use super::At;
use super::run::at;
use crate::answer::Margin;
use crate::error::LineageError;
use crate::fold::definitions::what;
use crate::fold::sql;
use crate::index::Index;
use crate::limits::REWIRED_MAX;
use crate::record::Record;

/// Digests of a command line before and after a change; nothing where the server was not there.
type Change = (Option<String>, Option<String>);

/// A change of one server and those before it, latest first.
const CHANGES: &str = "SELECT idx, leaf FROM changes INDEXED BY changes_run
    WHERE run = ?1 AND idx <= ?2 AND what = ?3 AND name = ?4 ORDER BY idx DESC LIMIT ?5";

impl Index {
    /// Whether a server of a client is wrapped since this change; nothing for an entry of another kind, and where its
    /// predecessors do not show it.
    pub(super) fn wrapped_since(
        &self,
        record: &Record,
        margin: &mut Margin,
    ) -> Result<Option<bool>, LineageError> {
        if record.text("what").as_deref() != Some(CLIENT_CONFIG) {
            return Ok(None);
        }
        let Some(name) = record.text("name") else { return Ok(None) };
        let mark = self.mark(&name);
        let found = self.read(|db, _| changes(db, record.index, mark))?;
        let cut = u64::try_from(found.len()).unwrap_or(u64::MAX) >= REWIRED_MAX;
        let mut list = Vec::new();
        for at in found {
            let Some(record) = self.expect(at, margin)? else { return Ok(None) };
            list.push((record.text("old"), record.text("new")));
        }
        Ok(direction(&list, cut))
    }
}

/// Of changes of one server, latest first, whether it is wrapped since the latest; `cut`: there may be more.
fn direction(changes: &[Change], cut: bool) -> Option<bool> {
    let (latest, before) = changes.split_first()?;
    match latest {
        // what is not there is not wrapped
        (_, None) => return Some(false),
        (None, Some(_)) => return Some(true),
        _ => {}
    }
    match before.first() {
        // written down twice, after a crash in between
        Some(same) if same == latest => direction(before, cut),
        Some((_, new)) if *new == latest.0 => direction(before, cut).map(|wrapped| !wrapped),
        // it was wired again in between, or for the first time: as which it is watched
        Some(_) => Some(false),
        None => (!cut).then_some(false),
    }
}

fn changes(db: &Connection, index: u64, mark: i64) -> rusqlite::Result<Vec<At>> {
    let Some(run) = super::run_row(db, &id::LOG_LEVEL)? else { return Ok(Vec::new()) };
    db.prepare_cached(CHANGES)?
        .query_map(params![run, sql(index), what::CLIENT, mark, sql(REWIRED_MAX)], at)?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Option<bool> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let list: Vec<Change> = pairs.iter().map(|(old, new)| (text(old), text(new))).collect();
        direction(&list, false)
    }

    #[test]
    fn changes_of_one_server_alternate() {
        // latest first: `w` wrapped, `p` plain
        for (changes, wrapped) in [
            (&[("w", "p")][..], false),
            (&[("p", "w"), ("w", "p")], true),
            (&[("w", "q"), ("p", "w"), ("w", "p")], false),
            // the same change twice
            (&[("w", "p"), ("w", "p")], false),
            (&[("p", "w"), ("p", "w"), ("w", "p")], true),
            // taken away, put back as it was, replaced
            (&[("w", "")], false),
            (&[("", "w"), ("w", "")], true),
            (&[("w", "p"), ("", "w"), ("w", "")], false),
            // wired anew with other words, which nobody recorded
            (&[("v", "p"), ("w", "p")], false),
        ] {
            assert_eq!(of(changes), Some(wrapped), "{changes:?}");
        }
        assert_eq!(of(&[]), None);
        let one = [(Some("a".to_owned()), Some("b".to_owned()))];
        assert_eq!((direction(&one, false), direction(&one, true)), (Some(false), None));
    }

    #[test]
    fn changes_of_one_server_are_found_by_their_run() {
        let plan = crate::schema::plan(&crate::schema::in_memory(), CHANGES);
        assert!(plan.contains("changes_run") && !plan.contains("TEMP"), "{plan}");
    }
}
