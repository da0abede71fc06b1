//! Tasks: which runs belong together, and what an alias stands for in all of them.

use evidence::Digest;
use evidence::id::{self, Id};
use evidence::label::Assurance;
use evidence::principal::{Holder, PrincipalKind};
use identity::Identified;
use serde_json::json;

use crate::control::Control;
use crate::runs::{Client, OpenRun, RunPlace, Server};
use crate::{Peer, Recorder, RecorderError};

/// The task that a run belongs to, and who acts in it.
#[derive(Debug, Clone)]
pub(crate) struct TaskFacts {
    /// By which the control state remembers it, where it does.
    pub(crate) name: Option<String>,
    pub(crate) txn: String,
    pub(crate) holder: Holder,
}

impl Recorder {
    /// The task of a client, or the one that its request or its run names. All runs of a task share it, and in it an
    /// alias stands for one command.
    pub(crate) fn task(
        &self,
        open: &OpenRun,
        identified: &Identified,
        peer: Peer,
        place: &RunPlace,
    ) -> Result<TaskFacts, RecorderError> {
        let asked = identified.request.as_ref().and_then(|request| request.request.txn);
        let named = place.joined.as_ref().map(|joined| joined.txn.clone());
        let named = named.or_else(|| asked.map(|txn| id::text(&txn)));
        let control = self.control();
        let (name, txn, known) = match named {
            Some(txn) => (Some(name_of(&txn)), txn, None),
            None => {
                let name = client_key(&open.client, identified, peer);
                let known = name.as_ref().and_then(|name| control.tasks.get(name));
                let txn = known.map_or_else(|| id::text(&self.new_id()), |task| task.txn.clone());
                (name, txn, known.map(|task| task.holder.clone()))
            }
        };
        check_alias(&control, &txn, &open.server)?;
        let joined = place.joined.as_ref().map(|joined| joined.holder.id.clone());
        let otherwise = joined.or(known).unwrap_or_else(|| inferred_holder(&open.client, peer));
        let holder = self.holder(identified, otherwise);
        Ok(TaskFacts { name, txn, holder })
    }

    /// Who holds a root: as the request names it, as the mandate allows for whoever signed the request, or
    /// `otherwise`, which is inferred. The key is the root's to say.
    pub(crate) fn holder(&self, identified: &Identified, otherwise: String) -> Holder {
        let request = identified.request.as_ref();
        let (id, kind, asr) = match request.and_then(|request| request.request.holder.clone()) {
            Some((id, kind)) => (id, kind, Assurance::DelegatorAsserted),
            None => match request.filter(|_| identified.mandated.is_some()) {
                // a key that is registered for this name signed the request
                Some(asker) => (asker.principal.sub.clone(), asker.principal.kind, Assurance::IssuerAsserted),
                None => (otherwise, PrincipalKind::Agent, Assurance::Inferred),
            },
        };
        let inst = id::text(&self.new_id());
        Holder { id, inst, kind, asr: asr.as_str().to_owned(), key: String::new() }
    }

    /// The task of a chain that somebody made: the one that the chain names.
    pub(crate) fn task_of_chain(
        &self,
        txn: &Id,
        holder: Holder,
        server: &Server,
    ) -> Result<TaskFacts, RecorderError> {
        let txn = id::text(txn);
        check_alias(&self.control(), &txn, server)?;
        Ok(TaskFacts { name: Some(name_of(&txn)), txn, holder })
    }
}

/// By which a task is remembered that is known by its `txn`, whichever client's runs belong to it.
fn name_of(txn: &str) -> String {
    Digest::of(&evidence::json::jcs(&json!(["txn", txn]))).hex()
}

/// What makes two writers writers of one client: user, parent process, principal and named holder.
fn client_key(client: &Client, identified: &Identified, peer: Peer) -> Option<String> {
    let (pid, start) = (client.pid?, client.start?);
    let named = identified.request.as_ref().and_then(|request| request.request.holder.as_ref());
    let named = named.map(|(id, _)| id.as_str());
    let parts = json!([peer.uid, pid, start, identified.principal.iss, identified.principal.sub, named]);
    Some(Digest::of(&evidence::json::jcs(&parts)).hex())
}

fn inferred_holder(client: &Client, peer: Peer) -> String {
    let exe = client.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or("unknown");
    let pid = client.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    format!("local:uid-{}/{exe}/{pid}-{}", peer.uid, client.start.unwrap_or_default())
}

/// A scope names tools by alias, so that in all runs of a task an alias must mean one command.
fn check_alias(control: &Control, txn: &str, server: &Server) -> Result<(), RecorderError> {
    if is_alias_free(control, txn, &server.name(), &server.command_digest()) {
        return Ok(());
    }
    Err(RecorderError::AliasTaken(server.alias.clone()))
}

/// Whether a server's name stands for this command, or for none yet, in a task.
pub(crate) fn is_alias_free(control: &Control, txn: &str, server: &str, command: &str) -> bool {
    let mut tasks = control.tasks.values().filter(|task| task.txn == txn);
    tasks.all(|task| task.aliases.get(server).is_none_or(|known| known == command))
}
