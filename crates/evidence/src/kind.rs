//! Kinds of entries, vantages and the field registry (format §2, §4, §5).

macro_rules! kinds {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// What an entry records (format §4).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $(#[doc = $text] $name = $code,)* }

        impl Kind {
            /// All kinds in code order.
            pub const ALL: &[Kind] = &[$(Kind::$name,)*];

            /// The kind with this code.
            pub fn from_code(code: u64) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The name used in text and JSON.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    LogGenesis = 1, "log-genesis";
    RunStarted = 2, "run-started";
    Delegated = 3, "delegated";
    Revoked = 4, "revoked";
    Decided = 5, "decided";
    Finished = 6, "finished";
    ApprovalRequested = 7, "approval-requested";
    ApprovalDecided = 8, "approval-decided";
    Observed = 9, "observed";
    PolicyActivated = 10, "policy-activated";
    KeyOrTrustChanged = 11, "key-or-trust-changed";
    Erased = 12, "erased";
    HoldChanged = 13, "hold-changed";
    Gap = 14, "gap";
    RunEnded = 15, "run-ended";
    EvidenceAccessed = 16, "evidence-accessed";
    RetentionPruned = 17, "retention-pruned";
    DefinitionChanged = 18, "definition-changed";
    ChildStarted = 19, "child-started";
    HaltedOrResumed = 20, "halted-or-resumed";
    LabelChanged = 21, "label-changed";
    Reconciled = 22, "reconciled";
    ClockAdjusted = 23, "clock-adjusted";
    ErasureCompleted = 24, "erasure-completed";
    Intent = 25, "intent";
    Note = 26, "note";
    Census = 27, "census";
}

impl Kind {
    /// The code in an entry.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Field names by id; empty for the kinds whose content version 0 does not define.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Self::LogGenesis => LOG_GENESIS,
            Self::RunStarted => RUN_STARTED,
            Self::Delegated => DELEGATED,
            Self::Revoked => REVOKED,
            Self::Decided => DECIDED,
            Self::Finished => FINISHED,
            Self::Observed => OBSERVED,
            Self::PolicyActivated => POLICY_ACTIVATED,
            Self::KeyOrTrustChanged => KEY_OR_TRUST_CHANGED,
            Self::Gap => GAP,
            Self::RunEnded => RUN_ENDED,
            Self::DefinitionChanged => DEFINITION_CHANGED,
            Self::ChildStarted => CHILD_STARTED,
            Self::HaltedOrResumed => HALTED_OR_RESUMED,
            Self::LabelChanged => LABEL_CHANGED,
            Self::ClockAdjusted => CLOCK_ADJUSTED,
            _ => &[],
        }
    }

    /// Whether version 0 defines this kind's content.
    pub fn interpreted(self) -> bool {
        !self.fields().is_empty()
    }

    /// The id of a field by name.
    pub fn field_id(self, name: &str) -> Option<u8> {
        self.fields().iter().position(|known| *known == name).and_then(|id| u8::try_from(id).ok())
    }
}

const LOG_GENESIS: &[&str] =
    &["part", "origin", "log_key", "retention", "issuer", "issuer_key", "tenant", "offline_root", "format"];
const RUN_STARTED: &[&str] = &[
    "txn",
    "initiator",
    "evidence_grade",
    "display",
    "trigger",
    "agent_definition",
    "model",
    "prompt",
    "servers",
    "parent",
    "holder",
    "client",
    "joined",
];
const DELEGATED: &[&str] =
    &["token", "digest", "request", "evidence_grade", "principal", "holder", "txn", "exp"];
const REVOKED: &[&str] = &["what", "target", "eff", "why", "by", "token", "assurance"];
const DECIDED: &[&str] = &[
    "act_id",
    "txn",
    "principal",
    "holder",
    "assurance",
    "chain",
    "pop",
    "decided_at_ms",
    "operation",
    "tool",
    "definition_digest",
    "class",
    "args",
    "args_digest",
    "frame_digest",
    "request",
    "policy_digest",
    "engine",
    "revocations",
    "taint_in",
    "budget",
    "approvals",
    "verdict",
    "determining",
    "errors",
    "obligations",
    "shadow",
    "inputs",
    "credential",
    "enforcement_point",
    "correlators",
    "intent",
    "data_class",
    "data_subjects",
    "batch",
    "capture",
    "sent_frame_digest",
    "reason",
];
const FINISHED: &[&str] = &[
    "act_id",
    "status",
    "result",
    "result_digest",
    "frame_digest",
    "external_ids",
    "outputs",
    "taint_out",
    "data_class",
    "data_subjects",
    "duration",
    "detail",
    "sent_frame_digest",
];
const OBSERVED: &[&str] = &[
    "subtype",
    "payload",
    "count",
    "first_ms",
    "last_ms",
    "list_digest",
    "act_id",
    "source",
    "frame_digest",
];
const POLICY_ACTIVATED: &[&str] = &["policy_digest", "files", "source", "engine", "by", "previous"];
const KEY_OR_TRUST_CHANGED: &[&str] =
    &["change", "principal", "key", "thumbprint", "display", "by", "assurance"];
const GAP: &[&str] = &["reason", "from_ms", "to_ms", "count", "detail", "digest"];
const RUN_ENDED: &[&str] = &["streams", "children", "gaps", "reason", "open_actions"];
const DEFINITION_CHANGED: &[&str] = &["what", "name", "old", "new", "server", "since", "count"];
const CHILD_STARTED: &[&str] = &["child", "delegation", "holder", "handoff_digest", "handoff", "by"];
const HALTED_OR_RESUMED: &[&str] = &["change", "on", "why", "by", "token", "assurance", "halt"];
const LABEL_CHANGED: &[&str] = &["change", "artifact", "why", "by", "assurance"];
const CLOCK_ADJUSTED: &[&str] = &["before_ms", "after_ms", "reason"];

/// Where the writer of a record stood (format §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Vantage {
    /// In the path, outside the agent's trust domain.
    Gateway = 1,
    /// In the path, inside the agent's own trust domain (`wrap`, hooks).
    Harness = 2,
    /// The agent itself.
    Agent = 3,
    /// The system acted upon.
    Target = 4,
    /// A person's own signature.
    HumanSigner = 5,
    /// Imported from another system's records.
    Import = 6,
    /// The log about itself.
    Log = 7,
}

impl Vantage {
    /// The code in an entry.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name used in text and JSON, or `unknown` for a code that version 0 does not define.
    pub fn name_of(code: u64) -> &'static str {
        match code {
            1 => "gateway",
            2 => "harness",
            3 => "agent",
            4 => "target",
            5 => "human-signer",
            6 => "import",
            7 => "log",
            _ => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_fields_agree() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_code(u64::from(kind.code())), Some(*kind));
            assert!(kind.fields().len() <= crate::limits::FIELDS_MAX);
        }
        assert_eq!(Kind::from_code(0), None);
        assert_eq!(Kind::from_code(28), None);
        assert_eq!(Kind::Decided.field_id("reason"), Some(37));
        assert_eq!(Kind::Finished.field_id("detail"), Some(11));
        assert_eq!(Kind::Revoked.field_id("assurance"), Some(6));
        assert_eq!(Kind::ChildStarted.field_id("by"), Some(5));
        assert_eq!(Kind::HaltedOrResumed.field_id("halt"), Some(6));
        assert!(!Kind::Reconciled.interpreted());
    }
}
