//! One link of a chain, root or child, read the same way.

use serde_json::{Map, Value};

use super::{Approvals, Child, ClaimError, Root};
use crate::id::Id;
use crate::jws::Jwk;
use crate::principal::Holder;
use crate::scope::Scope;

/// A delegation of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The first.
    Root(Root),
    /// Every other.
    Child(Child),
}

macro_rules! common {
    ($($(#[$doc:meta])* $name:ident -> $type:ty = |$link:ident| $value:expr;)*) => {
        $($(#[$doc])* pub fn $name(&self) -> $type {
            match self {
                Self::Root($link) => $value,
                Self::Child($link) => $value,
            }
        })*
    };
}

impl Link {
    /// Reads the claims of a delegation and checks its own rules: a child if it has `par_hash`, else a root
    /// (format §6).
    pub fn parse(claims: &Map<String, Value>) -> Result<Self, ClaimError> {
        if claims.contains_key("par_hash") {
            Child::parse(claims).map(Self::Child)
        } else {
            Root::parse(claims).map(Self::Root)
        }
    }

    common! {
        /// UUID of the token.
        jti -> &str = |link| &link.jti;
        /// Seconds.
        iat -> u64 = |link| link.iat;
        /// Seconds.
        nbf -> u64 = |link| link.nbf;
        /// Seconds; the first second at which it no longer holds.
        exp -> u64 = |link| link.exp;
        /// The key it is bound to.
        cnf -> &Jwk = |link| &link.cnf;
        /// How deep the chain may grow.
        max_depth -> u64 = |link| link.max_depth;
        /// What it allows.
        scope -> &Scope = |link| &link.scope;
        /// The tenant.
        tenant -> &str = |link| &link.tenant;
        /// The task.
        txn -> &Id = |link| &link.txn;
        /// What for.
        purpose -> &str = |link| &link.purpose;
        /// Which acts need approvals as well.
        approvals -> Option<&Approvals> = |link| link.approvals.as_ref();
    }

    /// Links above it.
    pub fn depth(&self) -> u64 {
        self.as_child().map_or(0, |child| child.depth)
    }

    /// Who holds it, with the assurance that it can have (format §6, effective holder).
    pub fn holder(&self) -> Holder {
        match self {
            Self::Root(root) => root.holder.clone(),
            Self::Child(child) => child.effective_holder(),
        }
    }

    /// Where it may be used.
    pub fn audience(&self) -> &str {
        match self {
            Self::Root(root) => &root.issuer,
            Self::Child(child) => &child.audience,
        }
    }

    /// Token digest of its parent.
    pub fn parent(&self) -> Option<&str> {
        self.as_child().map(|child| child.parent.as_str())
    }

    /// The root, if it is one.
    pub fn as_root(&self) -> Option<&Root> {
        match self {
            Self::Root(root) => Some(root),
            Self::Child(_) => None,
        }
    }

    /// The child, if it is one.
    pub fn as_child(&self) -> Option<&Child> {
        match self {
            Self::Root(_) => None,
            Self::Child(child) => Some(child),
        }
    }
}
