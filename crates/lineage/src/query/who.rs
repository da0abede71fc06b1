//! Whom a name stands for: a principal, a holder, a key, a delegation or a run.

use evidence::id;
use rusqlite::{Connection, params};

use super::chains::interned;
use super::run_row;
use crate::fold::{Dim, sql};
use crate::limits::NAMES_MAX;

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

/// Whose actions, by columns of `actions`; the same names.
pub(crate) fn whose_actions(db: &Connection, name: &str) -> rusqlite::Result<Named> {
    let mut columns = run_or_token(db, name)?;
    let names = names(db, name)?;
    let cut = names.len() > NAMES_MAX;
    let column = |kind: u8| if kind == Dim::Principal as u8 { "principal" } else { "holder" };
    columns.extend(names.into_iter().take(NAMES_MAX).map(|(kind, id)| (column(kind), id)));
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

fn names(db: &Connection, name: &str) -> rusqlite::Result<Vec<(u8, i64)>> {
    db.prepare_cached("SELECT kind, id FROM names WHERE name = ?1 LIMIT ?2")?
        .query_map(params![name, sql(NAMES_MAX as u64 + 1)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
