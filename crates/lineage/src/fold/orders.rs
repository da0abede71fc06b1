//! Revocations and halts: rows by what they are about, so that those of a chain are found without reading all.

use evidence::delegation::{On, Target, What};
use evidence::jws::{self, Signed};
use evidence::{Entry, Principal, id};
use rusqlite::params;

use super::{Dim, Folder, Result, principal_text, sql};
use crate::record::Record;

/// `what` of a halt that stops the chains with a holder.
pub(crate) const HALT_AGENT: &str = "agent";
/// `what` of a halt that stops the chains of a principal.
pub(crate) const HALT_PRINCIPAL: &str = "principal";
/// `what` of a halt that stops every chain.
pub(crate) const HALT_ALL: &str = "all";

impl Folder<'_> {
    pub(super) fn revoked(&mut self, record: &Record, entry: &Entry) -> Result<()> {
        if entry.run != id::LOG_LEVEL {
            return Ok(());
        }
        self.order_by(record, entry, jws::REVOCATION)?;
        let what = record.text("what").and_then(|what| What::parse(&what));
        let target = what.and_then(|what| Target::from_json(&record.value("target")?, what).ok());
        self.tx
            .prepare_cached("INSERT INTO revocations VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                sql(record.index),
                record.leaf,
                what.map(What::as_str),
                target.as_ref().map(target_text),
                record.number("eff").map(sql),
                sql(entry.observed_ms),
            ])
            .map(|_| ())
    }

    pub(super) fn halted_or_resumed(&mut self, record: &Record, entry: &Entry) -> Result<()> {
        if entry.run != id::LOG_LEVEL {
            return Ok(());
        }
        self.order_by(record, entry, jws::HALT)?;
        let resumed = record.text("change").as_deref() == Some("resumed");
        let on = record.value("on").and_then(|on| On::from_json(&on).ok()).filter(|_| !resumed);
        let (what, target) = match &on {
            Some(on) => (Some(on_key(on).0), Some(on_key(on).1)),
            None => (None, None),
        };
        self.tx
            .prepare_cached("INSERT INTO halts VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                sql(record.index),
                record.leaf,
                what,
                target,
                sql(entry.observed_ms),
                record.number("halt").filter(|_| resumed).map(sql),
            ])
            .map(|_| ())
    }

    /// Who gave the order, and the key that signed it.
    fn order_by(&mut self, record: &Record, entry: &Entry, typ: &str) -> Result<()> {
        if let Some(by) = record.typed::<Principal>("by")
            && let Some(id) = self.principal(&by)?
        {
            self.saw(Dim::Principal, id, entry, record.index);
        }
        let signed = record.text("token").and_then(|token| Signed::parse(&token, typ).ok());
        if let Some(signed) = signed
            && let Some(key) = self.text(Dim::Key, signed.kid())?
        {
            self.saw(Dim::Key, key, entry, record.index);
        }
        Ok(())
    }
}

/// How a target is written in the index.
pub(crate) fn target_text(target: &Target) -> String {
    match target {
        Target::Text(text) => text.clone(),
        Target::Principal { iss, sub } => principal_text(iss, sub),
    }
}

/// How what a halt stops is written in the index.
pub(crate) fn on_key(on: &On) -> (&'static str, String) {
    match on {
        On::Agent { id } => (HALT_AGENT, id.clone()),
        On::Principal { iss, sub } => (HALT_PRINCIPAL, principal_text(iss, sub)),
        On::All => (HALT_ALL, String::new()),
    }
}
