//! Approvals (`apv`): which tools need a person's yes as well, and whose (format §6).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::claims::{ClaimError, Claims, check};
use crate::limits::{APPROVAL_TOOLS_MAX, APPROVALS_MAX, APPROVERS_MAX, PRINCIPAL_ID_MAX_BYTES};
use crate::tool;

/// The `apv` of a delegation, a request or a mandate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// Tool URIs, each once; `<server>#*` names every tool of its server.
    pub tools: Vec<String>,
    /// How many approvals an act needs.
    pub m: u64,
    /// Who may approve.
    pub by: Vec<String>,
    /// How long an approval holds, seconds.
    pub ttl: u64,
}

impl Approvals {
    /// Whether an act of this tool needs approvals: its URI is named, or all tools of its server are.
    pub fn names(&self, uri: &str) -> bool {
        let Some((server, _)) = tool::split(uri) else { return false };
        let all = format!("{server}#{}", tool::ANY);
        self.tools.iter().any(|named| *named == uri || *named == all)
    }

    /// Whether these ask for no less than `parent`'s: every tool of it, no fewer, of no others, for no longer.
    pub fn within(&self, parent: &Self) -> bool {
        let includes = |all: &[String], some: &[String]| {
            let all: BTreeSet<&String> = all.iter().collect();
            some.iter().all(|one| all.contains(one))
        };
        includes(&self.tools, &parent.tools)
            && self.m >= parent.m
            && includes(&parent.by, &self.by)
            && self.ttl <= parent.ttl
    }

    /// Whether `child` keeps what `parent` asks for, where either may ask for nothing (format §6, Chain).
    pub fn kept(child: Option<&Self>, parent: Option<&Self>) -> bool {
        parent.is_none_or(|parent| child.is_some_and(|child| child.within(parent)))
    }

    /// The `apv` object.
    pub fn to_json(&self) -> Value {
        json!({"tools": self.tools, "m": self.m, "by": self.by, "ttl": self.ttl})
    }

    /// Reads an `apv` object.
    pub fn from_json(value: &Value) -> Result<Self, ClaimError> {
        let members = value.as_object().ok_or_else(|| Claims::wrong("apv", "an object"))?;
        let claims = Claims(members);
        let approvals = Self {
            tools: claims.texts("tools", APPROVAL_TOOLS_MAX, |uri| tool::split(uri).is_some())?,
            m: claims.number("m")?,
            by: claims.texts("by", APPROVERS_MAX, |by| (1..=PRINCIPAL_ID_MAX_BYTES).contains(&by.len()))?,
            ttl: claims.number("ttl")?,
        };
        let distinct: BTreeSet<&String> = approvals.tools.iter().collect();
        check(distinct.len() == approvals.tools.len(), "its approvals name a tool twice")?;
        check(
            (1..=APPROVALS_MAX).contains(&approvals.m),
            &format!("its approvals ask for `m` outside 1 to {APPROVALS_MAX}"),
        )?;
        check(members.len() == 4, "its approvals have a member that this version does not know")?;
        Ok(approvals)
    }

    pub(super) fn of(own: Claims<'_>) -> Result<Option<Self>, ClaimError> {
        own.0.get("apv").map(Self::from_json).transpose()
    }
}
