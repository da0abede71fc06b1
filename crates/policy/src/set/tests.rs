//! What the loaded set must survive: an engine that panics, entities without a schema.

use cedar_policy as cedar;
use serde_json::json;

use super::{PolicySet, guard, split_obligations};
use crate::classes::CLASSES;
use crate::decision::{Refusal, reason};
use crate::files::PolicyFile;

#[test]
fn a_panic_in_the_engine_is_a_refusal() {
    let panics = |text: &'static str| guard(|| -> Result<(), Refusal> { panic!("{text}") });
    let refusal = panics("index out of bounds").unwrap_err();
    assert_eq!(refusal.code, reason::POLICY_ERROR);
    assert_eq!(refusal.text, "the policy engine failed: index out of bounds");
    let refusal = guard(|| -> Result<(), Refusal> { std::panic::panic_any(7_u8) }).unwrap_err();
    assert_eq!(refusal.text, "the policy engine failed: no message");
    assert_eq!(guard(|| Ok(1)), Ok(1));
}

#[test]
fn obligations_are_one_comma_separated_value() {
    assert_eq!(split_obligations("a, b:1 ,c").collect::<Vec<_>>(), ["a", "b:1", "c"]);
    assert_eq!(split_obligations("").collect::<Vec<_>>(), [""]);
}

/// The trap itself, so that it is noticed should the engine ever change: entities built without
/// the schema lose the action groups, and a forbid for a group vanishes without an error.
#[test]
fn without_the_schema_a_group_forbid_would_vanish() {
    let set = PolicySet::starter().unwrap();
    let policies: cedar::PolicySet = "permit (principal, action, resource);
         forbid (principal, action in Deeds::Action::\"act\", resource);"
        .parse()
        .unwrap();
    let args = json!({});
    let act = crate::fit::probe(&args);
    let slice = set.vocabulary.build(&act, &set.classify(act.tool, None)).unwrap();
    let ask = |entities| set.authorizer.is_authorized(&slice.request, &policies, entities).decision();
    assert_eq!(ask(&slice.entities), cedar::Decision::Deny);
    let action = |entity: &cedar::Entity| entity.uid().type_name().basename() == "Action";
    let bare = slice.entities.iter().filter(|entity| !action(entity)).cloned();
    let bare = cedar::Entities::from_entities(bare, None).unwrap();
    assert_eq!(ask(&bare), cedar::Decision::Allow);
}

/// Records hold server and classes as parents of the tool alone; earlier ones held an entity of each besides.
#[test]
fn a_record_with_entities_that_say_nothing_replays_as_one_without() {
    let file = |path: &str, text: &str| PolicyFile { path: path.into(), text: text.into() };
    let policies = "@id(\"any\") permit (principal, action in Deeds::Action::\"act\", resource);
         @id(\"class\") forbid (principal, action, resource in Deeds::Class::\"external\");
         @id(\"server\") forbid (principal, action, resource in Deeds::Server::\"stdio:probe\");
         @id(\"other\") forbid (principal, action, resource in Deeds::Class::\"destructive\");";
    let classes = "[[tool]]\nuri = \"stdio:probe#probe\"\nclasses = [\"external\"]\n";
    let set = PolicySet::from_files(vec![file("a.cedar", policies), file("classes.toml", classes)]).unwrap();
    let args = json!({});
    let decided = set.decide(&crate::fit::probe(&args));
    assert_eq!(decided.determining, ["class", "server"]);
    let mut entities = decided.request["entities"].as_array().unwrap().clone();
    let types: Vec<&str> = entities.iter().map(|entity| entity["uid"]["type"].as_str().unwrap()).collect();
    let expected =
        ["Action", "Action", "Agent", "Args", "Principal", "Tool"].map(|name| format!("Deeds::{name}"));
    assert_eq!(types, expected);
    let classes = CLASSES.iter().chain(["unclassified"].iter()).map(|id| ("Deeds::Class", *id));
    for (kind, id) in classes.chain([("Deeds::Server", "stdio:probe")]) {
        entities.push(json!({"uid": {"type": kind, "id": id}, "attrs": {}, "parents": []}));
    }
    let mut before = decided.request.clone();
    before["entities"] = entities.into();
    let replayed = set.replay(&before).unwrap();
    assert_eq!((replayed.determining, replayed.class), (decided.determining, decided.class));
}
