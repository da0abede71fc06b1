//! Delegations and mandates: one row per entry that carries one, and one per token at its first entry.

use evidence::delegation::{Link, Mandate};
use evidence::id;
use evidence::jws::{self, Signed};
use evidence::{Entry, Scope};
use rusqlite::{OptionalExtension as _, params};

use super::{Dim, Folder, HolderIds, Result, sql};
use crate::record::Record;

/// What a link of the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LinkKind {
    Mandate = 0,
    Root = 1,
    Child = 2,
}

impl LinkKind {
    /// The kind that a column holds.
    pub(crate) fn of(code: i64) -> Option<Self> {
        [Self::Mandate, Self::Root, Self::Child].into_iter().find(|kind| i64::from(*kind as u8) == code)
    }

    /// The word in answers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Mandate => "mandate",
            Self::Root => "root",
            Self::Child => "child",
        }
    }
}

/// A token as far as the fold reads it. Nothing of it was checked: queries read the entry again, and check.
struct Token {
    digest: String,
    kind: LinkKind,
    /// Token digest of the delegation above, or of the mandate.
    parent: Option<String>,
    key: Option<String>,
    txn: Option<id::Id>,
    iat: u64,
    exp: u64,
    glass: bool,
    /// Thumbprints of the keys that signed request and mandate.
    sources: Vec<String>,
    scope: Scope,
}

impl Folder<'_> {
    /// A delegation in a run, or a mandate at log level.
    pub(super) fn delegated(&mut self, record: &Record, entry: &Entry, run: i64) -> Result<()> {
        // a mandate stands at log level, a delegation in a run; elsewhere neither counts
        let read = if entry.run == id::LOG_LEVEL { mandate } else { delegation };
        let token = record.text("token").and_then(|token| read(&token));
        let digest = token.as_ref().map(|token| token.digest.clone()).or_else(|| record.text("digest"));
        let id = digest.map(|digest| self.text(Dim::Token, &digest)).transpose()?.flatten();
        self.tx.prepare_cached("INSERT INTO delegations VALUES(?1, ?2, ?3, ?4)")?.execute(params![
            sql(record.index),
            record.leaf,
            id,
            run
        ])?;
        let principal = self.named_principal(record)?;
        let holder = self.holder(record)?;
        if let Some(principal) = principal {
            self.saw(Dim::Principal, principal, entry, record.index);
        }
        if let Some(holder) = &holder {
            self.saw_holder(holder, entry, record.index);
        }
        let (Some(token), Some(id)) = (token, id) else { return Ok(()) };
        for key in &token.sources {
            if let Some(key) = self.text(Dim::Key, key)? {
                self.saw(Dim::Key, key, entry, record.index);
            }
        }
        self.link(&token, id, record, (principal, holder))
    }

    /// The first entry of a token makes its row.
    fn link(
        &mut self,
        token: &Token,
        id: i64,
        record: &Record,
        (principal, holder): (Option<i64>, Option<HolderIds>),
    ) -> Result<()> {
        let parent = token.parent.as_deref().map(|above| self.known_link(above)).transpose()?.flatten();
        let key = token.key.as_deref().map(|key| self.text(Dim::Key, key)).transpose()?.flatten();
        let task = token.txn.map(|txn| self.text(Dim::Task, &id::text(&txn))).transpose()?.flatten();
        let holder_id = holder.map(|holder| holder.id);
        let new = self
            .tx
            .prepare_cached(
                "INSERT OR IGNORE INTO links VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                id,
                sql(record.index),
                record.leaf,
                token.kind as u8,
                parent,
                holder_id,
                key,
                principal,
                task,
                sql(token.iat),
                sql(token.exp),
                token.glass,
            ])?;
        if new == 0 {
            return Ok(());
        }
        for source in &token.sources {
            if let Some(source) = self.text(Dim::Key, source)? {
                self.tx
                    .prepare_cached("INSERT OR IGNORE INTO sources VALUES(?1, ?2)")?
                    .execute([id, source])?;
            }
        }
        if token.kind == LinkKind::Mandate {
            return Ok(());
        }
        for tool in token.scope.tools() {
            let Some(tool) = self.text(Dim::Tool, tool)? else { continue };
            for (what, id) in [(Dim::Principal, principal), (Dim::Holder, holder_id), (Dim::Key, key)] {
                if let Some(id) = id {
                    self.tx
                        .prepare_cached("INSERT OR IGNORE INTO granted VALUES(?1, ?2, ?3)")?
                        .execute(params![what as u8, id, tool])?;
                }
            }
        }
        Ok(())
    }

    /// A token that has a row already. What is above one comes before it, or is not in the log.
    fn known_link(&self, digest: &str) -> Result<Option<i64>> {
        self.tx
            .prepare_cached(
                "SELECT links.token FROM links JOIN dict ON dict.id = links.token WHERE dict.kind = ?1 AND dict.val = ?2",
            )?
            .query_row(params![Dim::Token as u8, digest], |row| row.get(0))
            .optional()
    }

    /// A run announces another one that goes on below a delegation of its own.
    pub(super) fn child_started(&mut self, record: &Record, run: i64) -> Result<()> {
        let Some(child) = record.id("child") else { return Ok(()) };
        let child = self.run(&child)?;
        let token =
            record.text("delegation").map(|digest| self.text(Dim::Token, &digest)).transpose()?.flatten();
        self.tx
            .prepare_cached("INSERT INTO children VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute(params![sql(record.index), record.leaf, run, child, token])
            .map(|_| ())
    }
}

fn delegation(token: &str) -> Option<Token> {
    let signed = Signed::parse(token, jws::DELEGATION).ok()?;
    let link = Link::parse(signed.unverified()).ok()?;
    let source = link.as_root().map(|root| &root.source);
    let mandate = source.and_then(evidence::delegation::Source::mandate).map(|named| named.digest.clone());
    Some(Token {
        digest: signed.digest(),
        kind: if link.as_root().is_some() { LinkKind::Root } else { LinkKind::Child },
        parent: link.parent().map(str::to_owned).or(mandate),
        key: Some(link.cnf().thumbprint()),
        txn: Some(*link.txn()),
        iat: link.iat(),
        exp: link.exp(),
        glass: link.purpose() == evidence::delegation::BREAK_GLASS,
        sources: source.map(|source| source.keys().map(str::to_owned).collect()).unwrap_or_default(),
        scope: link.scope().clone(),
    })
}

fn mandate(token: &str) -> Option<Token> {
    let signed = Signed::parse(token, jws::MANDATE).ok()?;
    let mandate = Mandate::parse(signed.unverified()).ok()?;
    Some(Token {
        digest: signed.digest(),
        kind: LinkKind::Mandate,
        parent: None,
        key: None,
        txn: None,
        iat: mandate.iat,
        exp: mandate.exp,
        glass: false,
        sources: vec![signed.kid().to_owned()],
        scope: mandate.scope,
    })
}
