//! From the plan to the bundle: inclusion proofs to one checkpoint, and fields opened or withheld one by one.

use evidence::Field;
use lineage::Index;
use verify::bundle::{Bundle, Item, Shown};

use crate::error::ReportError;
use crate::plan::{Plan, Planned, Show};
use crate::withhold::Withhold;

/// The bundle, proven against the newest checkpoint.
pub(crate) fn bundle(index: &Index, plan: Plan, withhold: &Withhold) -> Result<Bundle, ReportError> {
    let reader = index.reader();
    // one checkpoint for all items, whatever is published in the meantime
    let (checkpoint, note) = reader.checkpoint()?;
    let mut items = Vec::with_capacity(plan.entries.len());
    for (position, planned) in plan.entries {
        items.push(Item {
            index: position,
            path: reader.inclusion_proof(position, checkpoint.size)?,
            fields: fields(&planned, withhold),
            entry: planned.record.bytes,
        });
    }
    Ok(Bundle {
        origin: checkpoint.origin,
        log_id: reader.log_id().unwrap_or_default(),
        checkpoint: note,
        items,
        subject: Some(plan.subject),
        earlier: None,
    })
}

/// The fields as they are shown; nothing where nothing is, or where they cannot be opened (erased, damaged).
fn fields(planned: &Planned, withhold: &Withhold) -> Option<Vec<Shown>> {
    let kind = planned.record.kind()?;
    let all = planned.record.fields().filter(|_| planned.show != Show::Nothing)?;
    let shown = |field: &Field| {
        let name = kind.fields().get(usize::from(field.id)).copied();
        match name {
            Some(name) if opens(planned.show, name) && !withhold.withholds(kind, name) => {
                Shown::Opened { salt: field.salt, value: field.value.clone().into_bytes() }
            }
            // a field that the registry does not name is not shown either: nobody here knows what it is
            _ => Shown::Withheld(field.commitment(kind.code().into())),
        }
    };
    Some(all.iter().map(shown).collect())
}

fn opens(show: Show, name: &str) -> bool {
    match show {
        Show::Nothing => false,
        Show::Only(names) => names.contains(&name),
        Show::All => true,
    }
}
