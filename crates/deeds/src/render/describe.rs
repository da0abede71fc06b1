//! Values of facts in words.

use serde_json::{Map, Value};

use super::limits;
use super::style::verdict;
use super::text::{cut, duration, safe, time};

/// A value in words, by the name of the fact it belongs to; other values as compact JSON.
pub(crate) fn value(name: &str, value: &Value) -> String {
    let words = match (name, value) {
        ("verdict", Value::String(text)) => Some(verdict(text).to_owned()),
        (_, Value::String(text)) => Some(text.clone()),
        (_, Value::Object(members)) => object(name, members),
        ("decided_at_ms" | "observed_ms" | "started_ms" | "ended_ms", Value::Number(ms)) => {
            ms.as_u64().map(time)
        }
        // the fields of orders and tokens are in seconds
        ("eff" | "exp" | "iat" | "nbf", Value::Number(seconds)) => {
            seconds.as_u64().map(|seconds| time(seconds.saturating_mul(1_000)))
        }
        ("servers", Value::Array(list)) => {
            let list = list.iter().filter_map(Value::as_object).filter_map(server).collect::<Vec<_>>();
            (!list.is_empty()).then(|| list.join("; "))
        }
        (_, Value::Array(list)) if list.is_empty() => Some("none".to_owned()),
        (_, Value::Array(list)) if list.iter().all(Value::is_string) => {
            Some(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    };
    safe(&words.unwrap_or_else(|| value.to_string())).into_owned()
}

fn object(name: &str, members: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let number = |name: &str| members.get(name).and_then(Value::as_u64);
    match name {
        "principal" | "initiator" | "by" => {
            Some(format!("{} ({}), issued by {}", text("sub")?, text("kind")?, text("iss")?))
        }
        "holder" => Some(format!("{} ({})", text("id")?, text("kind")?)),
        "source" => Some(match text("t")? {
            "key-request" => format!("a request that the principal's key {} signed", text("key")?),
            "mandate" => "a mandate that the principal signed, and a service's request under it".to_owned(),
            "peer-cred" => format!("the user id {} of the calling process", number("uid")?),
            _ => return None,
        }),
        "registered" => Some(format!("key {} at @{}", text("thumbprint")?, number("index")?)),
        "scope" => {
            let limits = members.get("constraints").and_then(Value::as_object)?;
            let others = match number("others").unwrap_or_default() {
                0 => String::new(),
                others => format!("; and {others} more {}", if others == 1 { "tool" } else { "tools" }),
            };
            Some(format!("{}, {}{others}", text("tool")?, limits::of_json(limits)))
        }
        "life" => {
            let until = time(number("until")?.saturating_mul(1_000));
            Some(format!("{} to {until}", time(number("from")?.saturating_mul(1_000))))
        }
        "handoff" => Some(match text("text") {
            Some(handed) => format!("\"{handed}\""),
            None => format!("a text whose digest is {}", text("digest")?),
        }),
        "class" => {
            let classes = members.get("classes").and_then(Value::as_array)?;
            let classes: Vec<_> = classes.iter().filter_map(Value::as_str).collect();
            let known = members.get("classified").and_then(Value::as_bool)?;
            let mark = if known { "" } else { "unclassified, treated as " };
            let why = text("why").map(|why| format!(" ({why})")).unwrap_or_default();
            Some(format!("{mark}{}{why}", classes.join(", ")))
        }
        "revocations" => Some(format!("as known at @{}", number("index")?)),
        "client" => Some(format!("process {} running {}", number("pid")?, text("exe")?)),
        "credential" => {
            let (kind, uid) = (text("type")?, number("uid")?);
            let proven = text("pop").map(|pop| format!(", proof of possession {pop}")).unwrap_or_default();
            Some(format!("{kind} of process {} with user id {uid}{proven}", number("pid")?))
        }
        "correlators" => Some(members.iter().filter_map(correlator).collect::<Vec<_>>().join("; "))
            .filter(|told| !told.is_empty()),
        "reason" => Some(format!("{} ({}, {})", text("text")?, text("code")?, text("step")?)),
        "duration" => Some(duration(number("us")?)),
        "engine" => Some(format!("Cedar {}, language {}", text("sdk")?, text("lang")?)),
        "enforcement_point" => Some(format!("{} {}", text("id")?, text("version")?)),
        _ => None,
    }
}

/// Names of variables that are told of one command; the JSON has them all.
const NAMES_MAX: usize = 12;
/// Characters that are told of one value.
const VALUE_MAX: usize = 80;

/// One member of what client or command say of themselves, in words that a line can be broken between.
fn correlator((name, value): (&String, &Value)) -> Option<String> {
    let short = |value: &Value| match value {
        Value::String(text) => cut(text, VALUE_MAX).into_owned(),
        other => cut(&other.to_string(), VALUE_MAX).into_owned(),
    };
    match (name.as_str(), value) {
        // told with the names
        ("environment_more", _) => None,
        ("environment_names", Value::Array(names)) => {
            let shown: Vec<String> = names.iter().take(NAMES_MAX).map(short).collect();
            let more = names.len() - shown.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let variables = if names.len() == 1 { "variable" } else { "variables" };
            Some(format!("{} environment {variables}: {}{more}", names.len(), shown.join(", ")))
        }
        (name, Value::Object(members)) => {
            let told = members.iter().map(|(name, value)| format!("{name}={}", short(value)));
            Some(format!("{name}: {}", told.collect::<Vec<_>>().join(", ")))
        }
        (name, value) => Some(format!("{name}: {}", short(value))),
    }
}

fn server(members: &Map<String, Value>) -> Option<String> {
    let alias = members.get("alias").and_then(Value::as_str)?;
    let command = members.get("command").and_then(Value::as_array)?;
    let words: Vec<_> = command.iter().filter_map(Value::as_str).collect();
    Some(format!("{alias}: {}", words.join(" ")))
}
