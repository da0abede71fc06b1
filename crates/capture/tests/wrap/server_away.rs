//! The deeds server is away, restarted, or loses an answer: nothing goes undecided, nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use capture::limits::RECONNECT_WAIT;
use evidence::Digest;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::wrapped::Wrapped;

fn text(frame: &Value) -> &str {
    frame["result"]["content"][0]["text"].as_str().unwrap()
}

#[tokio::test]
async fn who_is_refused_is_told_why_no_server_could_be_started_and_nothing_of_what_the_policy_says() {
    let tries = Arc::new(AtomicUsize::new(0));
    let mut wrapped = Wrapped::start_with(&[], |options| {
        let (first, tries) = (Arc::clone(&options.run.connect), Arc::clone(&tries));
        options.run.connect = Arc::new(move || {
            let path = first();
            let is_first = tries.fetch_add(1, Ordering::Relaxed) == 0;
            Box::pin(async move {
                if is_first {
                    return path.await;
                }
                Err("the policy in `/p` cannot be used; see `/d/serve.log`:\n  p.cedar: `hidden`".into())
            })
        });
    });
    wrapped.ping().await;
    wrapped.api.stop().await;
    for id in [1, 2] {
        wrapped.call(id, "echo", &json!({})).await;
        let refused = wrapped.next().await;
        let told = text(&refused);
        assert!(
            told.contains("cannot be reached: the policy in `/p` cannot be used; see `/d/serve.log`."),
            "{told}"
        );
        assert!(!told.contains("hidden") && !told.contains("deeds serve`"), "{told}");
    }
    assert!(tries.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn calls_are_refused_while_it_is_away_and_the_gap_is_told_afterwards() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    wrapped.api.stop().await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    wrapped.send(call).await;
    let refused = wrapped.next().await;
    assert_eq!(refused["result"]["isError"], true);
    assert!(text(&refused).contains("no decision could be recorded"), "{refused}");
    let socket = wrapped.dir.path().join("deeds.sock").display().to_string();
    assert!(text(&refused).contains(&format!("at `{socket}` cannot be reached: No such file")), "{refused}");
    assert!(text(&refused).ends_with("counted in a gap; see `deeds did`."), "{refused}");
    assert!(!text(&refused).contains("not known"), "{refused}");
    // one call has waited in vain: the next ones of this outage do not wait
    let at_once = RECONNECT_WAIT / 2;
    let mut digests = vec![Digest::of(call.as_bytes())];
    for id in 10..13 {
        let call = call.replace(r#""id":1"#, &format!(r#""id":{id}"#));
        wrapped.send(&call).await;
        let refused = timeout(at_once, wrapped.next()).await.expect("refused without a wait");
        assert_eq!((&refused["id"], &refused["result"]["isError"]), (&json!(id), &json!(true)));
        digests.push(Digest::of(call.as_bytes()));
    }
    // what needs no decision goes on
    wrapped.ping().await;
    assert_eq!(wrapped.seen(), [] as [String; 0]);

    wrapped.api.listen();
    let gap = wrapped.api.nth("gap", 0).await;
    assert_eq!(
        (&gap["reason"], &gap["count"], &gap["stream"]),
        (&json!("server-unreachable"), &json!(4), &json!(2))
    );
    let list: String = digests.iter().flat_map(|digest| [digest.to_string(), "\n".into()]).collect();
    assert_eq!(gap["digest"], Digest::of(list.as_bytes()).to_string());
    assert!(gap["detail"].as_str().unwrap().starts_with("4 calls refused"));
    // the same run is leased again, and calls are decided again
    assert_eq!(wrapped.api.bodies("lease").len(), 2);
    wrapped.call(2, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.api.nth("end", 0).await["gaps"], 1);
}

#[tokio::test]
async fn the_first_call_after_a_stop_waits_until_the_server_is_back() {
    let mut wrapped = Wrapped::start();
    for id in 1..3 {
        wrapped.ping().await;
        wrapped.api.stop().await;
        wrapped.call(id, "echo", &json!({})).await;
        assert_eq!(wrapped.ping().await, [] as [Value; 0], "no answer while the server is away");
        wrapped.api.listen();
        let answer = wrapped.next().await;
        assert_eq!((&answer["id"], answer["result"].get("isError")), (&json!(id), None), "{answer}");
    }
    assert_eq!(wrapped.api.bodies("begin").len(), 2);
    assert_eq!(wrapped.api.bodies("gap"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_call_that_finds_the_socket_gone_first_waits_too() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    // the lease still lives, so only the call itself can notice
    wrapped.api.hide();
    wrapped.call(1, "echo", &json!({})).await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    wrapped.api.stop().await;
    wrapped.api.listen();
    let answer = wrapped.next().await;
    assert_eq!((&answer["id"], answer["result"].get("isError")), (&json!(1), None), "{answer}");
    // the proof of the begin that was never sent was still good: no counter is missing
    assert_eq!((wrapped.api.bodies("begin").len(), wrapped.api.bodies("renew").len()), (1, 0));
}

#[tokio::test]
async fn nothing_is_in_doubt_where_only_the_renewal_was_lost() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| {
        behaviour.lose_begins = 1;
        behaviour.lose_renewals = 1;
    });
    wrapped.call(1, "echo", &json!({})).await;
    assert!(text(&wrapped.next().await).contains("If the server did decide"));
    wrapped.api.nth("finish", 0).await;
    wrapped.call(2, "echo", &json!({})).await;
    let refused = wrapped.next().await;
    assert!(text(&refused).contains("the delegation could not be renewed"), "{refused}");
    assert!(!text(&refused).contains("did decide") && !text(&refused).contains("not known"), "{refused}");
    wrapped.call(3, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 3);
    assert_eq!(wrapped.api.nth("gap", 0).await["count"], 1);
}

#[tokio::test]
async fn a_fail_open_read_goes_on_and_is_counted() {
    let mut wrapped =
        Wrapped::start_with(&[], |options| options.read_fail_open = vec!["stdio:sample#echo".into()]);
    wrapped.ping().await;
    wrapped.api.stop().await;
    wrapped.call(1, "echo", &json!({})).await;
    let answer = wrapped.next().await;
    assert_eq!((&answer["id"], answer["result"].get("isError")), (&json!(1), None));
    wrapped.call(2, "fail", &json!({})).await;
    assert!(text(&wrapped.next().await).contains("no decision"));
    assert_eq!(wrapped.seen().len(), 1);
    wrapped.api.listen();
    let gap = wrapped.api.nth("gap", 0).await;
    assert_eq!(gap["count"], 2);
    assert!(
        gap["detail"]
            .as_str()
            .unwrap()
            .starts_with("1 calls refused without a decision, 1 calls of fail-open")
    );
    // an undecided call has no decision that an outcome could be bound to
    assert_eq!(wrapped.statuses(), [] as [String; 0]);
}

#[tokio::test]
async fn a_log_that_cannot_decide_refuses() {
    let mut wrapped = Wrapped::start();
    wrapped.call(1, "unavailable", &json!({})).await;
    assert!(text(&wrapped.next().await).contains("the log cannot take entries now"));
    wrapped.ping().await;
    assert_eq!(wrapped.seen(), [] as [String; 0]);
    // told as soon as the server decides again
    wrapped.call(2, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.api.nth("gap", 0).await["count"], 1);
}

#[tokio::test]
async fn an_outcome_is_sent_again_until_its_receipt_is_there() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_receipt = true);
    wrapped.call(1, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 1);
    wrapped.api.stop().await;
    wrapped.api.set(|behaviour| behaviour.hold_receipt = false);
    wrapped.api.listen();
    let again = wrapped.api.nth("finish", 1).await;
    assert_eq!(again, wrapped.api.nth("finish", 0).await);
    let receipt = wrapped.api.nth("receipt", 0).await;
    assert_eq!(receipt["receipt"]["event"], again["body"]["event_id"]);
    wrapped.hang_up();
    wrapped.ended().await;
    assert_eq!(wrapped.api.bodies("finish").len(), 2);
}

#[tokio::test]
async fn a_result_waits_for_the_server_that_must_record_it() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = true);
    wrapped.call(1, "echo", &json!({})).await;
    wrapped.api.nth("finish", 0).await;
    wrapped.api.stop().await;
    assert_eq!(wrapped.ping().await, [] as [Value; 0]);
    wrapped.api.set(|behaviour| behaviour.hold_enqueued = false);
    wrapped.api.listen();
    assert_eq!(wrapped.next().await["id"], 1);
    assert_eq!(wrapped.statuses(), ["ok"]);
}

#[tokio::test]
async fn a_result_whose_outcome_is_not_taken_is_withheld() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.refuse_outcomes = true);
    wrapped.call(1, "echo", &json!({"secret": 1})).await;
    let withheld = wrapped.line().await;
    assert!(withheld.contains("withheld") && !withheld.contains("secret"), "{withheld}");
}

#[tokio::test]
async fn a_decision_whose_answer_was_lost_is_given_back_as_not_forwarded() {
    let mut wrapped = Wrapped::start();
    wrapped.api.set(|behaviour| behaviour.lose_begins = 1);
    wrapped.call(1, "echo", &json!({})).await;
    assert!(text(&wrapped.next().await).contains("no decision could be recorded"));
    let finish = wrapped.api.nth("finish", 0).await;
    assert_eq!(finish["body"]["status"], "not-forwarded");
    let begins = wrapped.api.bodies("begin");
    assert_eq!((begins.len(), &begins[0]), (2, &begins[1]));
    wrapped.ping().await;
    assert_eq!(wrapped.seen(), [] as [String; 0]);
    // the proof's counter might have been a hole: the next call has a fresh key
    wrapped.call(2, "echo", &json!({})).await;
    assert_eq!(wrapped.next().await["id"], 2);
    assert_eq!(wrapped.api.bodies("renew").len(), 1);
    assert_ne!(wrapped.api.nth("begin", 2).await["delegation"], begins[0]["delegation"]);
}

#[tokio::test]
async fn a_run_that_is_over_refuses_every_further_call() {
    let mut wrapped = Wrapped::start();
    wrapped.ping().await;
    wrapped.api.set(|behaviour| behaviour.run_over = true);
    wrapped.api.stop().await;
    wrapped.api.listen();
    wrapped.api.nth("lease", 1).await;
    for id in 1..3 {
        wrapped.call(id, "echo", &json!({})).await;
        assert_eq!(wrapped.next().await["result"]["isError"], true);
    }
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
    assert_eq!(wrapped.seen(), [] as [String; 0]);
}
