//! Runs for keys that calls presented: one for each key with its task and holder, opened under the first chain that
//! it shows, told of every further one, ended with the wrap or when another key needs the room.

mod acts;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evidence::jws::Jwk;

use self::acts::Acts;
use super::presented::{Chain, Presented, Unfit};
use crate::api::{self, OpenRun, Renew, Trigger};
use crate::client::{Client, ClientError};
use crate::limits::{DRAIN_WAIT, PRESENTED_LEAVES_MAX, PRESENTED_RUNS_MAX};
use crate::run::ask::NoAnswer;
use crate::run::holder::Proof;
use crate::run::tasks::Tasks;
use crate::run::{Held, Run, Setting};

/// The presented keys of one wrap.
pub(crate) struct Guests {
    setting: Arc<Setting>,
    table: Mutex<Table>,
    acts: Mutex<Acts>,
    /// Held while a run is opened: one key never gets two, and the table never grows over its limit.
    opening: tokio::sync::Mutex<()>,
    /// Runs being ended to make room.
    endings: Tasks,
}

/// Open runs by what they are bound to.
#[derive(Default)]
struct Table {
    by_name: HashMap<Name, Guest>,
    uses: u64,
}

/// Thumbprint of the key, with the task and the holders that its chain names: a run is of one of each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name {
    kid: String,
    bound_to: (String, Vec<String>),
}

struct Guest {
    run: Arc<Run>,
    key: Jwk,
    /// Token digests of the leaves that the run knows.
    leaves: Arc<Mutex<HashSet<String>>>,
    /// Clones of it are who keeps the run open.
    open: Arc<()>,
    /// Position in the order of use.
    used: u64,
}

/// A presented key that was found, with its run held open.
struct Found {
    held: Held,
    key: Jwk,
    leaves: Arc<Mutex<HashSet<String>>>,
}

/// Why a presented delegation gives no run to be decided in.
#[derive(Debug)]
pub(crate) enum NotAdmitted {
    /// It is not accepted.
    Unfit(Unfit),
    /// There is no way to the server now.
    NoAnswer(NoAnswer),
}

impl From<Unfit> for NotAdmitted {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<ClientError> for NotAdmitted {
    /// What the server refuses for good is the chain's fault; the rest may pass.
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api { status: 400..=499, code, detail } if code != "busy" => {
                Self::Unfit(Unfit::new(&code, detail))
            }
            error => Self::NoAnswer(NoAnswer::unasked(error)),
        }
    }
}

impl Guests {
    pub(crate) fn new(setting: Arc<Setting>) -> Self {
        Self {
            setting,
            table: Mutex::default(),
            acts: Mutex::default(),
            opening: tokio::sync::Mutex::new(()),
            endings: Tasks::default(),
        }
    }

    /// The run in which a call with this delegation is decided, and the proof to ask with. `host` is the wrap's own
    /// run, whose way to the server is used to open another.
    pub(crate) async fn admit(
        &self,
        host: &Run,
        presented: &Presented,
    ) -> Result<(Held, Proof), NotAdmitted> {
        let found = match self.find(presented)? {
            Some(found) => found,
            None => self.open(host, presented).await?,
        };
        self.take(&found, presented).await?;
        // last, so that an act is known from here on only if it is asked for
        lock(&self.acts).present(&presented.claims, (self.setting.ambient.now_ms)() / 1_000)?;
        Ok((found.held, presented.proof()))
    }

    /// An act that was asked for turned out to be unknown to the log.
    pub(crate) fn never_asked(&self, presented: &Presented) {
        lock(&self.acts).forget(&presented.act_id());
    }

    /// Ends every run.
    pub(crate) async fn end(&self, reason: &str) {
        let runs: Vec<Arc<Run>> = self.table().by_name.drain().map(|(_, guest)| guest.run).collect();
        for run in runs {
            let reason = reason.to_owned();
            self.endings.spawn(async move { run.end(&reason).await });
        }
        // each takes at most two waits
        self.endings.settle(2 * DRAIN_WAIT).await;
        self.endings.abort();
    }

    /// The run of a key that was there before. The proof is checked with the key first.
    fn find(&self, presented: &Presented) -> Result<Option<Found>, Unfit> {
        if let Some(chain) = &presented.chain {
            presented.is_signed_by(&chain.key)?;
        }
        let Some(found) = self.table().find(presented) else { return Ok(None) };
        presented.is_signed_by(&found.key)?;
        Ok(Some(found))
    }

    async fn open(&self, host: &Run, presented: &Presented) -> Result<Found, NotAdmitted> {
        let Some(chain) = &presented.chain else {
            let why = "no chain of this key is known here by this reference: present the chain by value";
            return Err(Unfit::new("delegation-unknown", why).into());
        };
        let _one_at_a_time = self.opening.lock().await;
        if let Some(found) = self.find(presented)? {
            return Ok(found);
        }
        if !self.table().has_room() {
            return Err(no_room().into());
        }
        let client = host.server_soon().await?;
        let request = self.request(chain, presented.handoff.clone());
        let opened =
            Run::open(Arc::clone(&self.setting), client, host.socket.clone(), &request, |_| Ok(None)).await;
        let run = opened?;
        let admitted = self.table().admit(Arc::clone(&run), chain, &presented.leaf);
        match admitted {
            Ok((found, ended)) => {
                if let Some(ended) = ended {
                    self.endings.spawn(async move { ended.end("idle").await });
                }
                Ok(found)
            }
            Err(unfit) => {
                self.endings.spawn(async move { run.end("not-started").await });
                Err(unfit.into())
            }
        }
    }

    fn request(&self, chain: &Chain, handoff: Option<String>) -> OpenRun {
        OpenRun {
            // a chain of several links is work that one agent gave to another
            trigger: (chain.tokens.len() > 1).then_some(Trigger::Agent),
            delegation: Some(api::Presented::Chain(chain.tokens.clone())),
            handoff,
            ..self.setting.opening(chain.key.to_json())
        }
    }

    /// Tells the run of a chain that it does not know yet.
    async fn take(&self, found: &Found, presented: &Presented) -> Result<(), NotAdmitted> {
        if lock(&found.leaves).contains(&presented.leaf) {
            return Ok(());
        }
        let run = &found.held.run;
        let client: Client = run.server_soon().await?;
        let delegation = match &presented.chain {
            Some(chain) => api::Presented::Chain(chain.tokens.clone()),
            None => api::Presented::Ref(presented.leaf.clone()),
        };
        let request = Renew {
            stream: run.stream,
            key: found.key.to_json(),
            root_request: None,
            scope: None,
            delegation: Some(delegation),
        };
        client.renew(&run.id, &request).await?;
        let mut leaves = lock(&found.leaves);
        if leaves.len() >= PRESENTED_LEAVES_MAX {
            leaves.clear();
        }
        leaves.insert(presented.leaf.clone());
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }
}

impl Table {
    /// The run for a chain by value is the one of its name; for a reference the one of its key that knows it, else the
    /// last one used, which the server may know it for.
    fn find(&mut self, presented: &Presented) -> Option<Found> {
        self.uses += 1;
        let kid = presented.kid();
        let guest = match &presented.chain {
            Some(chain) => self.by_name.get_mut(&chain.name(kid))?,
            None => {
                let of_key =
                    self.by_name.iter_mut().filter(|(name, _)| name.kid == kid).map(|(_, guest)| guest);
                of_key.max_by_key(|guest| (lock(&guest.leaves).contains(&presented.leaf), guest.used))?
            }
        };
        guest.used = self.uses;
        Some(guest.found())
    }

    fn has_room(&self) -> bool {
        self.by_name.len() < PRESENTED_RUNS_MAX || self.longest_idle().is_some()
    }

    /// Takes in a run, and gives the one that had to make room for it.
    fn admit(
        &mut self,
        run: Arc<Run>,
        chain: &Chain,
        leaf: &str,
    ) -> Result<(Found, Option<Arc<Run>>), Unfit> {
        let ended = if self.by_name.len() >= PRESENTED_RUNS_MAX {
            let idle = self.longest_idle().cloned().ok_or_else(no_room)?;
            self.by_name.remove(&idle).map(|guest| guest.run)
        } else {
            None
        };
        self.uses += 1;
        let guest = Guest {
            run,
            key: chain.key.clone(),
            leaves: Arc::new(Mutex::new(HashSet::from([leaf.to_owned()]))),
            open: Arc::new(()),
            used: self.uses,
        };
        let found = guest.found();
        self.by_name.insert(chain.name(&chain.key.thumbprint()), guest);
        Ok((found, ended))
    }

    /// The one that was used longest ago of those whose run nobody keeps open.
    fn longest_idle(&self) -> Option<&Name> {
        // whoever holds one got it under the lock of this table, so none can appear while it is looked at
        let idle = self.by_name.iter().filter(|(_, guest)| Arc::strong_count(&guest.open) == 1);
        idle.min_by_key(|(_, guest)| guest.used).map(|(name, _)| name)
    }
}

impl Chain {
    fn name(&self, kid: &str) -> Name {
        Name { kid: kid.to_owned(), bound_to: self.bound_to.clone() }
    }
}

impl Guest {
    fn found(&self) -> Found {
        Found {
            held: Held { run: Arc::clone(&self.run), _open: Arc::clone(&self.open) },
            key: self.key.clone(),
            leaves: Arc::clone(&self.leaves),
        }
    }
}

fn no_room() -> Unfit {
    let why = format!(
        "{PRESENTED_RUNS_MAX} agents are at work through this wrap already: call again when one of them has finished"
    );
    Unfit::new("run-full", why)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
