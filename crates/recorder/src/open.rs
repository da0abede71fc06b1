//! Opening a log: recovery, the control state, the first two entries, the policy.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ed25519_dalek::SigningKey;
use evidence::id::{self, Id};
use evidence::jws::Jwk;
use evidence::{Digest, Kind};
use policy::{PolicyFile, PolicySet};
use serde::Deserialize;
use store::Store;
use zeroize::Zeroizing;

use crate::control::{self, Change, Control};
use crate::draft::{Draft, Guard, Sealer};
use crate::entries::{Opener, unreadable};
use crate::sequencing::Sequencing;
use crate::{Clock, Entropy, Inner, Names, OpenError, Peer, Recorder, genesis};

/// The keys that speak for a log.
pub struct Keys {
    /// Signs checkpoints and receipts.
    pub log: SigningKey,
    /// Signs root delegations.
    pub issuer: SigningKey,
    /// Wraps entry keys.
    pub kek: Zeroizing<[u8; 32]>,
}

/// What a recorder is made of.
pub struct Parts {
    /// The data directory.
    pub data: PathBuf,
    /// The keys of its log.
    pub keys: Keys,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The policy to bring into force, and where it came from; none: what is in force stays so, and a new log begins
    /// with the starter set.
    pub policy: Option<(PolicySet, String)>,
    /// Who starts this.
    pub peer: Peer,
    /// Bytes of a journal segment; none for the usual size.
    pub segment_bytes: Option<u64>,
}

/// The default origin of a log on one host (DESIGN §9).
pub fn origin_of(log_key: &SigningKey) -> String {
    let digest = Digest::of(log_key.verifying_key().as_bytes()).hex();
    format!("deeds.local/{}", digest.get(..16).unwrap_or(&digest))
}

const ENTRIES_PER_READ: usize = 1_024;

impl Recorder {
    /// Opens the log of a data directory, or makes it.
    ///
    /// Start-up is recovery: the store repairs what a crash left, the control state is brought up to the log, runs
    /// that were open begin their grace period, and a damaged tail is recorded as a gap.
    pub async fn open(parts: Parts) -> Result<Self, OpenError> {
        let origin = origin_of(&parts.keys.log);
        let entropy = Arc::clone(&parts.entropy);
        let random = Box::new(move |buffer: &mut [u8]| entropy.fill(buffer));
        let directory = parts.data.join("local");
        let mut config = store::Config::new(
            directory.clone(),
            parts.data.clone(),
            origin.clone(),
            parts.keys.log.clone(),
            random,
        );
        config.segment_bytes = parts.segment_bytes.unwrap_or(config.segment_bytes);
        let opening = Store::open(config)?;
        let reader = opening.reader();
        let snapshot = directory.join("control.json");
        let opener = Opener { reader: reader.clone(), kek: Arc::new(parts.keys.kek) };
        let control = rebuilt(&snapshot, &opener)?;
        let (set, source) = match parts.policy {
            Some(named) => named,
            None => in_force(&control, &opener)?,
        };
        let (control, set) = (Arc::new(RwLock::new(control)), Arc::new(set));
        let sealer = Sealer {
            kek: Arc::clone(&opener.kek),
            log_id: reader.log_id().unwrap_or_default(),
            entropy: Arc::clone(&parts.entropy),
            clock: Arc::clone(&parts.clock),
        };
        let aside = opening.recovered().aside.clone();
        let store = opening.start(Sequencing {
            control: Arc::clone(&control),
            sealer: sealer.clone(),
            clock: Arc::clone(&parts.clock),
            looked: None,
            snapshot_size: reader.size(),
            snapshot,
        });
        let mut recorder = Self(Arc::new(Inner {
            names: Names {
                issuer: format!("deeds://{origin}"),
                origin,
                tenant: "local".into(),
                issuer_key: Jwk::of(&parts.keys.issuer),
                log_id: sealer.log_id,
            },
            issuer_signer: parts.keys.issuer,
            sealer,
            clock: parts.clock,
            entropy: parts.entropy,
            control,
            policies: RwLock::default(),
            store,
            leases: Mutex::default(),
            refusals: Mutex::default(),
            chains: Mutex::default(),
            activation: tokio::sync::Mutex::default(),
            level: tokio::sync::RwLock::default(),
        }));
        recorder.begin_log(&parts.keys.log).await?;
        recorder.check_keys(&opener)?;
        recorder.note_aside(aside).await?;
        recorder.expect_leases();
        recorder.activate(set, &source, parts.peer).await?;
        Ok(recorder)
    }

    /// Writes entries 0 and 1 of a new log.
    async fn begin_log(&mut self, log_key: &SigningKey) -> Result<(), OpenError> {
        let vkey = log_vkey(&self.0.names.origin, log_key)?;
        if self.control().size == 0 {
            let item = genesis::retention_policy(&self.0.sealer, &self.0.names)?;
            self.append(Draft::one(Guard::Empty, item)).await?;
        }
        let log_id = self.control().log_id;
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.names.log_id = log_id;
            inner.sealer.log_id = log_id;
        }
        // a crash between the two leaves a log of one entry; the next start goes on here
        if self.control().size == 1 {
            let item = genesis::trust_anchors(&self.0.sealer, &self.0.names, &vkey)?;
            self.append(Draft::one(Guard::None, item)).await?;
        }
        Ok(())
    }

    /// A log that was made with other keys is not continued with these.
    fn check_keys(&self, opener: &Opener) -> Result<(), OpenError> {
        let (_, fields) = opener.open(1)?;
        let recorded =
            fields.as_ref().and_then(|fields| fields.get(Kind::LogGenesis, "issuer_key")).unwrap_or_default();
        if recorded == evidence::json::jcs_text(&self.0.names.issuer_key.to_json()) {
            Ok(())
        } else {
            Err(OpenError::OtherKeys("issuer key"))
        }
    }

    /// A frame that recovery had to move aside may have held acknowledged entries: a gap, said aloud.
    async fn note_aside(&self, aside: Option<store::Aside>) -> Result<(), OpenError> {
        let Some(aside) = aside else { return Ok(()) };
        let text = format!(
            "a damaged frame of {} bytes behind entry @{} was moved to `{}`",
            aside.bytes,
            aside.first,
            aside.path.display()
        );
        let fields = crate::draft::Fields::new().text("reason", "damaged-tail").text("detail", &text);
        let item = self.0.sealer.item(Kind::Gap, crate::draft::Place::LOG, fields)?;
        self.append(Draft::one(Guard::None, item)).await?;
        Ok(())
    }

    /// Runs that were open when the last server stopped: their writers have the grace period to come back.
    fn expect_leases(&self) {
        let open: Vec<(Id, u64)> = {
            let control = self.control();
            let runs = control.runs.iter().filter(|(_, run)| run.ended.is_none());
            runs.filter_map(|(text, run)| Some((id::parse(text)?, run)))
                .flat_map(|(id, run)| run.streams.keys().map(move |stream| (id, *stream)))
                .collect()
        };
        for (run, stream) in open {
            self.expect_lease(run, stream);
        }
    }
}

/// The checkpoint key as a C2SP vkey.
pub(crate) fn log_vkey(origin: &str, log_key: &SigningKey) -> Result<String, OpenError> {
    store::log_vkey(origin, &log_key.verifying_key())
        .ok_or_else(|| OpenError::Entry { index: 0, what: format!("`{origin}` cannot name a log key") })
}

/// The policy set that the last `policy-activated` entry pinned: a start that names no policy changes none.
fn in_force(control: &Control, opener: &Opener) -> Result<(PolicySet, String), OpenError> {
    let unusable = |index, what: String| OpenError::Policy { index, what };
    let Some((digest, index)) = control.policy.clone() else {
        let set = PolicySet::starter().map_err(|error| unusable(0, error.to_string()))?;
        return Ok((set, "built-in starter set".to_owned()));
    };
    let fields = opener.open(index)?.1.unwrap_or_default();
    let text = |name| fields.get(Kind::PolicyActivated, name).unwrap_or("null");
    let files: Vec<RecordedFile> =
        serde_json::from_str(text("files")).map_err(|_| unusable(index, "its files are not there".into()))?;
    let files = files.into_iter().map(|file| PolicyFile { path: file.path, text: file.text }).collect();
    let set = PolicySet::from_files(files).map_err(|error| unusable(index, error.to_string()))?;
    if set.digest() != digest {
        return Err(unusable(index, format!("its files have the digest {}", set.digest())));
    }
    Ok((set, serde_json::from_str(text("source")).unwrap_or_else(|_| format!("entry @{index}"))))
}

/// One file of a `policy-activated` entry.
#[derive(Deserialize)]
struct RecordedFile {
    path: String,
    text: String,
}

/// The control state at the log's size: the snapshot, where it fits this log, and the entries behind it.
fn rebuilt(snapshot: &Path, opener: &Opener) -> Result<Control, OpenError> {
    let size = opener.reader.size();
    let fits = |control: &Control| {
        let Some(last) = control.size.checked_sub(1).filter(|last| *last < size) else { return false };
        // the entry that the snapshot ends with, not just a log of that length
        opener.reader.entry(last).is_ok_and(|entry| evidence::entry::leaf_hash(&entry) == control.last_leaf)
    };
    let mut control = match control::load(snapshot) {
        Ok(known) => known.filter(fits).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "the control state is rebuilt from the log");
            Control::default()
        }
    };
    while control.size < size {
        let last = (control.size + ENTRIES_PER_READ as u64).min(size);
        for index in control.size..last {
            fold(&mut control, index, opener)?;
        }
    }
    Ok(control)
}

fn fold(control: &mut Control, index: u64, opener: &Opener) -> Result<(), OpenError> {
    let (entry, fields) = opener.open(index)?;
    let change = match &fields {
        Some(fields) => Change::of(&entry, fields).map_err(|error| unreadable(index, &error))?,
        None => Change::Nothing,
    };
    control.apply(index, &entry, entry.leaf_hash(), change);
    Ok(())
}

impl Drop for Inner {
    fn drop(&mut self) {
        // the last clone is gone: drain the queue, publish, and let the sequencer write its snapshot
        self.store.close();
        drop(self.control.read().unwrap_or_else(PoisonError::into_inner));
    }
}
