//! Definitions: what the servers of runs offer and are, and how that differs from what was known (format §5, kinds 9
//! and 18).

use std::collections::BTreeMap;

use evidence::definition::{CLIENT_CONFIG, DefinitionError, List, MANY, SERVER_COMMAND, Told, check_name};
use evidence::id::{self, Id};
use evidence::limits::DEFINITIONS_CHANGED_MAX;
use evidence::{Digest, Kind};
use serde_json::{Value, json};

use crate::control::{Change, Control, DEFINITIONS, Difference, Wrapped};
use crate::draft::{CauseRef, Draft, Fields, Guard, Item, Place, Sealer};
use crate::sequencing::Reply;
use crate::{Recorder, RecorderError};

/// What the server of a run tells of what it offers, or of itself.
#[derive(Debug, Clone)]
pub struct Define {
    /// Which list.
    pub list: List,
    /// Name to digest.
    pub names: BTreeMap<String, Digest>,
    /// Names told before and not any more.
    pub gone: Vec<String>,
    /// Whether `names` is all that there is.
    pub complete: bool,
    /// Digest string of the frame that told them.
    pub frame_digest: Option<String>,
}

/// What was recorded of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// Index of the observation.
    pub index: u64,
    /// Indexes of the changes.
    pub changed: Vec<u64>,
}

/// A change that no run saw: the configuration of a client.
#[derive(Debug, Clone)]
pub struct ConfigChanged {
    /// Client, path and name of the server there, separated by `#`.
    pub name: String,
    /// Of the server's entry as it was wrapped.
    pub old: Option<Digest>,
    /// Of what is there now.
    pub new: Option<Digest>,
}

impl Recorder {
    /// Records what the server of a stream tells, and each difference from what was last known of it.
    ///
    /// They are durable together once this returns: after a crash before it the server is known as it was, and what is
    /// told again then shows the same differences.
    pub async fn define(&self, run: Id, stream: u64, define: Define) -> Result<Defined, RecorderError> {
        let Wrapped { server, command, .. } = self.wrapped(&run, stream)?;
        let Define { list, names, gone, complete, frame_digest } = define;
        let told = Told { server, list, names, gone, complete };
        told.check().map_err(invalid)?;
        check_command(&told, &command)?;
        let fields = Fields::new()
            .text("subtype", DEFINITIONS)
            .json("payload", &told.to_json())
            .maybe("frame_digest", frame_digest.map(Value::from).as_ref());
        let item = self.0.sealer.item(Kind::Observed, Place::harness(run, stream), fields)?;
        match self.append(Draft::one(Guard::Tells { server: told.server }, item)).await? {
            Reply::Written(written) => {
                let end = written.first + written.leaves.len() as u64;
                Ok(Defined { index: written.first, changed: (written.first + 1..end).collect() })
            }
            _ => Err(RecorderError::RunEnded(id::text(&run))),
        }
    }

    /// Records that the configuration of a client changed. Nothing of it is in the path of anything, so nothing is
    /// denied because of it.
    pub async fn client_config_changed(&self, changed: ConfigChanged) -> Result<u64, RecorderError> {
        check_name(&changed.name).map_err(invalid)?;
        if changed.old == changed.new {
            let text = "`old` and `new` are the same: give the digests of what differs, one of them at least";
            return Err(RecorderError::Invalid(text.to_owned()));
        }
        let fields = change(CLIENT_CONFIG, &changed.name, changed.old, changed.new);
        let item = self.0.sealer.item(Kind::DefinitionChanged, Place::LOG, fields)?;
        match self.append(Draft::one(Guard::None, item)).await? {
            Reply::Written(written) => Ok(written.first),
            _ => Err(RecorderError::LogUnavailable),
        }
    }

    /// What a stream of an open run wraps.
    pub(crate) fn wrapped(&self, run: &Id, stream: u64) -> Result<Wrapped, RecorderError> {
        self.acting(run, stream)?;
        let control = self.control();
        let server = control.run(run).and_then(|run| run.servers.get(&stream)).cloned();
        server.ok_or_else(|| RecorderError::StreamUnknown(id::text(run), stream))
    }
}

/// What a server was started with stands in the entry that opened its stream, and pins are held against that.
fn check_command(told: &Told, started: &str) -> Result<(), RecorderError> {
    let command = told.names.get("command").filter(|_| told.list == List::Server);
    if command.is_none_or(|command| command.to_string() == started) {
        return Ok(());
    }
    let text = format!(
        "the `command` of `{}` is not the one that this stream was opened with: open a run for it",
        told.server
    );
    Err(RecorderError::Invalid(text))
}

/// What is different about a server that `item` starts or lets tell, to be recorded behind it.
pub(crate) fn changes(
    sealer: &Sealer,
    control: &Control,
    item: Option<&Item>,
) -> Result<Vec<Item>, RecorderError> {
    let Some(item) = item else { return Ok(Vec::new()) };
    let (run, stream, vantage) = (item.run, item.stream, item.vantage);
    let fields = match &item.change {
        Change::RunStarted { server: Some(started), .. } => other_command(control, started),
        Change::Told(told) => {
            let server = control.run(&run).and_then(|run| run.servers.get(&stream));
            server.map(|server| told_changes(control, server, told)).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let made = fields.into_iter().map(|fields| {
        let item = sealer.item(Kind::DefinitionChanged, Place { run, stream, vantage }, fields)?;
        Ok(item.caused_by(CauseRef::First))
    });
    made.collect()
}

/// Another command than ever before under a name that is known.
fn other_command(control: &Control, started: &Wrapped) -> Vec<Fields> {
    let Some((old, since)) = control.definitions.other_command(started) else { return Vec::new() };
    let fields = Fields::new()
        .text("what", SERVER_COMMAND)
        .text("name", &started.server)
        .text("old", old)
        .text("new", &started.command)
        .text("server", &started.server)
        .json("since", &json!(since));
    vec![fields]
}

/// One for each difference; of many, one for all.
fn told_changes(control: &Control, server: &Wrapped, told: &Told) -> Vec<Fields> {
    let differences = control.definitions.differences(server, told);
    if differences.len() > DEFINITIONS_CHANGED_MAX {
        let fields = change(MANY, &server.server, None, None);
        return vec![fields.text("server", &server.server).json("count", &json!(differences.len()))];
    }
    let one = |Difference { name, old, new }| {
        let what = told.list.what(&name);
        // a server is known by the same few names as any other: what changed is said by `what`
        let name = if told.list == List::Server { &server.server } else { &name };
        change(what, name, old.map(|old| Digest(old.digest)), new)
            .text("server", &server.server)
            .maybe("since", old.map(|old| json!(old.index)).as_ref())
    };
    differences.into_iter().map(one).collect()
}

fn change(what: &str, name: &str, old: Option<Digest>, new: Option<Digest>) -> Fields {
    let digest = |digest: Option<Digest>| digest.map(|digest| Value::from(digest.to_string()));
    Fields::new()
        .text("what", what)
        .text("name", name)
        .maybe("old", digest(old).as_ref())
        .maybe("new", digest(new).as_ref())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn invalid(error: DefinitionError) -> RecorderError {
    RecorderError::Invalid(error.to_string())
}
