//! Whom a name stands for: a principal, a holder, a key, a delegation or a run.

use evidence::id;
use rusqlite::{Connection, params};

use super::chains::interned;
use super::run_row;
use crate::fold::{Dim, sql};
use crate::limits::{ALIKE_MAX, NAMES_MAX};

/// What selects the rows of somebody: a column of a table, and its value.
pub(crate) type Column = (&'static str, i64);

/// Everything that a name stands for.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Columns of `links` (`principal`, `holder`, `key`, `token`), or `run`.
    pub(crate) columns: Vec<Column>,
    /// There are more identities of the name than are looked for.
    pub(crate) cut: bool,
}

/// Whose delegations: `sub`, `<iss> <sub>`, a holder's id, a thumbprint, a token digest, or a run.
pub(crate) fn whose_links(db: &Connection, name: &str) -> rusqlite::Result<Named> {
    let mut columns = run_or_token(db, name)?;
    let key = interned(db, Dim::Key, name)?;
    let names = names(db, name)?;
    let cut = names.len() > NAMES_MAX;
    for (kind, id) in names.into_iter().take(NAMES_MAX) {
        if kind == Dim::Principal as u8 {
            columns.push(("principal", id));
        } else if key.is_none() {
            // the name of a key stands for what that key holds, not for all that its holder has
            columns.push(("holder", id));
        }
    }
    columns.extend(key.map(|key| ("key", key)));
    Ok(Named { columns, cut })
}

/// Whose actions, by columns of `actions`; the same names, and `<start>*` for everybody whose name begins like that:
/// the id of an agent that was not given one ends in a process.
pub(crate) fn whose_actions(db: &Connection, name: &str) -> rusqlite::Result<Named> {
    let mut columns = run_or_token(db, name)?;
    let mut names = names(db, name)?;
    let mut max = NAMES_MAX;
    if let Some(start) = name.strip_suffix('*').filter(|start| names.is_empty() && !start.is_empty()) {
        names = alike(db, start)?;
        max = usize::try_from(ALIKE_MAX).unwrap_or(usize::MAX);
    }
    let cut = names.len() > max;
    let column = |kind: u8| if kind == Dim::Principal as u8 { "principal" } else { "holder" };
    columns.extend(names.into_iter().take(max).map(|(kind, id)| (column(kind), id)));
    Ok(Named { columns, cut })
}

fn run_or_token(db: &Connection, name: &str) -> rusqlite::Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    if let Some(id) = id::parse(name) {
        columns.extend(run_row(db, &id)?.map(|run| ("run", run)));
    }
    columns.extend(interned(db, Dim::Token, name)?.map(|token| ("token", token)));
    Ok(columns)
}

/// Principals and holders whose names begin alike, those that were seen last first. No character is after the last one,
/// so what is greater than all that begin so is made of it.
const ALIKE: &str = "SELECT names.kind, names.id FROM names JOIN seen ON seen.what = names.kind AND seen.id = names.id
    WHERE name >= ?1 AND name < ?1 || char(0x10ffff) GROUP BY names.kind, names.id ORDER BY MAX(seen.last) DESC LIMIT ?2";

fn alike(db: &Connection, start: &str) -> rusqlite::Result<Vec<(u8, i64)>> {
    db.prepare_cached(ALIKE)?
        .query_map(params![start, sql(ALIKE_MAX + 1)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn names(db: &Connection, name: &str) -> rusqlite::Result<Vec<(u8, i64)>> {
    db.prepare_cached("SELECT kind, id FROM names WHERE name = ?1 LIMIT ?2")?
        .query_map(params![name, sql(NAMES_MAX as u64 + 1)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_a_range() {
        let plan = crate::schema::plan(&crate::schema::in_memory(), ALIKE);
        assert!(plan.contains("USING PRIMARY KEY (name>? AND name<?)"), "{plan}");
        assert!(!plan.contains("SCAN"), "{plan}");
    }
}
