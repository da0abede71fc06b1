//! Findings: one thing that verification has to say, by code (format §10).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The evidence contradicts itself, or does not show what it claims: the verdict is at least `failed`.
    Error,
    /// A limit of what was shown; the verdict stands.
    Note,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident;)*) => {
        /// What a finding is about: the codes of format §6 and §10, in the order of the steps.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $(#[doc = concat!("`", $text, "`.")] $name,)* }

        impl Code {
            /// All codes, in the order of the steps.
            pub const ALL: &[Code] = &[$(Code::$name,)*];

            /// The word used in JSON, in text and in recorded refusals.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Each code has one severity.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    BundleMalformed = "bundle-malformed", Error;
    BundleDigest = "bundle-digest", Error;
    CheckpointMalformed = "checkpoint-malformed", Error;
    LogKeyCaptured = "log-key-captured", Note;
    LogKeyMissing = "log-key-missing", Error;
    CheckpointSignature = "checkpoint-signature", Error;
    Unwitnessed = "unwitnessed", Note;
    EntryMalformed = "entry-malformed", Error;
    EntryUninterpreted = "entry-uninterpreted", Note;
    Inclusion = "inclusion", Error;
    LogId = "log-id", Error;
    ChainHole = "chain-hole", Error;
    ChainPrev = "chain-prev", Error;
    FieldsMalformed = "fields-malformed", Error;
    FieldsRoot = "fields-root", Error;
    FieldJson = "field-json", Error;
    Withheld = "withheld", Note;
    CauseOrder = "cause-order", Error;
    OpenRun = "open-run", Note;
    ManifestMismatch = "manifest-mismatch", Error;
    ManifestWithheld = "manifest-withheld", Note;
    AfterManifest = "after-manifest", Error;
    OpenStream = "open-stream", Note;
    ChildNotShown = "child-not-shown", Note;
    ChildMismatch = "child-mismatch", Error;
    ChildUnannounced = "child-unannounced", Error;
    KeyThumbprint = "key-thumbprint", Error;
    MandateMalformed = "mandate-malformed", Error;
    MandateKey = "mandate-key", Error;
    MandateSignature = "mandate-signature", Error;
    MandateBinding = "mandate-binding", Error;
    MandateMissing = "mandate-missing", Error;
    DelegationDigest = "delegation-digest", Error;
    DelegationMalformed = "delegation-malformed", Error;
    IssuerKeyMissing = "issuer-key-missing", Note;
    DelegationSignature = "delegation-signature", Error;
    RequestMissing = "request-missing", Error;
    RequestMalformed = "request-malformed", Error;
    RequestKey = "request-key", Error;
    RequestSignature = "request-signature", Error;
    RequestBinding = "request-binding", Error;
    IssuanceNotShown = "issuance-not-shown", Note;
    ChainSize = "chain-size", Error;
    LinkMissing = "link-missing", Error;
    LinkParent = "link-parent", Error;
    LinkDepth = "link-depth", Error;
    LinkTime = "link-time", Error;
    LinkBinding = "link-binding", Error;
    LinkScope = "link-scope", Error;
    LinkApprovals = "link-approvals", Error;
    ChainRepeated = "chain-repeated", Error;
    PrincipalInferred = "principal-inferred", Note;
    DecisionDelegation = "decision-delegation", Error;
    DecisionWithheld = "decision-withheld", Note;
    DecisionTime = "decision-time", Error;
    DelegationTime = "delegation-time", Error;
    DecisionBinding = "decision-binding", Error;
    RevocationsWithheld = "revocations-withheld", Note;
    DecisionRevocations = "decision-revocations", Error;
    PrincipalRetired = "principal-retired", Error;
    Revoked = "revoked", Error;
    InDoubt = "in-doubt", Note;
    Halted = "halted", Error;
    KeyReused = "key-reused", Note;
    BreakGlass = "break-glass", Note;
    Arguments = "arguments", Error;
    Scope = "scope", Error;
    ScopeArgsWithheld = "scope-args-withheld", Note;
    Approval = "approval", Error;
    PopMissing = "pop-missing", Error;
    PopMalformed = "pop-malformed", Error;
    PopSignature = "pop-signature", Error;
    PopBinding = "pop-binding", Error;
    PopTime = "pop-time", Error;
    PopReplayed = "pop-replayed", Error;
    PolicyWithheld = "policy-withheld", Note;
    DecisionPolicy = "decision-policy", Error;
    OutcomeOpen = "outcome-open", Note;
    CounterHole = "counter-hole", Note;
    OrderWithheld = "order-withheld", Note;
    OrderMalformed = "order-malformed", Error;
    OrderKey = "order-key", Error;
    OrderSignature = "order-signature", Error;
    OrderBinding = "order-binding", Error;
    OrderUnsigned = "order-unsigned", Error;
    PolicyDigest = "policy-digest", Error;
    OutcomeUnbound = "outcome-unbound", Error;
    OutcomeOfRefusal = "outcome-of-refusal", Error;
    OutcomeDuplicate = "outcome-duplicate", Error;
    ResultDigest = "result-digest", Error;
    Subject = "subject", Error;
    Earlier = "earlier", Error;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that verification has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// What it is about.
    pub code: Code,
    /// The log index of the entry it is about; none where it is about the bundle.
    pub index: Option<u64>,
    /// What it means and what to do.
    pub text: String,
}

/// Findings as they are collected: the first one per code and index is kept.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    by_place: BTreeMap<(Option<u64>, &'static str), Finding>,
    errors_at: BTreeSet<u64>,
    failed: bool,
}

impl Findings {
    /// Adds a finding about the entry at `index`.
    pub(crate) fn at(&mut self, index: u64, code: Code, text: impl Into<String>) {
        self.add(Some(index), code, text.into());
    }

    /// Adds a finding about the bundle as a whole.
    pub(crate) fn whole(&mut self, code: Code, text: impl Into<String>) {
        self.add(None, code, text.into());
    }

    fn add(&mut self, index: Option<u64>, code: Code, text: String) {
        let severity = code.severity();
        if severity == Severity::Error {
            self.failed = true;
            self.errors_at.extend(index);
        }
        let finding = Finding { severity, code, index, text };
        self.by_place.entry((index, code.name())).or_insert(finding);
    }

    /// Whether there is an error about the entry at `index`.
    pub(crate) fn error_at(&self, index: u64) -> bool {
        self.errors_at.contains(&index)
    }

    /// Whether there is any error.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    /// All of them by index, those about the whole bundle first, then by code name.
    pub(crate) fn sorted(self) -> Vec<Finding> {
        self.by_place.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_sorted_and_unique_by_code_and_index() {
        let mut findings = Findings::default();
        findings.at(2, Code::ChainHole, "first");
        findings.at(2, Code::ChainHole, "second");
        findings.at(1, Code::Withheld, "w");
        findings.at(1, Code::Inclusion, "i");
        findings.whole(Code::Unwitnessed, "u");
        assert!(findings.failed() && findings.error_at(1) && findings.error_at(2));
        let sorted = findings.sorted();
        let places: Vec<_> = sorted.iter().map(|finding| (finding.index, finding.code.name())).collect();
        assert_eq!(
            places,
            [(None, "unwitnessed"), (Some(1), "inclusion"), (Some(1), "withheld"), (Some(2), "chain-hole")]
        );
        assert_eq!(sorted.last().unwrap().text, "first");
    }

    #[test]
    fn every_code_has_its_own_name() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
