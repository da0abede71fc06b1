//! Step 6: what is shown of the fields is what the entries commit to.

use crate::finding::{Code, Findings};
use crate::items::{Items, Seen};

/// Step 6.
pub(crate) fn check(items: &Items<'_>, findings: &mut Findings) {
    for seen in &items.list {
        report(seen, findings);
    }
}

fn report(seen: &Seen<'_>, findings: &mut Findings) {
    let fields = &seen.fields;
    if fields.wrong_count {
        let text = "another number of fields is shown than the entry has: none of them is used";
        findings.at(seen.index, Code::FieldsMalformed, text);
    }
    if fields.wrong_root {
        let text =
            "the fields shown are not those that the entry commits to: one was altered, none of them is used";
        findings.at(seen.index, Code::FieldsRoot, text);
    }
    if let Some(id) = fields.not_json {
        let text = format!("the value of field {id} is not strict JSON: none of the entry's fields is used");
        findings.at(seen.index, Code::FieldJson, text);
    }
    if fields.withheld {
        let text = "fields of this entry are withheld: what they say was not checked";
        findings.at(seen.index, Code::Withheld, text);
    }
}
