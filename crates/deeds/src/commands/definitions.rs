//! `deeds definitions`.

mod into;

use anyhow::bail;
use serde_json::{Value, json};

use super::class_table::ClassTable;
use super::{Query, ask, folded};
use crate::Outcome;
use crate::cli::DefinitionsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::{Output, print_text, remark};
use crate::render::lists::{number, rows, string};
use crate::render::text::{count, safe};
use crate::render::{definitions, pin};

/// Shows what is known of servers, prints rows that pin it, or puts such into a class table.
pub(crate) async fn run(config: &Config, args: &DefinitionsArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let path = Query::new("/v1/definitions").maybe("server", args.server.clone()).0;
    if args.pin {
        let known: Value = serde_json::from_slice(&folded(&server, &path).await?)?;
        match &args.into {
            Some(path) => print_text(&put(&known, &ClassTable::read(path)?)?)?,
            None => print_text(&pinned(&known))?,
        }
        for left_out in rows(&known, "left_out").iter().filter_map(Value::as_str) {
            remark(&format!("not pinned, because not shown: {}", safe(left_out)));
        }
        return Ok(Outcome::Fine);
    }
    ask(&server, &path, output, definitions::page).await
}

/// Puts what is known into a class table, and tells what became of it.
fn put(known: &Value, table: &ClassTable) -> anyhow::Result<String> {
    let servers = rows(known, "servers");
    // of several under one URI the one last told of, which comes first
    let newest = |(at, server): (usize, &Value)| {
        let uri = string(server, "server");
        let earlier = servers.iter().take(at).any(|other| string(other, "server") == uri);
        (!earlier).then(|| pin::pins(server))
    };
    let pins: Vec<pin::Pins> = servers.iter().enumerate().filter_map(newest).collect();
    if pins.is_empty() {
        bail!("no server has shown its definitions up to @{}: nothing was pinned", number(known, "size"));
    }
    let path = safe(&table.path.display().to_string()).into_owned();
    let put = into::put(&table.text, &pins)?;
    if put.text == table.text {
        return Ok(format!("`{path}` pins all this already: nothing was changed.\n"));
    }
    table.check(&put.text)?;
    table.replace(&put.text)?;
    if put.unclassified > 0 {
        let tools = count(put.unclassified, "tool has", "tools have");
        remark(&format!(
            "{tools} no classes: the new rows say write, external, untrusted, until you say in `{path}` what they do"
        ));
    }
    Ok(format!(
        "Pinned in `{path}`: {} changed, {} new. In force with `deeds policy activate {}`.\n",
        count(put.changed, "row", "rows"),
        put.added,
        safe(&table.dir.display().to_string()),
    ))
}

/// Rows of each server. Under one URI the class table knows one command: the one last told of, which comes first.
fn pinned(known: &Value) -> String {
    let servers = rows(known, "servers");
    let of = |uri: &str| {
        let same: Vec<&Value> = servers.iter().filter(|server| string(server, "server") == uri).collect();
        json!({"size": known.get("size"), "servers": same})
    };
    let mut uris: Vec<String> = Vec::new();
    for uri in servers.iter().map(|server| string(server, "server")) {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    if uris.is_empty() {
        return format!("# no server has shown its definitions up to @{}\n", number(known, "size"));
    }
    uris.iter().map(|uri| pin::table_rows(&of(uri))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_pinned_and_of_one_name_the_command_last_told_of() {
        let server = |uri: &str, digit: &str| {
            let digest = format!("sha256:{}", digit.repeat(64));
            json!({"server": uri, "definitions": [{"list": "tool", "name": "x",
                "digest": {"value": digest, "check": "not-checked"}}]})
        };
        let known = json!({"size": 9, "servers": [server("stdio:a", "1"), server("stdio:b", "2"), server("stdio:a", "3")]});
        let text = pinned(&known);
        let table: toml::Table = toml::from_str(&text).unwrap();
        let rows = table["tool"].as_array().unwrap();
        let uris: Vec<_> = rows.iter().map(|row| row["uri"].as_str().unwrap()).collect();
        assert_eq!(uris, ["stdio:a#x", "stdio:b#x"], "{text}");
        assert!(rows[0]["definition"].as_str().unwrap().ends_with("111"), "{text}");
        assert!(text.contains("of 1 more under this name"), "{text}");
        assert_eq!(
            pinned(&json!({"size": 3, "servers": []})),
            "# no server has shown its definitions up to @3\n"
        );
    }
}
