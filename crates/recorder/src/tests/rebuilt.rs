//! The state is rebuilt from the log alone, whatever was recorded: with its snapshot, and without.

use evidence::Status;
use evidence::artifact::{List as Things, Role};
use evidence::definition::List;
use evidence::delegation::{On, Target, What};

use super::making::*;
use super::*;

const READ: &str = "stdio:fs#read_file";

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_that_changes_the_state_changes_it_again_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path()).await;
    let person = register(&bench, "ciso", 11).await;
    let mandate = mandate(&bench, &person, "ciso", "playbook").sign(&person);
    let registered = bench.recorder.register_mandate(&mandate, PEER).await.unwrap();
    let root = bench.issued(&person, 20, |_| {}).await;
    let child = root.child(&bench, 21);
    let parent = bench.opened(&root).await;
    let run = bench.opened(&child).await;
    let permit = bench.allowed(bench.act(&run, &child, READ, "{}", 0)).await;
    permit.finish(bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
    bench.allowed(bench.act(&parent, &root, READ, "{}", 3)).await.leased();
    let revoke = |what, target| Revoke { what, target, eff: None, why: "lost".into(), token: None };
    let other = bench.issued(&person, 30, |_| {}).await;
    bench.recorder.revoke(revoke(What::Delegation, Target::Text(other.leaf())), PEER).await.unwrap();
    let nobody = Target::Principal { iss: "https://id".into(), sub: "nobody".into() };
    bench.recorder.revoke(revoke(What::Principal, nobody), PEER).await.unwrap();
    let agent = On::Agent { id: "agent-21".into() };
    let halt = bench.recorder.halt(agent.clone(), "stop", None, PEER).await.unwrap();
    let lifted = bench.recorder.halt(On::All, "stop", None, PEER).await.unwrap();
    let order = resume_order(&bench, &person, &On::All, lifted);
    bench.recorder.resume(lifted, "go on", &order.sign(&person), PEER).await.unwrap();
    for (counter, with_snapshot) in (4..).zip([true, false, false]) {
        bench = restarted(bench, directory.path(), with_snapshot).await;
        {
            let control = bench.recorder.control();
            assert_eq!(control.mandates[&registered.digest].index, registered.index);
            assert!(control.roots.get(&root.leaf()).is_some());
            assert_eq!(control.orders.revocations().count(), 2);
            let state = control.run(&parent.run).unwrap();
            assert_eq!(state.children, [id::text(&run.run)]);
            assert_eq!(control.run(&run.run).unwrap().parent, Some(id::text(&parent.run)));
        }
        assert_eq!(
            bench.recorder.halts().unwrap().iter().map(|halted| halted.index).collect::<Vec<_>>(),
            [halt]
        );
        assert_eq!(bench.recorder.register_mandate(&mandate, PEER).await.unwrap(), registered);
        // a reference is a cache, and gone with the process; by value the chain is known
        let open = OpenRun { delegation: Some(Presented::Ref(child.leaf())), ..under(&child) };
        let unknown = bench.recorder.open_run(open, PEER).await.map(drop);
        assert_eq!(unknown, Err(RecorderError::DelegationUnknown(child.leaf())));
        assert_eq!(bench.recorder.keep_chain(child.tokens.clone(), PEER).await.unwrap().links, 2);
        // what was ordered before the restart holds behind it, and what was not does not
        bench.denied(bench.act(&run, &child, READ, "{}", counter), "halted").await;
        bench.not_taken(&other, "revoked").await;
        bench.allowed(bench.act(&parent, &root, READ, "{}", counter)).await.leased();
    }
    let ended = bench.recorder.end_stream(parent.run, 0, "closed", 0).await.unwrap().index.unwrap();
    assert_eq!(bench.field(ended, "children"), Some(json!([id::text(&run.run)])));
}

/// A history in which whatever comes up is done, as far as it can be.
struct History {
    bench: Bench,
    random: SeededRandom,
    runs: Vec<(Opened, String)>,
    counter: u64,
    /// Acts whose target asked for input, with their decisions.
    unfinished: Vec<(Request, u64)>,
}

impl History {
    fn below(&mut self, end: u64) -> u64 {
        u64::from_le_bytes(self.random.array()) % end
    }

    fn text(&mut self, of: &str, end: u64) -> String {
        format!("{of}{}", self.below(end))
    }

    fn digest(&mut self) -> Digest {
        Digest::of(self.text("v", 3).as_bytes())
    }

    async fn open(&mut self) {
        let alias = ["fs", "fs", "mail"][usize::try_from(self.below(3)).unwrap()].to_owned();
        let command = self.text("c", 3);
        let open = open_fs();
        let server = Server { alias: alias.clone(), command: vec![command], ..open.server.clone() };
        // mostly a client, and so a task, of its own: there a name may stand for another command
        let client = Client { pid: Some(i32::try_from(self.below(4)).unwrap()), ..open.client.clone() };
        let among = self.below(3);
        let join = self.runs.last().filter(|_| among == 0).map(|(run, _)| run.run);
        let open = OpenRun { server, join, client, ..open };
        if let Ok(run) = self.bench.recorder.open_run(open, PEER).await {
            self.runs.push((run, alias));
        }
    }

    async fn define(&mut self, run: &Opened) {
        let server = self.below(3) == 0;
        let names = if server { ["executable", "package", "environment"] } else { ["a", "b", "c"] };
        let mut told = std::collections::BTreeMap::new();
        for name in names {
            if self.below(2) == 0 {
                told.insert(name.to_owned(), self.digest());
            }
        }
        let gone = names.iter().filter(|_| self.below(5) == 0).map(|name| (*name).to_owned()).collect();
        let define = Define {
            list: if server { List::Server } else { List::Tool },
            names: told,
            gone,
            complete: self.below(2) == 0,
            frame_digest: None,
        };
        self.bench.recorder.define(run.run, run.stream, define).await.unwrap();
    }

    async fn part(&mut self, run: &Opened, act_id: Id) {
        let artifacts = json!([{"uri": self.text("file:///w/", 2)}]);
        let artifacts = Things::from_json(&artifacts).unwrap();
        let role = if self.below(2) == 0 { Role::Inputs } else { Role::Outputs };
        let part = ArtifactsPart { act_id, role, part: self.below(2), artifacts };
        self.bench.recorder.artifacts(run.run, run.stream, part).await.unwrap();
    }

    async fn act(&mut self, run: &Opened, alias: &str) {
        self.counter += 1;
        let tool = self.text("t", 3);
        let mut call = self.bench.call(run, &tool, &json!({}), self.counter);
        if alias != "fs" {
            call.malformed = Some(Reason::new("malformed", "begin", "of another server"));
        }
        self.part(run, call.act_id).await;
        if let Ok(Answer::Allowed(permit)) = self.bench.recorder.begin(call.clone(), PEER).await {
            let decision = permit.index;
            let status = [Status::Ok, Status::InputRequired, Status::Unknown, Status::Ok];
            let status = status[usize::try_from(self.below(4)).unwrap()];
            if self.below(4) == 0 {
                permit.leased();
                return;
            }
            permit.finish(self.bench.outcome(status)).unwrap().wait().await.unwrap();
            if status == Status::InputRequired {
                self.unfinished.push((call, decision));
            }
            let late = self.bench.outcome(Status::Ok);
            let act_id = self.unfinished.last().map_or([0; 16], |(call, _)| call.act_id);
            if let Ok(late) = self.bench.recorder.finish(run.run, act_id, decision, late) {
                late.wait().await.unwrap();
            }
        }
    }

    async fn retry(&mut self) {
        let Some((call, decision)) = self.unfinished.pop() else { return };
        self.counter += 1;
        let tool = call.tool.split_once('#').unwrap().1.to_owned();
        let Some((run, _)) =
            self.runs.iter().find(|(run, _)| run.run == call.run && run.stream == call.stream)
        else {
            return;
        };
        let again = self.bench.call_of(run, &tool, &json!({}), self.counter, call.act_id);
        let again = Request { retry_of: Some(decision), ..again };
        if let Ok(Answer::Allowed(permit)) = self.bench.recorder.begin(again, PEER).await {
            permit.finish(self.bench.outcome(Status::Ok)).unwrap().wait().await.unwrap();
        }
    }

    async fn beside(&mut self, run: &Opened) {
        let recorder = self.bench.recorder.clone();
        match self.below(4) {
            0 => {
                let name = self.text("client:/x#s", 3);
                let changed = ConfigChanged { name, old: None, new: Some(self.digest()) };
                recorder.client_config_changed(changed).await.unwrap();
            }
            1 => {
                let withdraw =
                    Withdraw { uri: Some(self.text("file:///w/", 3)), digest: None, why: "x".into() };
                recorder.withdraw(&withdraw, PEER).await.unwrap();
            }
            2 => {
                let seen = Observation {
                    subtype: "frame".into(),
                    payload: json!({}),
                    count: None,
                    act_id: None,
                    frame_digest: None,
                    refusal: true,
                };
                recorder.observe(run.run, run.stream, seen).await.unwrap();
                recorder.flush_refusals(None).await.unwrap();
            }
            _ => {
                let gap =
                    Gap { reason: "x".into(), from_ms: 1, to_ms: 2, count: 1, digest: None, detail: None };
                recorder.record_gap(run.run, run.stream, gap).await.unwrap();
            }
        }
    }

    async fn step(&mut self) {
        let count = self.runs.len() as u64;
        if count == 0 {
            return self.open().await;
        }
        let nth = usize::try_from(self.below(count)).unwrap();
        let (run, alias) = self.runs[nth].clone();
        match self.below(10) {
            0 | 1 => self.open().await,
            2..=4 => self.define(&run).await,
            5 | 6 => self.act(&run, &alias).await,
            7 => self.retry().await,
            8 => self.beside(&run).await,
            _ if count > 4 => {
                self.bench.recorder.end_stream(run.run, run.stream, "closed", 0).await.unwrap();
                let ended = |run: &Opened| {
                    self.bench.recorder.control().run(&run.run).is_none_or(|run| run.ended.is_some())
                };
                let over: Vec<bool> = self.runs.iter().map(|(run, _)| ended(run)).collect();
                let mut over = over.into_iter();
                self.runs.retain(|_| !over.next().unwrap());
            }
            _ => {}
        }
    }
}

/// From a snapshot of any moment and what came after it, from the last one, and from the first entry on: one state.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_the_state_is_the_same_from_a_snapshot_and_from_the_log() {
    for seed in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let bench = bench(directory.path()).await;
        let (runs, unfinished) = (Vec::new(), Vec::new());
        let mut history = History { bench, random: SeededRandom::new(seed), runs, counter: 0, unfinished };
        let mut snapshots = Vec::new();
        for step in 0..90 {
            if step % 30 == 17 {
                let path = directory.path().join(format!("snapshot-{step}"));
                control::save(&path, &history.bench.recorder.control()).unwrap();
                snapshots.push(path);
            }
            history.step().await;
        }
        let mut bench = history.bench;
        let kinds = bench.kinds();
        for kind in
            [Kind::DefinitionChanged, Kind::LabelChanged, Kind::Decided, Kind::Finished, Kind::Observed]
        {
            assert!(kinds.contains(&kind), "{seed}: {kind:?}");
        }
        let (errors, _) = findings(&bench);
        assert!(errors.is_empty(), "{seed}: {errors:#?}");
        for snapshot in snapshots {
            let (live, clock) = (bench.recorder.control().clone(), bench.clock.clone());
            drop(bench);
            std::fs::copy(snapshot, directory.path().join("local/control.json")).unwrap();
            clock.advance(1);
            bench = reopened(directory.path(), clock).await;
            assert_eq!(*bench.recorder.control(), live, "{seed}");
        }
        for with_snapshot in [true, false] {
            bench = restarted(bench, directory.path(), with_snapshot).await;
        }
    }
}
