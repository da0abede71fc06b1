//! `deeds delegate`: gives somebody's key a part of one's authority. `root` asks the server on a principal's signature,
//! `child` passes on a part of a delegation without asking anybody; both end in a delegation file.

mod child;
mod replaced;
mod root;
mod told;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use ed25519_dalek::SigningKey;
use evidence::delegation::{BREAK_GLASS, Link};
use evidence::jws::{self, Jwk, Signed};
use evidence::principal::PrincipalKind;
use serde_json::Value;

use crate::cli::{DelegateArgs, HolderKind};
use crate::config::Config;
use crate::delegation_file::{DelegationFile, HANDOFF_MAX_BYTES};
use crate::files::read_limited;
use crate::output::{Output, print_json, print_text};
use crate::{Outcome, arguments, entropy, keys};
use replaced::Replaced;

/// Largest file with a public key, bytes.
const JWK_MAX_BYTES: usize = 4_096;

/// Makes a delegation and writes its file.
pub(crate) async fn run(config: &Config, args: &DelegateArgs, output: Output) -> anyhow::Result<Outcome> {
    check(args)?;
    // before anybody is asked for a root that would have no file
    let replaced = replaced::in_the_way(&args.out, args.force)?;
    let way = way(config, args)?;
    let ask = Ask {
        recipient: recipient(args)?,
        holder: args.agent.clone().map(|id| (id, kind(args.kind))),
        scope: arguments::scope(&args.tools)?,
        handoff: args.handoff.as_deref().map(handoff).transpose()?,
        replaced,
        args,
    };
    let given = match &way {
        Way::Root(key_file) => root::ask(config, key_file, &ask).await?,
        Way::Child(file) => child::make(file, &ask)?,
    };
    let file = DelegationFile {
        chain: given.chain.clone(),
        key: ask.recipient.private.clone(),
        handoff: ask.handoff.clone(),
    };
    // Before this there is the old file, if any; after it the new one. A root that was issued and whose file is lost
    // in a crash is in the log, and nobody can use it without the key.
    if args.force {
        file.write(&args.out)?;
    } else {
        file.create(&args.out)?;
    }
    if output.json {
        print_json(&told::json(&given, &ask))?;
    } else {
        print_text(&told::text(&given, &ask, output.width))?;
    }
    Ok(Outcome::Fine)
}

/// From whose authority it comes.
enum Way {
    /// A principal's, by its key file.
    Root(PathBuf),
    /// That of the holder of a delegation file.
    Child(PathBuf),
}

/// What is to be given, to whom.
struct Ask<'a> {
    recipient: Recipient,
    holder: Option<(String, PrincipalKind)>,
    scope: Option<evidence::Scope>,
    handoff: Option<String>,
    replaced: Option<Replaced>,
    args: &'a DelegateArgs,
}

/// Whose key the delegation is bound to.
struct Recipient {
    public: Jwk,
    /// Only of a new key, which goes into the file.
    private: Option<SigningKey>,
}

/// A delegation just made.
struct Given {
    /// Root first.
    chain: Vec<String>,
    /// The last of the chain.
    leaf: Link,
    /// Its token digest.
    digest: String,
    /// What it is narrower in than what it was made from; nothing for a root without a mandate.
    narrowed: Option<Vec<String>>,
    /// On whose authority, in words.
    from: String,
    /// Of a root: the entry that records it, and the run it is recorded in.
    recorded: Option<(u64, String)>,
}

/// What can be said before anything is read or asked.
fn check(args: &DelegateArgs) -> anyhow::Result<()> {
    let break_glass = args.purpose.as_deref() == Some(BREAK_GLASS);
    ensure!(
        !(break_glass && args.principal.is_some() && args.why.is_none()),
        "breaking the glass needs a reason: say it with `--why`"
    );
    Ok(())
}

fn way(config: &Config, args: &DelegateArgs) -> anyhow::Result<Way> {
    // of what only a root can have, the person's key is meant, whatever the environment names beside it
    let root_alone = args.mandate.is_some() || args.why.is_some() || args.task.is_some();
    match (&config.delegation, &config.principal) {
        (Some(file), _) if !root_alone => Ok(Way::Child(file.clone())),
        (_, Some(key_file)) => Ok(Way::Root(key_file.clone())),
        _ => bail!(
            "on whose authority? Name a registered principal's key with `--as KEYFILE`, or a delegation to pass on a \
             part of with `--from FILE`"
        ),
    }
}

fn recipient(args: &DelegateArgs) -> anyhow::Result<Recipient> {
    let Some(path) = &args.to else {
        let private = SigningKey::from_bytes(&*entropy::seed()?);
        return Ok(Recipient { public: Jwk::of(&private), private: Some(private) });
    };
    Ok(Recipient { public: public_key(path)?, private: None })
}

/// The public key in a file: a public JWK, or the public half of a key file.
fn public_key(path: &Path) -> anyhow::Result<Jwk> {
    let name = path.display();
    let bytes = read_limited(path, JWK_MAX_BYTES)?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Ok(keys::read(path)?.public());
    }
    let value = evidence::json::parse(&bytes).with_context(|| format!("cannot use the key in `{name}`"))?;
    ensure!(
        value.get("d").is_none(),
        "`{name}` holds a private key: give its holder's public half, or use a key file of mode 0600"
    );
    Jwk::parse(&value).with_context(|| format!("cannot use the key in `{name}`"))
}

/// A text, or the content of `@FILE`.
fn handoff(typed: &str) -> anyhow::Result<String> {
    let text = match typed.strip_prefix('@') {
        Some(path) => String::from_utf8(read_limited(Path::new(path), HANDOFF_MAX_BYTES)?)
            .with_context(|| format!("`{path}` is not text"))?,
        None => typed.to_owned(),
    };
    ensure!(!text.is_empty(), "`--handoff` is empty: leave it out, or say what goes with the work");
    ensure!(text.len() <= HANDOFF_MAX_BYTES, "`--handoff` has more than {HANDOFF_MAX_BYTES} bytes");
    Ok(text)
}

fn kind(kind: HolderKind) -> PrincipalKind {
    match kind {
        HolderKind::Agent => PrincipalKind::Agent,
        HolderKind::Human => PrincipalKind::Human,
        HolderKind::Service => PrincipalKind::Service,
        HolderKind::Workflow => PrincipalKind::Workflow,
        HolderKind::Schedule => PrincipalKind::Schedule,
    }
}

/// A delegation as it says of itself, with its token digest. Whoever is to rely on it checks it.
pub(super) fn link(token: &str) -> anyhow::Result<(Link, String)> {
    let signed = Signed::parse(token, jws::DELEGATION)?;
    Ok((Link::parse(signed.unverified())?, signed.digest()))
}

/// The value of a named field of an entry, as the server answers it.
pub(super) fn field<'a>(entry: &'a Value, name: &str) -> Option<&'a Value> {
    let fields = entry.get("fields")?.as_array()?;
    fields.iter().find(|field| field.get("name").and_then(Value::as_str) == Some(name))?.get("value")
}

#[cfg(test)]
mod tests;
