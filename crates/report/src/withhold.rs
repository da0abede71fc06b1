//! Which fields are not shown.

use std::collections::BTreeSet;

use evidence::Kind;

use crate::error::ReportError;

/// Names of people and the like; erasable, never needed for a check.
const NEVER_SHOWN: &str = "display";

/// What cannot be shown without giving away what is withheld: the evaluated request repeats the arguments, a text that
/// was handed over says what to do with them, a late outcome repeats the result.
const IMPLIED: &[(&str, Kind, &str)] = &[
    ("args", Kind::Decided, "request"),
    ("args", Kind::ChildStarted, HANDOFF),
    ("result", Kind::Observed, "payload"),
];

/// The text that goes with the work to a sub-agent; its digest stays.
const HANDOFF: &str = "handoff";

/// The kinds that an action's entries are of.
const OF_ACTIONS: [Kind; 3] = [Kind::Decided, Kind::Finished, Kind::Observed];

/// Names of fields of actions that are not shown.
#[derive(Debug, Default)]
pub(crate) struct Withhold(BTreeSet<String>);

impl Withhold {
    /// Refuses a name that no field of an action has: a typing error must not show what was to be withheld.
    pub(crate) fn parse(names: &[String]) -> Result<Self, ReportError> {
        for name in names {
            if name != HANDOFF && !OF_ACTIONS.iter().any(|kind| kind.field_id(name).is_some()) {
                return Err(ReportError::UnknownField(crate::shorten(name)));
            }
        }
        Ok(Self(names.iter().cloned().collect()))
    }

    /// Whether the field `name` of an entry of `kind` is withheld.
    pub(crate) fn withholds(&self, kind: Kind, name: &str) -> bool {
        if name == NEVER_SHOWN {
            return true;
        }
        let implied =
            IMPLIED.iter().any(|(cause, of, also)| *of == kind && *also == name && self.0.contains(*cause));
        let named = OF_ACTIONS.contains(&kind) || (kind, name) == (Kind::ChildStarted, HANDOFF);
        implied || (named && self.0.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_a_withheld_value_is_withheld_too() {
        let withhold = Withhold::parse(&["args".into(), "result".into()]).unwrap();
        for (kind, name) in [
            (Kind::Decided, "args"),
            (Kind::Decided, "request"),
            (Kind::Finished, "result"),
            (Kind::Observed, "payload"),
            (Kind::RunStarted, "display"),
            (Kind::ChildStarted, "handoff"),
        ] {
            assert!(withhold.withholds(kind, name), "{name}");
        }
        assert!(!withhold.withholds(Kind::Decided, "args_digest"));
        assert!(!withhold.withholds(Kind::ChildStarted, "handoff_digest"));
        let alone = Withhold::parse(&["handoff".into()]).unwrap();
        assert!(alone.withholds(Kind::ChildStarted, "handoff") && !alone.withholds(Kind::Decided, "args"));
        assert!(!withhold.withholds(Kind::Delegated, "request"));
        assert!(!Withhold::default().withholds(Kind::Decided, "request"));
        assert!(Withhold::parse(&["arguments".into()]).is_err());
    }
}
