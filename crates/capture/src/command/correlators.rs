//! What is recorded beside a command about where it runs, all of it asserted: the CI job, what its token says, and the
//! names (never the values) of the environment variables that the command gets.

use serde_json::{Map, Value, json};

use super::CommandOptions;
use crate::limits::CORRELATOR_MAX;

/// The correlators of the decision. As many names as there is room for, in their order; how many more there are is
/// told.
pub(crate) fn of(options: &CommandOptions) -> Value {
    let mut told = Map::new();
    let said = [("ci", &options.ci), ("oidc", &options.oidc)];
    told.extend(said.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))));
    let room = CORRELATOR_MAX.saturating_sub(Value::Object(told.clone()).to_string().len() + FRAME);
    let names = &options.environment_names;
    let fitting = fitting(names, room);
    told.insert("environment_names".into(), json!(names.get(..fitting).unwrap_or_default()));
    if fitting < names.len() {
        told.insert("environment_more".into(), json!(names.len() - fitting));
    }
    Value::Object(told)
}

/// Bytes of the members around the names.
const FRAME: usize = 80;

fn fitting(names: &[String], room: usize) -> usize {
    let mut left = room;
    names
        .iter()
        .take_while(|name| {
            // quoted, with a comma
            let needed = json!(name).to_string().len() + 1;
            let fits = needed <= left;
            left = left.saturating_sub(needed);
            fits
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_names_as_there_is_room_for() {
        let names: Vec<String> = ["AA", "B\"B", "CC"].map(str::to_owned).to_vec();
        assert_eq!(["\"AA\",", "\"B\\\"B\",", "\"CC\","].map(str::len), [5, 7, 5]);
        assert_eq!([4, 5, 11, 12, 16, 17].map(|room| fitting(&names, room)), [0, 1, 1, 2, 2, 3]);
    }
}
