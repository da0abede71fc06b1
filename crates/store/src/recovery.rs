//! Start-up is recovery: from whatever a crash left to a log that can go on, or a refusal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use tlog::checkpoint::Checkpoint;
use tlog::note::{self, VerifierKey};
use tlog::proof::verify_consistency;
use tlog::range::CompactRange;

use crate::bytes::to_u64;
use crate::config::Config;
use crate::error::{Damage, OpenError, doing};
use crate::files::{self, CreateError, PRIVATE, Writer, create_dir, sync_dir, write_new};
use crate::head::{self, Head, head_path};
use crate::journal::segment::{RESTORE, origin_hash};
use crate::journal::{Journal, Random, Spare, new_header, spare_path};
use crate::keys::KeyTable;
use crate::limits::MAX_SMALL_FILE_BYTES;
use crate::lock::Lock;
use crate::publish::{PublishError, Publisher, Signing, checkpoint_path, newest_checkpoint_path};
use crate::reader::Reader;
use crate::scan::{Scan, Tail, misplaced, scan};
use crate::shared::{JournalIndex, Published, Shared};
use crate::tiles::Tiles;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Epoch of this process: one more than any before.
    pub epoch: u64,
    /// Bytes of a frame that was never written to its end and was dropped. Nobody has a receipt for it.
    pub dropped_bytes: u64,
    /// A frame at its full length that was not good and was moved aside. Somebody may have a receipt for
    /// entries in it: record a gap.
    pub aside: Option<Aside>,
}

/// Bytes of the journal that were moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where they are now.
    pub path: PathBuf,
    /// Index of the first entry that was in them; it is given again.
    pub first: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A recovered log, ready to start.
pub(crate) struct Parts {
    pub(crate) lock: Lock,
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: Journal,
    pub(crate) range: CompactRange,
    pub(crate) publisher: Publisher,
    pub(crate) signer: SigningKey,
    pub(crate) publish_entries: u64,
    pub(crate) queue_entries: usize,
    pub(crate) recovered: Recovered,
}

/// Opens a log. Everything that is refused is refused before anything is changed.
pub(crate) fn recover(config: Config) -> Result<Parts, OpenError> {
    let key = config.check()?;
    let dir = config.dir.clone();
    let journal = dir.join("journal");
    for directory in
        [&config.lock_dir, &journal, &dir.join("log"), &dir.join("checkpoints"), &dir.join("bodies")]
    {
        create_dir(directory)?;
    }
    let mut lock = Lock::take(&config.lock_dir)?;
    let tiles = Tiles::new(dir.join("log"));
    let head = head::load(&head_path(&dir))?;
    let published = check_published(&dir, &tiles, &head, &key)?;
    let found = scan(&journal, &config.origin, &head, &tiles)?;
    check_not_rolled_back(&dir, &journal, found.as_ref(), &head)?;
    KeyTable::check(&dir.join("keys"), head.size)?;

    // From here on files are changed, and a crash at any point leaves a directory that recovers again.
    let epoch = lock.begin_epoch(found.as_ref().map_or(0, |scan| scan.epoch).max(head.epoch))?;
    let mut recovered = Recovered { epoch, ..Recovered::default() };
    if let Some(scan) = &found {
        repair(&journal, scan, epoch, &mut recovered)?;
    }
    let mut writer = Writer::new(&dir)?;
    let signing = Signing { dir: dir.clone(), origin: config.origin.clone(), signer: config.signer.clone() };
    let published = finish_publication(&signing, &mut writer, &head, published)?;
    let keys = KeyTable::open(&dir.join("keys"))?;
    sync_dir(&dir)?;

    let Config { signer, publish_entries, publish_interval, queue_entries, .. } = config;
    let begin =
        Begin { directory: journal, origin: &config.origin, segment_bytes: config.segment_bytes, epoch };
    let (journal, index, range) = begin.journal(found, config.random)?;
    let bodies = dir.join("bodies");
    let shared = Arc::new(Shared::new(tiles, bodies, keys, index, range.size(), published.map(Arc::new)));
    set_log_id(&shared)?;
    let publisher =
        Publisher { shared: shared.clone(), writer, signing, epoch, head, publish_entries, publish_interval };
    Ok(Parts { lock, shared, journal, range, publisher, signer, publish_entries, queue_entries, recovered })
}

/// The newest checkpoint, if its signature is right and the head and tiles extend it.
fn check_published(
    dir: &Path,
    tiles: &Tiles,
    head: &Head,
    key: &VerifierKey,
) -> Result<Option<Published>, OpenError> {
    let path = newest_checkpoint_path(dir);
    let wrong = |problem: String| {
        let advice = "restore it from `checkpoints/` or a mirror; if the log key (`keys/log.key`) was changed, restore that";
        Err(Damage::somewhere(&path, problem, advice).into())
    };
    if tiles.root(head.size)? != head.root {
        return Err(tiles.contradiction(head.size, "the tiles do not lead to the root in `head`").into());
    }
    let Some(note) = files::read_optional(&path, MAX_SMALL_FILE_BYTES)? else {
        return Ok(None);
    };
    let text = match note::open(&note, std::slice::from_ref(key)) {
        Ok(verified) => verified.text,
        Err(error) => return wrong(error.to_string()),
    };
    let checkpoint = match Checkpoint::parse(&text) {
        Ok(parsed) => parsed.checkpoint,
        Err(error) => return wrong(error.to_string()),
    };
    if checkpoint.origin != key.name() {
        return Err(OpenError::OtherLog { path, origin: key.name().to_owned() });
    }
    if *head == Head::empty() && !head_path(dir).exists() {
        return Err(Damage::missing(&head_path(dir), head::RESTORE).into());
    }
    if checkpoint.size > head.size {
        return Err(OpenError::RolledBack { path, committed: checkpoint.size, found: head.size });
    }
    let proof = tiles.consistency(checkpoint.size, head.size, head.size)?;
    if verify_consistency(checkpoint.size, &checkpoint.root, head.size, &head.root, &proof).is_err() {
        return wrong(format!("the {} entries in `head` do not extend it", head.size));
    }
    Ok(Some(Published { checkpoint, note }))
}

/// Refuses a journal that ends before what was committed.
fn check_not_rolled_back(
    dir: &Path,
    journal: &Path,
    found: Option<&Scan>,
    head: &Head,
) -> Result<(), OpenError> {
    let size = found.map_or(0, |scan| scan.range.size());
    if size >= head.size {
        return Ok(());
    }
    if found.is_none() {
        let problem = format!("missing all its segments, and {} entries are committed to", head.size);
        return Err(Damage::that_is(journal, problem, RESTORE).into());
    }
    match found.filter(|scan| scan.tail != Tail::Clean).and_then(|scan| scan.segments.last().zip(Some(scan)))
    {
        // it is there, but not readable any more
        Some((segment, scan)) => {
            let problem = format!("entry {size} is not readable, and {} are committed to", head.size);
            Err(misplaced(&segment.path, Some(scan.end), &problem, size))
        }
        None => Err(OpenError::RolledBack { path: head_path(dir), committed: head.size, found: size }),
    }
}

/// Drops or moves aside what comes after the last good frame, and makes all before it durable.
fn repair(journal: &Path, scan: &Scan, epoch: u64, recovered: &mut Recovered) -> Result<(), OpenError> {
    let Some(segment) = scan.segments.last() else { return Ok(()) };
    let path = &segment.path;
    match &scan.tail {
        Tail::Clean => {}
        Tail::Short(bytes) => recovered.dropped_bytes = *bytes,
        Tail::Bad(bytes) => {
            let first = scan.range.size();
            let aside = journal.join(format!("aside-{first:016x}-{epoch}"));
            write_new(&aside, bytes, PRIVATE)?;
            sync_dir(journal)?;
            recovered.aside = Some(Aside { path: aside, first, bytes: to_u64(bytes.len()) });
        }
    }
    if scan.tail != Tail::Clean {
        // cut, not overwritten: the next frame goes to a new segment, so nothing stale can follow it
        segment.file.set_len(scan.end).map_err(doing("cut", path))?;
    }
    // the last frame may be one that a killed process wrote and did not sync; it counts from now on
    Ok(segment.file.sync_all().map_err(doing("sync", path))?)
}

/// Signs and publishes a head that a crash left without its checkpoint.
fn finish_publication(
    signing: &Signing,
    writer: &mut Writer,
    head: &Head,
    published: Option<Published>,
) -> Result<Option<Published>, OpenError> {
    let is_complete = published.as_ref().is_some_and(|published| published.checkpoint.size == head.size);
    if head.size == 0 || (is_complete && checkpoint_path(&signing.dir, head.size).exists()) {
        return Ok(published);
    }
    Ok(Some(signing.publish(writer, head)?))
}

/// What a journal goes on with.
struct Begin<'a> {
    directory: PathBuf,
    origin: &'a str,
    segment_bytes: u64,
    epoch: u64,
}

impl Begin<'_> {
    /// The end of the journal, where its frames are, and the tree so far. A new log gets its first
    /// segment.
    fn journal(
        self,
        found: Option<Scan>,
        mut random: Random,
    ) -> Result<(Journal, JournalIndex, CompactRange), OpenError> {
        let Self { directory, origin, segment_bytes, epoch } = self;
        let origin = origin_hash(origin);
        // a segment that was reserved and never begun
        files::remove_optional(&spare_path(&directory))?;
        let scan = if let Some(scan) = found {
            scan
        } else {
            let spare = Spare::reserve(&directory, segment_bytes)?;
            let (segment, length) = spare.begin(new_header(origin, epoch, 0, [0; 32], &mut random))?;
            Scan::of_new(segment, length)
        };
        let mut index = JournalIndex::default();
        for segment in &scan.segments {
            index.add_segment(segment.clone());
        }
        for frame in scan.frames {
            index.add_frame(frame);
        }
        let current = scan.segments.last().cloned();
        let current = current
            .ok_or_else(|| Damage::that_is(&directory, "missing its last segment".to_owned(), RESTORE))?;
        // a segment that was cut has no room: the next frame begins a new one
        let capacity = if scan.tail == Tail::Clean { scan.length } else { scan.end };
        let journal = Journal {
            directory,
            origin,
            epoch,
            segment_bytes,
            random,
            previous: scan.previous,
            current,
            end: scan.end,
            capacity,
            spare: None,
        };
        Ok((journal, index, scan.range))
    }
}

/// Learns by which hash the log is known, from an entry that is proven to be its first.
fn set_log_id(shared: &Arc<Shared>) -> Result<(), OpenError> {
    let reader = Reader::new(shared.clone());
    if reader.size() == 0 {
        return Ok(());
    }
    if reader.published_size() > 0 {
        reader.inclusion_proof(0, reader.published_size())?;
    }
    let leaf = tlog::leaf_hash(&reader.entry(0)?);
    shared.log_id.get_or_init(|| leaf);
    Ok(())
}

impl From<PublishError> for OpenError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::File(error) | PublishError::Create(CreateError::File(error)) => Self::File(error),
            PublishError::Create(CreateError::Different(path)) => {
                let problem = "it is not the checkpoint that the head of this log has";
                let advice = "compare both with a mirror: the log may have been written from two places";
                Self::Damaged(Damage::somewhere(&path, problem, advice))
            }
            other => Self::Config(other.to_string()),
        }
    }
}
