//! `deeds principal`: registers people and services by their keys.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use capture::api::{AddPrincipal, AddedPrincipal, Hello, Written};
use evidence::base64url;
use evidence::jws;
use evidence::principal::PrincipalKind;
use serde_json::json;

use super::ask;
use super::registered::Registered;
use crate::Outcome;
use crate::cli::{self, PrincipalAddArgs, PrincipalCommand, PrincipalRetireArgs};
use crate::config::Config;
use crate::connect::{Server, connect, connect_or_begin};
use crate::keys::{self, Key, KeyError, SAME_USER_WARNING};
use crate::output::{Output, print_json, print_text, remark};
use crate::render::lists;
use crate::{clock, entropy};

/// Longest name of a principal, bytes: what the server takes.
const NAME_MAX_BYTES: usize = 64;

/// Adds, lists or retires.
pub(crate) async fn run(
    config: &Config,
    command: &PrincipalCommand,
    output: Output,
) -> anyhow::Result<Outcome> {
    match command {
        PrincipalCommand::Add(args) => add(config, args, output).await,
        PrincipalCommand::List => {
            let server = connect(config).await?;
            ask(&server, "/v1/principals", output, lists::principals).await
        }
        PrincipalCommand::Retire(args) => retire(&connect(config).await?, args, output).await,
    }
}

async fn add(config: &Config, args: &PrincipalAddArgs, output: Output) -> anyhow::Result<Outcome> {
    let path = key_path(config, args)?;
    let server = connect_or_begin(config).await?;
    let (key, made) = read_or_create(&path, &args.name)?;
    let kind = match args.kind {
        cli::PrincipalKind::Human => PrincipalKind::Human,
        cli::PrincipalKind::Service => PrincipalKind::Service,
    };
    let added = register(&server, kind, &args.name, args.display.as_deref(), &key).await?;
    if output.json {
        print_json(
            &json!({"principal": added.principal, "index": added.index, "key_file": path, "made": made}),
        )?;
    } else {
        let origin = if made { "a new key" } else { "the key" };
        print_text(&format!(
            "Registered {} ({}) with {origin} in `{}`, entry @{}.\nKey thumbprint: {}\n",
            args.name,
            kind.as_str(),
            path.display(),
            added.index,
            key.public().thumbprint(),
        ))?;
        remark(&format!("note: {SAME_USER_WARNING}"));
    }
    Ok(Outcome::Fine)
}

/// Proves to the server that the key is held, and registers it.
pub(crate) async fn register(
    server: &Server,
    kind: PrincipalKind,
    sub: &str,
    display: Option<&str>,
    key: &Key,
) -> anyhow::Result<AddedPrincipal> {
    let request = AddPrincipal {
        kind,
        sub: sub.to_owned(),
        key: key.public().to_json(),
        display: display.map(|name| json!({"name": name})),
        proof: proof(&server.hello, sub, key, clock::now_s()),
    };
    Ok(server.client.post_json("/v1/principals", &request).await?)
}

fn proof(hello: &Hello, sub: &str, key: &Key, now_s: u64) -> String {
    jws::sign(jws::KEY_PROOF, &json!({"aud": hello.issuer, "iat": now_s, "sub": sub}), &key.signing)
}

fn key_path(config: &Config, args: &PrincipalAddArgs) -> anyhow::Result<PathBuf> {
    // the server checks the name too, but by then a key file for it would be there
    check_name(&args.name)?;
    if let Some(path) = &args.key {
        return Ok(std::path::absolute(path)?);
    }
    let keys = config.keys.as_ref().context("no place for the key: name its file with `--key FILE`")?;
    Ok(keys.join(format!("{}.key", args.name)))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ensure!(
        name.len() <= NAME_MAX_BYTES
            && name.bytes().next().is_some_and(letter)
            && name.bytes().all(|byte| letter(byte) || b"._@-".contains(&byte)),
        "`{}` cannot name a principal: use 1 to {NAME_MAX_BYTES} lower-case letters, digits and `._@-`, the first \
         a letter or digit",
        name.escape_default()
    );
    Ok(())
}

fn read_or_create(path: &Path, name: &str) -> anyhow::Result<(Key, bool)> {
    match keys::create(path, &*entropy::seed()?, name) {
        Ok(key) => Ok((key, true)),
        Err(KeyError::Exists(_)) => Ok((keys::read(path)?, false)),
        Err(error) => Err(error.into()),
    }
}

async fn retire(server: &Server, args: &PrincipalRetireArgs, output: Output) -> anyhow::Result<Outcome> {
    let thumbprint = match base64url::decode_32(&args.which) {
        Some(_) => args.which.clone(),
        None => Registered::ask(server).await?.key_of(&args.which)?,
    };
    let retired: Written = server.client.delete_json(&format!("/v1/principals/{thumbprint}")).await?;
    if output.json {
        print_json(&json!({"thumbprint": thumbprint, "index": retired.index}))?;
    } else {
        print_text(&format!(
            "Retired the key {thumbprint}, entry @{}. Nothing new can rest on it.\n",
            retired.index
        ))?;
    }
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_key_directory() {
        let config = Config { keys: Some("/keys".into()), ..Config::default() };
        let path = |name: &str| {
            let args = PrincipalAddArgs {
                name: name.into(),
                kind: cli::PrincipalKind::Human,
                key: None,
                display: None,
            };
            key_path(&config, &args)
        };
        assert_eq!(path("ana").unwrap(), Path::new("/keys/ana.key"));
        let longest = "n".repeat(NAME_MAX_BYTES);
        assert!(path(&longest).is_ok());
        for wrong in ["../ana", "..", "a/b", ".x", "", "Ana", "a b", &format!("{longest}n")] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
