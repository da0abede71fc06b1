//! Tools and limits on their arguments as they are typed: `--tool URI --arg NAME=LIMIT …`, or `--scope FILE`.
//!
//! What comes out is the tools object of a delegation (format §6). Short forms say texts; what they cannot say is
//! written as JSON. Whether the limits make sense is checked where every tools object is.

mod empty;
mod unknown;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use evidence::Scope;
use serde_json::{Map, Value, json};

use crate::cli::ToolsArgs;
use crate::files::read_limited;

/// Largest file with a scope, bytes.
const SCOPE_MAX_BYTES: usize = 1_024 * 1_024;

/// The scope that was typed; nothing where none was.
pub(crate) fn scope(args: &ToolsArgs) -> anyhow::Result<Option<Scope>> {
    if let Some(path) = &args.scope {
        return read_scope(path).map(Some);
    }
    if args.rows.is_empty() {
        return Ok(None);
    }
    let mut tools = Map::new();
    for (uri, limits) in &args.rows {
        let uri = full_uri(uri);
        let row = row(&uri, limits)?;
        ensure!(
            tools.insert(uri.clone(), row).is_none(),
            "`--tool {uri}` is given twice; put its limits after one"
        );
    }
    let wrong = "cannot use the tools given with `--tool` and `--arg`";
    let scope = Scope::parse(&Value::Object(tools)).context(wrong)?;
    empty::check(&scope).context(wrong)?;
    Ok(Some(scope))
}

/// The tools object in a file.
pub(crate) fn read_scope(path: &Path) -> anyhow::Result<Scope> {
    let wrong = || format!("cannot use the scope in `{}`", path.display());
    let value = evidence::json::parse(&read_limited(path, SCOPE_MAX_BYTES)?).with_context(wrong)?;
    let scope = Scope::parse(&value).with_context(wrong)?;
    empty::check(&scope).with_context(wrong)?;
    Ok(scope)
}

/// Answers show tools of wrapped servers without `stdio:`; so they may be typed.
fn full_uri(uri: &str) -> String {
    let server = uri.split('#').next().unwrap_or_default();
    if server.contains(':') { uri.to_owned() } else { format!("stdio:{uri}") }
}

fn row(uri: &str, limits: &[String]) -> anyhow::Result<Value> {
    let mut row = Map::new();
    for typed in limits {
        let (name, limit) = limit(typed)?;
        ensure!(
            row.insert(name.clone(), limit).is_none(),
            "`{uri}` has two limits for its argument `{name}`"
        );
    }
    Ok(Value::Object(row))
}

/// One `NAME=LIMIT` or `NAME?=LIMIT`.
fn limit(typed: &str) -> anyhow::Result<(String, Value)> {
    let shown = typed.escape_default();
    let (name, form) = typed
        .split_once('=')
        .filter(|(name, _)| !name.is_empty() && *name != "?")
        .with_context(|| format!("`--arg {shown}` is not NAME=LIMIT; write it like `host=prefix:ws-`"))?;
    let mut limit = constraint(form).with_context(|| format!("cannot use `--arg {shown}`"))?;
    let (name, optional) = match name.strip_suffix('?') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if let (true, Some(members)) = (optional, limit.as_object_mut()) {
        members.insert("optional".into(), true.into());
    }
    Ok((name.to_owned(), limit))
}

fn constraint(form: &str) -> anyhow::Result<Value> {
    if form.starts_with('{') {
        let value = evidence::json::parse(form.as_bytes())?;
        ensure!(value.get("constraint_type").is_some(), "an object needs its `constraint_type`");
        return Ok(value);
    }
    if matches!(form, "*" | "wildcard") {
        return Ok(json!({"constraint_type": "wildcard"}));
    }
    let Some((kind, rest)) = form.split_once(':') else { return Ok(exact(form)) };
    let list = || list(kind, rest);
    Ok(match kind {
        "exact" => exact(rest),
        "prefix" => {
            ensure!(!rest.is_empty(), "an empty prefix limits nothing; write `*` if any value may be given");
            json!({"constraint_type": kind, "prefix": rest})
        }
        "path_under" => json!({"constraint_type": kind, "path": rest}),
        "host_in" => json!({"constraint_type": kind, "hosts": list()?}),
        "one_of" => json!({"constraint_type": kind, "values": list()?}),
        "not_one_of" => json!({"constraint_type": kind, "excluded": list()?}),
        "contains" => json!({"constraint_type": kind, "required": list()?}),
        "subset" => json!({"constraint_type": kind, "allowed": list()?}),
        "range" => bounds(kind, rest, |bound| {
            let number: i64 =
                bound.parse().ok().with_context(|| format!("`{bound}` is not a whole number"))?;
            Ok(number.into())
        })?,
        "decimal_range" => bounds(kind, rest, |bound| Ok(bound.into()))?,
        "all" | "any" | "wildcard" => {
            bail!("`{kind}` has no short form like this; write it as JSON: {{\"constraint_type\":…}}")
        }
        // a text that happens to have a colon in it, or a kind that is none
        _ => {
            unknown::check(kind, rest)?;
            exact(form)
        }
    })
}

/// `a,b`. A text that is empty is rather a slip than a value.
fn list<'a>(kind: &str, text: &'a str) -> anyhow::Result<Vec<&'a str>> {
    let values: Vec<&str> = text.split(',').collect();
    ensure!(
        values.iter().all(|value| !value.is_empty()),
        "`{kind}:` is followed by values with one comma between each; an empty text as a value is written as JSON"
    );
    Ok(values)
}

fn exact(text: &str) -> Value {
    json!({"constraint_type": "exact", "value": text})
}

/// `1..10`, `1..`, `..10`; both bounds are allowed values.
fn bounds(kind: &str, text: &str, read: impl Fn(&str) -> anyhow::Result<Value>) -> anyhow::Result<Value> {
    let (min, max) = text.split_once("..").context("bounds are written `1..10`, `1..` or `..10`")?;
    let mut limit = Map::from_iter([("constraint_type".to_owned(), kind.into())]);
    for (name, bound) in [("min", min), ("max", max)] {
        if !bound.is_empty() {
            limit.insert(name.into(), read(bound)?);
        }
    }
    Ok(Value::Object(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(rows: &[(&str, &[&str])]) -> anyhow::Result<Option<Scope>> {
        let row = |(uri, limits): &(&str, &[&str])| {
            ((*uri).to_owned(), limits.iter().map(|limit| (*limit).to_owned()).collect())
        };
        scope(&ToolsArgs { rows: rows.iter().map(row).collect(), scope: None })
    }

    fn of(form: &str) -> Value {
        constraint(form).unwrap()
    }

    #[test]
    fn every_short_form_says_one_constraint() {
        assert_eq!(of("T-1"), json!({"constraint_type": "exact", "value": "T-1"}));
        assert_eq!(of("exact:T:1"), json!({"constraint_type": "exact", "value": "T:1"}));
        for text in ["a:b", "C:\\data", "12:30", "2026-11-03T02:00:00Z", "https://crm.example/a", ":x"] {
            assert_eq!(of(text), json!({"constraint_type": "exact", "value": text}));
        }
        assert_eq!(of("exact:under:/srv"), json!({"constraint_type": "exact", "value": "under:/srv"}));
        assert_eq!(of("prefix:ws-"), json!({"constraint_type": "prefix", "prefix": "ws-"}));
        assert_eq!(of("path_under:/srv/data"), json!({"constraint_type": "path_under", "path": "/srv/data"}));
        assert_eq!(of("host_in:a.b,*.c"), json!({"constraint_type": "host_in", "hosts": ["a.b", "*.c"]}));
        assert_eq!(
            of("one_of:open,closed"),
            json!({"constraint_type": "one_of", "values": ["open", "closed"]})
        );
        assert_eq!(of("not_one_of:x"), json!({"constraint_type": "not_one_of", "excluded": ["x"]}));
        assert_eq!(of("contains:x"), json!({"constraint_type": "contains", "required": ["x"]}));
        assert_eq!(of("subset:x,y"), json!({"constraint_type": "subset", "allowed": ["x", "y"]}));
        assert_eq!(of("range:-1..10"), json!({"constraint_type": "range", "min": -1, "max": 10}));
        assert_eq!(of("range:1.."), json!({"constraint_type": "range", "min": 1}));
        assert_eq!(
            of("decimal_range:..10000.00"),
            json!({"constraint_type": "decimal_range", "max": "10000.00"})
        );
        assert_eq!(
            of("decimal_range:0.50..1"),
            json!({"constraint_type": "decimal_range", "min": "0.50", "max": "1"})
        );
        assert_eq!((of("*"), of("wildcard")), (of("wildcard"), json!({"constraint_type": "wildcard"})));
        let nested = r#"{"constraint_type":"all","constraints":[{"constraint_type":"wildcard"}]}"#;
        assert_eq!(of(nested)["constraint_type"], "all");
        assert_eq!(
            limit("note?=*").unwrap(),
            ("note".into(), json!({"constraint_type": "wildcard", "optional": true}))
        );
        assert_eq!(limit("q=a=b").unwrap(), ("q".into(), exact("a=b")));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        for (wrong, says) in [
            ("host", "host=prefix:ws-"),
            ("=x", "host=prefix:ws-"),
            ("?=x", "host=prefix:ws-"),
            ("n=range:5", "`1..10`"),
            ("n=range:a..b", "whole number"),
            ("n=range:1.5..2", "whole number"),
            ("n={\"a\":1}", "constraint_type"),
            ("n={", "JSON"),
            ("n=all:x", "as JSON"),
            ("n=prefix:", "write `*`"),
            ("n=one_of:", "one comma between"),
            ("n=subset:a,,b", "one comma between"),
            ("n=not_one_of:a,", "one comma between"),
            ("path=under:/srv", "did you mean `path_under:`?"),
            ("path=under:/srv", "`exact:under:/srv`"),
            ("n=prefx:ws-", "did you mean `prefix:`?"),
        ] {
            let error = format!("{:#}", limit(wrong).unwrap_err());
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }

    #[test]
    fn limits_make_the_row_of_the_tool_they_follow() {
        let scope = typed(&[("edr#isolate_host", &["host=prefix:ws-", "note?=*"]), ("stdio:kb#*", &[])]);
        let expected = json!({
            "stdio:edr#isolate_host": {"host": {"constraint_type": "prefix", "prefix": "ws-"},
                "note": {"constraint_type": "wildcard", "optional": true}},
            "stdio:kb#*": {},
        });
        assert_eq!(scope.unwrap(), Some(Scope::parse(&expected).unwrap()));
        assert_eq!(typed(&[]).unwrap(), None);
        assert_eq!(full_uri("https://crm.example/mcp#get"), "https://crm.example/mcp#get");
        let twice = typed(&[("edr#a", &[]), ("stdio:edr#a", &[])]).unwrap_err().to_string();
        assert!(twice.contains("twice"), "{twice}");
        assert!(typed(&[("edr#a", &["n=1", "n=2"])]).unwrap_err().to_string().contains("two limits"));
        assert!(typed(&[("edr", &[])]).is_err());
        let nobody = format!("{:#}", typed(&[("edr#a", &["n=range:9..1"])]).unwrap_err());
        assert!(nobody.contains("`n`") && nobody.contains("no value fits"), "{nobody}");
        assert!(typed(&[("edr#a", &["n=range:9..9"])]).is_ok());
    }

    #[test]
    fn a_scope_file_is_read_strictly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scope.json");
        std::fs::write(&path, r#"{"stdio:edr#a":{}}"#).unwrap();
        let args = ToolsArgs { scope: Some(path.clone()), ..ToolsArgs::default() };
        assert_eq!(scope(&args).unwrap().unwrap().tools().collect::<Vec<_>>(), ["stdio:edr#a"]);
        std::fs::write(&path, r#"{"stdio:edr#a":{},"stdio:edr#a":{}}"#).unwrap();
        assert!(format!("{:#}", scope(&args).unwrap_err()).contains("scope.json"));
        std::fs::write(&path, r#"{"stdio:edr#a":{"n":{"constraint_type":"range","min":2,"max":1}}}"#)
            .unwrap();
        let nobody = format!("{:#}", scope(&args).unwrap_err());
        assert!(nobody.contains("scope.json") && nobody.contains("no value fits"), "{nobody}");
    }
}
