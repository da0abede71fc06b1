//! A delegation file that is in the way of a new one. To replace the file revokes nothing: whoever has a copy of its
//! key can go on.

use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};

use super::link;
use crate::commands::Again;
use crate::config::Config;
use crate::delegation_file::DelegationFile;
use crate::render::style::{WARN, paint};
use crate::render::text::{paragraph, safe, time_s};

/// The delegation of a file that is replaced.
pub(super) struct Replaced {
    /// The leaf as it stands in the file.
    token: String,
    /// Its token digest.
    digest: String,
    holder: String,
    /// Seconds.
    exp: u64,
}

/// What stands where the new file goes. An error unless it may be replaced.
pub(super) fn in_the_way(path: &Path, force: bool) -> anyhow::Result<Option<Replaced>> {
    let Some(file) = DelegationFile::there(path)? else { return Ok(None) };
    ensure!(
        force,
        "`{}` holds a delegation already; choose another name with `-o FILE`, or replace it with `--force` (which \
         does not revoke what it holds)",
        path.display()
    );
    let Some(token) = file.chain.into_iter().next_back() else { return Ok(None) };
    // what cannot be read gives nobody anything
    let Ok((leaf, digest)) = link(&token) else { return Ok(None) };
    Ok(Some(Replaced { token, digest, holder: leaf.holder().id.clone(), exp: leaf.exp() }))
}

impl Replaced {
    /// For `--json`.
    pub(super) fn json(&self) -> Value {
        json!({"digest": self.digest, "holder": self.holder, "exp": self.exp})
    }

    /// That it holds on, and what ends it: nothing where it has ended. `chain` is the new one.
    pub(super) fn text(&self, chain: &[String], now_s: u64, width: usize) -> String {
        if self.exp <= now_s {
            return String::new();
        }
        let both =
            if chain.contains(&self.token) { ", and with it the new one, which rests on it" } else { "" };
        let told = format!(
            "The delegation that was in the file (of {}) stays live until {}. To end it{both}:",
            safe(&self.holder),
            time_s(self.exp)
        );
        let revoke =
            Again::new(&Config::default(), "revoke").word(&self.digest).word("--what").word("delegation").0;
        // not wrapped: it is there to be copied
        format!("{}  {revoke} --why REASON\n", paragraph(&paint(WARN, &told), 2, width))
    }
}
