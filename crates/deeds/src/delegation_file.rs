//! Delegation files: a chain, perhaps with the private key of its leaf and the text that goes with the work, as
//! `deeds delegate` writes them and `DEEDS_DELEGATION` names them. One JSON object, mode 0600.

mod counter;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ed25519_dalek::SigningKey;
use evidence::base64url;
use evidence::jws::Jwk;
use evidence::limits::{CHAIN_DEPTH_MAX, TOKEN_MAX_BYTES};
use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

pub(crate) use counter::Counter;

use crate::files::{self, Existing, PRIVATE};

/// Largest delegation file, bytes: a chain, a hand-over text and what JSON puts around them.
const FILE_MAX_BYTES: usize = 512 * 1_024;
/// Longest hand-over text, bytes: what an entry of the log can hold.
pub(crate) const HANDOFF_MAX_BYTES: usize = evidence::limits::VALUE_SEALED_MAX_BYTES;
/// The version written.
const VERSION: u64 = 1;

/// What a delegation file holds.
#[derive(Clone)]
pub(crate) struct DelegationFile {
    /// The tokens, root first; never empty.
    pub(crate) chain: Vec<String>,
    /// The leaf's private key, unless its holder keeps it elsewhere.
    pub(crate) key: Option<SigningKey>,
    /// The text whose digest the leaf carries.
    pub(crate) handoff: Option<String>,
}

impl std::fmt::Debug for DelegationFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DelegationFile({} links)", self.chain.len())
    }
}

impl DelegationFile {
    /// Reads a file that nobody but its owner can read. Whether the chain holds is for whoever checks it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let bytes = files::read_private(path, FILE_MAX_BYTES)?;
        let value =
            evidence::json::parse(&bytes).with_context(|| format!("`{name}` is not a delegation file"))?;
        Self::parse(value)
            .with_context(|| format!("`{name}` is not a delegation file as `deeds delegate` writes it"))
    }

    fn parse(value: Value) -> anyhow::Result<Self> {
        let Value::Object(mut members) = value else { bail!("it is not a JSON object") };
        if let Some(name) =
            members.keys().find(|name| !["v", "chain", "key", "handoff"].contains(&name.as_str()))
        {
            bail!("it has the unknown member `{}`", name.escape_default());
        }
        ensure!(members.get("v").and_then(Value::as_u64) == Some(VERSION), "its version is not {VERSION}");
        let key = members.remove("key").map(private_key).transpose()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let chain =
            members.get("chain").and_then(Value::as_array).map(|list| list.iter().map(text).collect());
        let chain: Vec<String> = chain.flatten().context("its `chain` is not a list of tokens")?;
        let longest = usize::try_from(CHAIN_DEPTH_MAX)?.saturating_add(1);
        ensure!((1..=longest).contains(&chain.len()), "its `chain` has not 1 to {longest} tokens");
        ensure!(chain.iter().all(|token| token.len() <= TOKEN_MAX_BYTES), "one of its tokens is too long");
        let handoff = members.get("handoff").map(|value| text(value).context("its `handoff` is not a text"));
        let handoff = handoff.transpose()?;
        ensure!(
            handoff.as_ref().is_none_or(|text| text.len() <= HANDOFF_MAX_BYTES),
            "its `handoff` has more than {HANDOFF_MAX_BYTES} bytes"
        );
        Ok(Self { chain, key, handoff })
    }

    /// What is where a file is to be written, if anything: a delegation file, for nothing else is ever replaced.
    pub(crate) fn there(path: &Path) -> anyhow::Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let Ok(file) = Self::read(path) else {
            bail!("`{}` exists and is no delegation file; choose another name with `-o FILE`", path.display())
        };
        Ok(Some(file))
    }

    /// Writes the file, in the place of another delegation file if there is one: after a crash there is the old one
    /// or the new one.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        Self::there(path)?;
        self.put(path, Existing::Replace).with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Writes a file that is not there yet, whole or not at all.
    pub(crate) fn create(&self, path: &Path) -> anyhow::Result<()> {
        self.put(path, Existing::Refuse).with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn put(&self, path: &Path, existing: Existing) -> std::io::Result<()> {
        files::write_whole(path, &Zeroizing::new(self.encode()), PRIVATE, existing)
    }

    fn encode(&self) -> Vec<u8> {
        let mut members =
            Map::from_iter([("v".to_owned(), VERSION.into()), ("chain".to_owned(), json!(self.chain))]);
        if let Some(key) = &self.key {
            members.insert("key".into(), private_jwk(key));
        }
        if let Some(handoff) = &self.handoff {
            members.insert("handoff".into(), handoff.clone().into());
        }
        let value = Value::Object(members);
        let mut bytes = value.to_string().into_bytes();
        bytes.push(b'\n');
        if let Value::Object(mut members) = value
            && let Some(Value::Object(key)) = members.get_mut("key")
        {
            wipe(key);
        }
        bytes
    }

    /// The key that signs for the leaf: the file's own, or that of a key file.
    pub(crate) fn signing_key(&self, path: &Path, key_file: Option<&Path>) -> anyhow::Result<SigningKey> {
        let name = path.display();
        match (&self.key, key_file) {
            (_, Some(file)) => Ok(crate::keys::read(file)?.signing),
            (Some(key), None) => Ok(key.clone()),
            (None, None) => {
                bail!(
                    "`{name}` holds no private key: the holder of its key has it; name the key file with `--key`"
                )
            }
        }
    }
}

/// Where the counter of proofs under a file's key is kept.
pub(crate) fn counter_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".ctr");
    path.with_file_name(name)
}

fn private_jwk(key: &SigningKey) -> Value {
    let mut jwk = Jwk::of(key).to_json();
    if let Some(members) = jwk.as_object_mut() {
        members.insert("d".into(), base64url::encode(key.as_bytes()).into());
    }
    jwk
}

/// A private JWK whose public half is the one it names.
fn private_key(value: Value) -> anyhow::Result<SigningKey> {
    let Value::Object(mut members) = value else { bail!("its `key` is not a private Ed25519 JWK") };
    let mut seed = members.get("d").and_then(Value::as_str).and_then(base64url::decode_32);
    wipe(&mut members);
    let key = seed.as_ref().map(SigningKey::from_bytes);
    seed.zeroize();
    let key = key.context("its `key` has no private part `d` of 32 bytes")?;
    let public = Jwk::parse(&Value::Object(members)).context("its `key` is not a private Ed25519 JWK")?;
    ensure!(public == Jwk::of(&key), "the private part of its `key` does not belong to the public one");
    Ok(key)
}

/// Takes the private part out of a JWK and overwrites it.
fn wipe(jwk: &mut Map<String, Value>) {
    if let Some(Value::String(mut secret)) = jwk.remove("d") {
        secret.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file() -> DelegationFile {
        DelegationFile {
            chain: vec!["a.b.c".into(), "d.e.f".into()],
            key: Some(SigningKey::from_bytes(&[7; 32])),
            handoff: Some("isolate them".into()),
        }
    }

    fn key() -> Value {
        private_jwk(&SigningKey::from_bytes(&[7; 32]))
    }

    #[test]
    fn what_is_written_is_read_and_nobody_else_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bot.delegation");
        file().write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, ["v", "chain", "key", "handoff"]);
        let members: Vec<_> = value["key"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kty", "x", "d"]);
        let read = DelegationFile::read(&path).unwrap();
        assert_eq!((read.chain, read.handoff), (file().chain, file().handoff));
        assert_eq!(read.key.unwrap().to_bytes(), [7; 32]);
        // nothing takes its place unasked
        let again = format!("{:#}", file().create(&path).unwrap_err());
        assert!(again.contains("bot.delegation") && again.contains("exists"), "{again}");
        assert_eq!(DelegationFile::there(&path).unwrap().unwrap().chain, file().chain);
        // a renewal takes its place, and asks for no key where the holder has it
        let renewed = DelegationFile { key: None, handoff: None, chain: vec!["g.h.i".into()] };
        renewed.write(&path).unwrap();
        let read = DelegationFile::read(&path).unwrap();
        assert!(read.signing_key(&path, None).unwrap_err().to_string().contains("`--key`"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(DelegationFile::read(&path).unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn another_file_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        fs::write(&path, "mine").unwrap();
        assert!(DelegationFile::there(&path).unwrap_err().to_string().contains("no delegation file"));
        assert!(file().write(&path).unwrap_err().to_string().contains("no delegation file"));
        assert!(file().create(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        assert!(DelegationFile::there(&dir.path().join("free")).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_otherwise_is_refused() {
        let mut other = key();
        other["x"] = Jwk::of(&SigningKey::from_bytes(&[8; 32])).to_json()["x"].clone();
        let longest: Vec<&str> = vec!["a.b.c"; 9];
        assert!(DelegationFile::parse(json!({"v": 1, "chain": longest, "key": key()})).is_ok());
        for wrong in [
            json!([]),
            json!({"chain": ["a.b.c"]}),
            json!({"v": 2, "chain": ["a.b.c"]}),
            json!({"v": 1}),
            json!({"v": 1, "chain": []}),
            json!({"v": 1, "chain": vec!["a.b.c"; 10]}),
            json!({"v": 1, "chain": ["x".repeat(TOKEN_MAX_BYTES + 1)]}),
            json!({"v": 1, "chain": ["a.b.c"], "handoff": 1}),
            json!({"v": 1, "chain": ["a.b.c"], "handoff": "x".repeat(HANDOFF_MAX_BYTES + 1)}),
            json!({"v": 1, "chain": ["a.b.c"], "kay": key()}),
            json!({"v": 1, "chain": ["a.b.c"], "key": Jwk::of(&SigningKey::from_bytes(&[7; 32])).to_json()}),
            json!({"v": 1, "chain": ["a.b.c"], "key": other}),
        ] {
            assert!(DelegationFile::parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_counter_stands_beside_the_file() {
        assert_eq!(counter_path(Path::new("/a/bot.delegation")), Path::new("/a/bot.delegation.ctr"));
    }
}
