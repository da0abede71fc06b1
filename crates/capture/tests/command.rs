//! `deeds run` with real processes, real files and a real server of the API over a Unix socket: what is decided before
//! the command starts, what is recorded of its files, and what each kind of trouble leaves behind.

#[cfg(test)]
#[allow(dead_code, reason = "the tests of the proxy use the rest of it")]
#[path = "support/api.rs"]
mod api;

#[cfg(test)]
mod command {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use capture::api::Scheme;
    use capture::command::{CommandError, CommandOptions, Ended, Exit, Ran, Signal, run, signals};
    use capture::files::{Declared, Watch, file_uri};
    use capture::limits::{ARTIFACTS_MAX, CORRELATOR_MAX, FILES_DEPTH_MAX};
    use capture::run::{About, Ambient, RunOptions};
    use ed25519_dalek::SigningKey;
    use evidence::{Digest, Status};
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use serde_json::{Value, json};
    use tokio::sync::mpsc::UnboundedSender;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use crate::api::{Api, RUN};

    const PATIENCE: Duration = Duration::from_secs(20);
    const SIGTERM: i32 = 15;

    /// A directory to work in, with a server beside it.
    struct Place {
        api: Api,
        dir: tempfile::TempDir,
    }

    /// A command on its way.
    struct Going {
        command: JoinHandle<Result<Ended, CommandError>>,
        signals: UnboundedSender<Signal>,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("work")).unwrap();
            let api = Api::start(&dir.path().join("deeds.sock"));
            Self { api, dir }
        }

        fn work(&self) -> PathBuf {
            fs::canonicalize(self.dir.path().join("work")).unwrap()
        }

        fn uri(&self, name: &str) -> String {
            file_uri(&self.work().join(name))
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.work().join(name), text).unwrap();
        }

        /// A pipe outside of what is watched.
        fn pipe(&self, name: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            path
        }

        fn start(&self, argv: &[&str], change: impl FnOnce(&mut CommandOptions)) -> Going {
            let mut options = options(self.dir.path().join("deeds.sock"), &self.work(), argv);
            change(&mut options);
            let (tell, signals) = signals();
            Going { command: tokio::spawn(run(options, signals)), signals: tell }
        }

        async fn sh(&self, script: &str) -> Ran {
            ran(self.start(&["sh", "-c", script], |_| {}).ended().await)
        }

        async fn finish(&self) -> Value {
            self.api.nth("finish", 0).await["body"].clone()
        }
    }

    impl Going {
        async fn ended(self) -> Result<Ended, CommandError> {
            timeout(PATIENCE, self.command).await.expect("the command ends").unwrap()
        }
    }

    fn ran(ended: Result<Ended, CommandError>) -> Ran {
        match ended {
            Ok(Ended::Ran(ran)) => ran,
            other => panic!("{other:?}"),
        }
    }

    fn options(socket: PathBuf, work: &Path, argv: &[&str]) -> CommandOptions {
        let (clock, drawn) = (AtomicU64::new(0), AtomicU64::new(0));
        CommandOptions {
            run: RunOptions {
                alias: "sh".into(),
                enforcement_point: "deeds run".into(),
                scheme: Scheme::Run,
                command: vec![argv[0].into()],
                connect: Arc::new(move || {
                    let socket = socket.clone();
                    Box::pin(async move { Ok(socket) })
                }),
                key: SigningKey::from_bytes(&[1; 32]),
                delegation: None,
                parent: None,
                root_request: None,
                scope: None,
                join: None,
                receipts: None,
                about: About { purpose: "test".into(), parent_pid: 1, ..About::default() },
                ambient: Ambient {
                    now_ms: Arc::new(|| 1_800_000_000_000),
                    monotonic_us: Arc::new(move || clock.fetch_add(10, Ordering::Relaxed)),
                    random: Arc::new(move |buffer| {
                        let n = drawn.fetch_add(1, Ordering::Relaxed);
                        buffer.fill(0xa5);
                        for (byte, part) in buffer.iter_mut().zip(n.to_be_bytes()) {
                            *byte = part;
                        }
                    }),
                },
            },
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            cwd: work.to_str().unwrap().to_owned(),
            files: Declared::default(),
            passed_over: vec![],
            own_variables: vec![],
            environment_names: vec!["HOME".into(), "PATH".into()],
            ci: None,
            oidc: None,
            watch: Arc::new(Watch::default()),
        }
    }

    fn asked(shared: bool) -> Signal {
        Signal { number: SIGTERM, shared }
    }

    fn digest(text: &str) -> Value {
        Digest::of(text.as_bytes()).to_string().into()
    }

    /// What a process writes into a pipe that it opened.
    async fn told(pipe: PathBuf) -> String {
        tokio::task::spawn_blocking(move || fs::read_to_string(pipe).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_command_is_decided_run_and_recorded_with_its_files() {
        let place = Place::new();
        place.write("changed", "before");
        place.write("gone", "gone");
        place.write("kept", "kept");
        let ran = place.sh("printf after > changed; printf made > made; rm gone").await;
        assert_eq!((ran.status, ran.exit, ran.changed), (Status::Ok, Exit::Code(0), 3));
        assert_eq!(ran.remarks, [] as [String; 0]);

        let opened = place.api.nth("open", 0).await;
        assert_eq!((&opened["scheme"], &opened["command"]), (&json!("run"), &json!(["sh"])));
        assert_eq!(opened["enforcement_point"]["id"], "deeds run");
        let begin = place.api.nth("begin", 0).await;
        let work = place.work().display().to_string();
        let script = "printf after > changed; printf made > made; rm gone";
        let args = format!(r#"{{"argv":["sh","-c","{script}"],"cwd":"{work}"}}"#);
        assert_eq!(begin["args"], args);
        assert_eq!(begin["frame_digest"], digest(&args));
        assert_eq!(
            (&begin["operation"], &begin["tool"]),
            (&json!("command/run"), &json!("run:sh#command/run"))
        );
        assert_eq!(begin["correlators"], json!({"environment_names": ["HOME", "PATH"]}));
        let list = |of: &[(&str, &str)]| -> String {
            let line = |(name, text): &(&str, &str)| format!("file {} {name}\n", Digest::of(text.as_bytes()));
            of.iter().map(line).collect::<Vec<_>>().concat()
        };
        let before = digest(&list(&[("changed", "before"), ("gone", "gone"), ("kept", "kept")]));
        let after = digest(&list(&[("changed", "after"), ("kept", "kept"), ("made", "made")]));
        let whole = file_uri(&place.work());
        let directory = json!({"uri": whole, "digest": before, "media_type": "inode/directory"});
        assert_eq!(begin["inputs"], json!([directory]));

        let finish = place.finish().await;
        assert_eq!(finish["decision"], ran.decision);
        assert_eq!((&finish["status"], &finish["detail"]), (&json!("ok"), &Value::Null));
        assert_eq!(finish["result"], r#"{"exit_code":0}"#);
        assert_eq!(
            (&finish["result_digest"], &finish["result_size"]),
            (&digest(r#"{"exit_code":0}"#), &json!(15))
        );
        assert_eq!(finish["duration_us"], 10);
        let outputs = json!([
            {"uri": whole, "digest": after, "media_type": "inode/directory", "change": "modified", "before": before},
            {"uri": place.uri("changed"), "digest": digest("after"), "size": 5, "change": "modified",
                "before": digest("before")},
            {"uri": place.uri("gone"), "change": "deleted", "before": digest("gone")},
            {"uri": place.uri("made"), "digest": digest("made"), "size": 4, "change": "created"},
        ]);
        assert_eq!(finish["outputs"], outputs);
        assert_eq!(place.api.nth("end", 0).await["reason"], "closed");
        assert!(ran.outcome.is_some());
    }

    #[tokio::test]
    async fn nothing_starts_before_the_decision() {
        let place = Place::new();
        place.api.set(|behaviour| behaviour.hold_begin = true);
        let going = place.start(&["touch", "started"], |_| {});
        place.api.nth("begin", 0).await;
        assert!(!place.work().join("started").exists());
        place.api.set(|behaviour| behaviour.hold_begin = false);
        ran(going.ended().await);
        assert!(place.work().join("started").exists());
    }

    #[tokio::test]
    async fn every_way_to_end_has_its_outcome() {
        for (script, exit, status, detail, result) in [
            ("exit 3", Exit::Code(3), "tool-error", "exit status 3", r#"{"exit_code":3}"#),
            ("kill -9 $$", Exit::Signal(9), "tool-error", "killed by signal 9", r#"{"signal":9}"#),
        ] {
            let place = Place::new();
            assert_eq!(place.sh(script).await.exit, exit);
            let finish = place.finish().await;
            assert_eq!((&finish["status"], &finish["detail"]), (&json!(status), &json!(detail)));
            assert_eq!((&finish["result"], &finish["result_digest"]), (&json!(result), &digest(result)));
        }
        assert_eq!([Exit::Code(3), Exit::Signal(9), Exit::Unknown].map(Exit::code), [3, 137, 1]);
    }

    #[tokio::test]
    async fn a_command_that_does_not_start_was_not_forwarded() {
        let place = Place::new();
        let ended = place.start(&["./none"], |_| {}).ended().await;
        assert!(matches!(ended, Ok(Ended::NotStarted { .. })), "{ended:?}");
        let finish = place.finish().await;
        assert_eq!(finish["status"], "not-forwarded");
        assert!(finish["detail"].as_str().unwrap().starts_with("the command did not start: "), "{finish}");
        assert_eq!(place.api.nth("end", 0).await["reason"], "not-started");
    }

    #[tokio::test]
    async fn a_denied_command_never_starts() {
        let place = Place::new();
        let ended = place.start(&["touch", "started"], |options| options.run.alias = "denied".into());
        let Ok(Ended::Denied { index, reason, hint }) = ended.ended().await else { panic!() };
        assert_eq!(index, place.api.nth("decided", 0).await["index"].as_u64());
        assert_eq!((reason.step.as_str(), hint), ("scope", None));
        assert!(!place.work().join("started").exists());
        assert_eq!(place.api.nth("end", 0).await["reason"], "not-started");
        assert_eq!(place.api.bodies("finish"), [] as [Value; 0]);
    }

    #[tokio::test]
    async fn without_a_server_nothing_starts() {
        let mut place = Place::new();
        place.api.stop().await;
        let ended = place.start(&["touch", "started"], |_| {}).ended().await;
        assert!(matches!(ended, Err(CommandError::Open(_))), "{ended:?}");
        let ended = place
            .start(&["touch", "started"], |options| {
                options.run.connect = Arc::new(|| Box::pin(async { Err("no server can be started".into()) }));
            })
            .ended()
            .await;
        assert!(ended.unwrap_err().to_string().contains("no server can be started"));
        assert!(!place.work().join("started").exists());
    }

    #[tokio::test]
    async fn a_decision_that_got_lost_starts_nothing_and_is_given_back() {
        let place = Place::new();
        place.api.set(|behaviour| behaviour.lose_begins = 1);
        let error = place.start(&["touch", "started"], |_| {}).ended().await.unwrap_err().to_string();
        assert!(error.contains("not started") && error.contains("recorded as not forwarded"), "{error}");
        assert!(!place.work().join("started").exists());
        assert_eq!(place.finish().await["status"], "not-forwarded");
    }

    #[tokio::test]
    async fn a_log_that_takes_nothing_starts_nothing() {
        let place = Place::new();
        let ended = place.start(&["touch", "started"], |options| options.run.alias = "unavailable".into());
        let error = ended.ended().await.unwrap_err().to_string();
        assert!(error.contains("the log cannot take entries now"), "{error}");
        assert!(!place.work().join("started").exists());
        assert_eq!(place.api.nth("gap", 0).await["count"], 1);
    }

    #[tokio::test]
    async fn a_signal_goes_to_the_command_and_its_end_is_waited_for() {
        let place = Place::new();
        let (up, hold) = (place.pipe("up"), place.pipe("hold"));
        let script = format!("echo up > '{}'; exec cat '{}'", up.display(), hold.display());
        let going = place.start(&["sh", "-c", &script], |_| {});
        assert_eq!(told(up).await, "up\n");
        going.signals.send(asked(false)).unwrap();
        let ran = ran(going.ended().await);
        assert_eq!((ran.exit, ran.status), (Exit::Signal(SIGTERM), Status::ToolError));
        assert_eq!(place.finish().await["detail"], "killed by signal 15");
    }

    #[tokio::test]
    async fn a_signal_that_the_command_got_already_is_not_sent_again() {
        let place = Place::new();
        let (up, hold) = (place.pipe("up"), place.pipe("hold"));
        let script = format!("echo up > '{}'; cat '{}'", up.display(), hold.display());
        let going = place.start(&["sh", "-c", &script], |_| {});
        assert_eq!(told(up).await, "up\n");
        going.signals.send(asked(true)).unwrap();
        // nothing but this ends it
        tokio::task::spawn_blocking(move || fs::write(hold, "").unwrap()).await.unwrap();
        assert_eq!(ran(going.ended().await).exit, Exit::Code(0));
    }

    #[tokio::test]
    async fn a_command_may_take_its_time_with_a_signal() {
        let place = Place::new();
        let up = place.pipe("up");
        let script = format!(
            "trap 'echo late > late; exit 7' TERM; echo up > '{}'; while :; do :; done",
            up.display()
        );
        let going = place.start(&["sh", "-c", &script], |_| {});
        assert_eq!(told(up).await, "up\n");
        going.signals.send(asked(false)).unwrap();
        let ran = ran(going.ended().await);
        assert_eq!((ran.exit, ran.changed), (Exit::Code(7), 1));
        assert_eq!(place.finish().await["outputs"][1]["uri"], place.uri("late"));
    }

    #[tokio::test]
    async fn a_signal_before_the_start_gives_the_permit_back() {
        let place = Place::new();
        place.api.set(|behaviour| behaviour.hold_begin = true);
        let going = place.start(&["touch", "started"], |_| {});
        place.api.nth("begin", 0).await;
        going.signals.send(asked(false)).unwrap();
        place.api.set(|behaviour| behaviour.hold_begin = false);
        let ended = going.ended().await;
        assert!(matches!(ended, Ok(Ended::Interrupted { signal: SIGTERM, decision: Some(_) })), "{ended:?}");
        assert!(!place.work().join("started").exists());
        let finish = place.finish().await;
        assert_eq!(finish["status"], "not-forwarded");
        assert_eq!(finish["detail"], "ended by signal 15 before the command was started");
    }

    #[tokio::test]
    async fn an_outcome_waits_for_a_server_that_was_away() {
        let mut place = Place::new();
        let (up, hold) = (place.pipe("up"), place.pipe("hold"));
        let script = format!("echo up > '{}'; cat '{}' > made", up.display(), hold.display());
        let going = place.start(&["sh", "-c", &script], |_| {});
        assert_eq!(told(up).await, "up\n");
        place.api.stop().await;
        tokio::task::spawn_blocking(move || fs::write(hold, "text").unwrap()).await.unwrap();
        place.api.listen();
        assert_eq!(ran(going.ended().await).changed, 1);
        assert_eq!(place.finish().await["outputs"][1]["digest"], digest("text"));
    }

    #[tokio::test]
    async fn whoever_asks_to_end_does_not_wait_for_a_slow_log() {
        let place = Place::new();
        place.api.set(|behaviour| behaviour.hold_receipt = true);
        let going = place.start(&["true"], |_| {});
        place.api.nth("finish", 0).await;
        going.signals.send(asked(false)).unwrap();
        // on this one thread, it has seen the signal when it is our turn again
        tokio::task::yield_now().await;
        place.api.set(|behaviour| behaviour.hold_receipt = false);
        let ran = ran(going.ended().await);
        assert_eq!((ran.exit, ran.outcome), (Exit::Code(0), None));
        assert_eq!(place.finish().await["status"], "ok");
    }

    #[tokio::test]
    async fn long_lists_are_recorded_in_parts_first() {
        let place = Place::new();
        let count = ARTIFACTS_MAX + 1;
        for n in 0..count {
            place.write(&format!("{n:03}"), &n.to_string());
        }
        let script = "for file in *; do echo more >> $file; done";
        let ran = ran(place
            .start(&["sh", "-c", script], |options| {
                options.files = Declared { reads: vec![".".into()], writes: vec![] };
            })
            .ended()
            .await);
        assert_eq!((ran.changed, ran.remarks), (count, vec![]));
        let events = place.api.events();
        let order: Vec<&str> = events
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| ["artifacts", "begin", "finish"].contains(name))
            .collect();
        let parts = |role: &str| -> Vec<Value> {
            place.api.bodies("artifacts").into_iter().filter(|part| part["role"] == role).collect()
        };
        let (inputs, outputs) = (parts("inputs"), parts("outputs"));
        let expected = [vec!["artifacts"; inputs.len()], vec!["begin"], vec!["artifacts"; outputs.len()]];
        assert_eq!(order, [expected.concat(), vec!["finish"]].concat());
        let begin = place.api.nth("begin", 0).await;
        for (parts, stands) in [(inputs, &begin["inputs"]), (outputs, &place.finish().await["outputs"])] {
            assert!(parts.len() > 1);
            let mut all = Vec::new();
            for (number, part) in parts.iter().enumerate() {
                assert_eq!((&part["part"], &part["act_id"]), (&json!(number), &begin["act_id"]));
                assert!(part["artifacts"].as_array().unwrap().len() <= ARTIFACTS_MAX);
                all.extend(part["artifacts"].as_array().unwrap().clone());
            }
            let whole = Digest::of(&evidence::json::jcs(&Value::Array(all))).to_string();
            assert_eq!(*stands, json!({"count": count, "digest": whole}));
        }
    }

    #[tokio::test]
    async fn what_is_only_read_and_changes_all_the_same_is_an_output() {
        let place = Place::new();
        place.write("table", "1");
        place.write("aside", "1");
        let script = "printf 2 > table; printf 2 > aside";
        let ran = ran(place
            .start(&["sh", "-c", script], |options| options.files.reads = vec!["table".into()])
            .ended()
            .await);
        assert_eq!(ran.changed, 1);
        let begin = place.api.nth("begin", 0).await;
        assert_eq!(begin["inputs"], json!([{"uri": place.uri("table"), "digest": digest("1"), "size": 1}]));
        let output = json!({"uri": place.uri("table"), "digest": digest("2"), "size": 1, "change": "modified",
            "before": digest("1")});
        assert_eq!(place.finish().await["outputs"], json!([output]));
    }

    #[tokio::test]
    async fn too_much_to_look_at_is_said_before_anything_is_asked() {
        let place = Place::new();
        let deep = |levels: usize| place.work().join("d/".repeat(levels));
        fs::create_dir_all(deep(FILES_DEPTH_MAX)).unwrap();
        ran(place.start(&["true"], |_| {}).ended().await);
        fs::create_dir(deep(FILES_DEPTH_MAX + 1)).unwrap();
        let error = place.start(&["touch", "started"], |_| {}).ended().await.unwrap_err().to_string();
        assert!(error.contains("more than 64 levels deep; declare less, with `--reads PATH`"), "{error}");
        assert_eq!(place.api.bodies("begin").len(), 1);
        assert!(!place.work().join("started").exists());
    }

    #[tokio::test]
    async fn what_grows_too_deep_while_the_command_runs_is_said_in_its_outcome() {
        let place = Place::new();
        let ran = place.sh(&format!("printf 1 > a; mkdir -p {}", "d/".repeat(FILES_DEPTH_MAX + 1))).await;
        assert_eq!(ran.remarks.len(), 1);
        let finish = place.finish().await;
        assert_eq!(finish["status"], "ok");
        assert!(finish["detail"].as_str().unwrap().contains("more than 64 levels deep"), "{finish}");
        // the directory as a whole is unknown now; what was seen of it is told
        let whole = &finish["outputs"][0];
        assert_eq!(
            (&whole["digest"], &whole["change"], whole["before"].is_string()),
            (&Value::Null, &Value::Null, true)
        );
        assert_eq!(finish["outputs"][1]["uri"], place.uri("a"));
    }

    #[tokio::test]
    async fn the_command_gets_its_environment_but_for_what_is_ours() {
        let place = Place::new();
        let script = "printf '%s' \"${CARGO_MANIFEST_DIR-none} ${PATH:+there}\" > seen";
        let own = |options: &mut CommandOptions| options.own_variables = vec!["CARGO_MANIFEST_DIR".into()];
        ran(place.start(&["sh", "-c", script], own).ended().await);
        assert_eq!(fs::read_to_string(place.work().join("seen")).unwrap(), "none there");
    }

    #[tokio::test]
    async fn correlators_are_whole_and_within_their_limit() {
        let place = Place::new();
        let names: Vec<String> = (0..2_000).map(|n| format!("VARIABLE_{n:04}")).collect();
        let given = names.clone();
        let change = move |options: &mut CommandOptions| {
            options.environment_names = given;
            options.ci = Some(json!({"system": "github-actions"}));
            options.oidc = Some(json!({"label": "asserted"}));
        };
        ran(place.start(&["true"], change).ended().await);
        let correlators = place.api.nth("begin", 0).await["correlators"].clone();
        assert_eq!(correlators["ci"], json!({"system": "github-actions"}));
        assert_eq!(correlators["oidc"], json!({"label": "asserted"}));
        let told = correlators["environment_names"].as_array().unwrap().len();
        assert_eq!(correlators["environment_more"], 2_000 - told);
        assert_eq!(correlators["environment_names"], json!(names[..told]));
        let size = correlators.to_string().len();
        assert!(size <= CORRELATOR_MAX && size > CORRELATOR_MAX - 100, "{size}");
    }

    #[tokio::test]
    async fn the_run_that_is_named_is_joined() {
        let place = Place::new();
        ran(place.start(&["true"], |options| options.run.join = Some(RUN.into())).ended().await);
        assert_eq!(place.api.nth("open", 0).await["join"], RUN);
    }
}
