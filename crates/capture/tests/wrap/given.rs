//! A wrap under a chain that somebody made for it: opened under it, proved with its key, read again when it ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use capture::mcp::{WrapError, WrapOptions, wrap};
use capture::run::{DelegationSource, Given, OpenError};
use ed25519_dalek::SigningKey;
use evidence::jws::{self, Jwk, Signed};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::wrapped::{Wrapped, options};

/// When the hand clock stands still.
const NOW_S: u64 = 1_800_000_000;

/// A delegation file and the counter beside it.
struct File {
    seed: u8,
    token: String,
    /// The next counter of each key.
    counters: BTreeMap<String, u64>,
    drawn: usize,
    broken: Option<&'static str>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn token(seed: u8, n: u64) -> String {
    let claims = json!({"n": n, "cnf": {"jwk": Jwk::of(&key(seed)).to_json()}});
    jws::sign(jws::DELEGATION, &claims, &key(99))
}

fn file(seed: u8) -> Arc<Mutex<File>> {
    let file = File { seed, token: token(seed, 0), counters: BTreeMap::new(), drawn: 0, broken: None };
    Arc::new(Mutex::new(file))
}

fn source(file: &Arc<Mutex<File>>) -> DelegationSource {
    let (read, counted) = (Arc::clone(file), Arc::clone(file));
    DelegationSource {
        read: Arc::new(move || {
            let file = read.lock().unwrap();
            let chain = vec!["root".to_owned(), file.token.clone()];
            match file.broken {
                Some(why) => Err(why.to_owned()),
                None => Ok(Given { chain, key: key(file.seed), handoff: Some("do it".into()) }),
            }
        }),
        next_counter: Arc::new(move |kid, floor| {
            let mut file = counted.lock().unwrap();
            if let Some(why) = file.broken {
                return Err(why.to_owned());
            }
            file.drawn += 1;
            let next = file.counters.entry(kid.to_owned()).or_default();
            *next = floor.max(*next) + 1;
            Ok(*next - 1)
        }),
    }
}

fn under(file: &Arc<Mutex<File>>) -> impl FnOnce(&mut WrapOptions) {
    let source = source(file);
    move |options| options.run.delegation = Some(source)
}

fn text(frame: &Value) -> &str {
    frame["result"]["content"][0]["text"].as_str().unwrap()
}

/// The counter of each begin, and the thumbprint of the key that signed it.
fn proofs(wrapped: &Wrapped) -> Vec<(u64, String)> {
    let begins = wrapped.api.bodies("begin");
    let proof = |begin: &Value| {
        assert_eq!(begin["carrier"], "wrap");
        let pop = Signed::parse(begin["pop"].as_str().unwrap(), jws::POP).unwrap();
        (pop.unverified()["ctr"].as_u64().unwrap(), pop.kid().to_owned())
    };
    begins.iter().map(proof).collect()
}

fn counters(wrapped: &Wrapped) -> Vec<u64> {
    proofs(wrapped).into_iter().map(|(counter, _)| counter).collect()
}

async fn call(wrapped: &mut Wrapped, id: i64, tool: &str) -> Value {
    wrapped.call(id, tool, &json!({})).await;
    let answer = wrapped.next().await;
    assert_eq!(answer["id"], id);
    answer
}

#[tokio::test]
async fn the_run_is_opened_under_it_and_its_key_signs() {
    let file = file(5);
    file.lock().unwrap().counters.insert(Jwk::of(&key(5)).thumbprint(), 9);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.ping().await;
    let open = wrapped.api.nth("open", 0).await;
    assert_eq!(open["delegation"], json!({"chain": ["root", token(5, 0)]}));
    assert_eq!((&open["key"], &open["handoff"]), (&Jwk::of(&key(5)).to_json(), &json!("do it")));
    assert_eq!((&open["root_request"], &open["scope"]), (&Value::Null, &Value::Null));
    for id in 0..2 {
        assert_eq!(call(&mut wrapped, id, "echo").await["result"].get("isError"), None);
    }
    let thumbprint = Jwk::of(&key(5)).thumbprint();
    assert_eq!(proofs(&wrapped), [(9, thumbprint.clone()), (10, thumbprint)]);
    let digest = Signed::parse(&token(5, 0), jws::DELEGATION).unwrap().digest();
    assert_eq!(wrapped.api.nth("begin", 0).await["delegation"], digest.as_str());
    assert_eq!(wrapped.api.bodies("renew"), [] as [Value; 0]);
}

#[tokio::test]
async fn counting_starts_where_the_server_stands_and_unrecorded_counters_are_used_again() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.api.set(|behaviour| behaviour.next_counter = 7);
    for (id, tool) in ["echo", "counted", "denied", "echo"].iter().enumerate() {
        call(&mut wrapped, i64::try_from(id).unwrap(), tool).await;
    }
    assert_eq!(counters(&wrapped), [7, 8, 8, 9]);
    assert_eq!(file.lock().unwrap().drawn, 3);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_until_its_counter_is_settled() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.api.set(|behaviour| behaviour.lose_begins = 1);
    assert!(text(&call(&mut wrapped, 1, "counted").await).contains("no decision could be recorded"));
    // its second answer says that it was not recorded
    wrapped.api.nth("decided", 1).await;
    let mut id = 2;
    // once the wrap has heard it too, the next proof has that counter
    while counters(&wrapped).iter().filter(|counter| **counter == 0).count() < 3 {
        assert_eq!(call(&mut wrapped, id, "echo").await["result"].get("isError"), None);
        id += 1;
    }
    assert_eq!(wrapped.api.bodies("renew"), [] as [Value; 0], "nobody can draw another key");
}

#[tokio::test]
async fn a_newer_chain_is_taken_when_the_old_one_ends_for_the_same_key_or_another() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.api.set(|behaviour| behaviour.exp = NOW_S + 60);
    call(&mut wrapped, 1, "echo").await;
    assert_eq!(wrapped.api.bodies("renew"), [] as [Value; 0], "the file holds nothing newer");
    file.lock().unwrap().token = token(5, 1);
    call(&mut wrapped, 2, "echo").await;
    let renew = wrapped.api.nth("renew", 0).await;
    assert_eq!(renew["delegation"], json!({"chain": ["root", token(5, 1)]}));
    {
        let mut file = file.lock().unwrap();
        (file.seed, file.token) = (6, token(6, 0));
    }
    wrapped.api.set(|behaviour| (behaviour.exp, behaviour.next_counter) = (4_000_000_000, 3));
    call(&mut wrapped, 3, "echo").await;
    assert_eq!(wrapped.api.nth("renew", 1).await["key"], Jwk::of(&key(6)).to_json());
    let (old, new) = (Jwk::of(&key(5)).thumbprint(), Jwk::of(&key(6)).thumbprint());
    assert_eq!(proofs(&wrapped), [(0, old.clone()), (1, old), (3, new)]);
    call(&mut wrapped, 4, "echo").await;
    assert_eq!(wrapped.api.bodies("renew").len(), 2);
}

#[tokio::test]
async fn once_it_has_ended_the_server_refuses_and_the_file_is_named_as_the_way_out() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.api.set(|behaviour| behaviour.exp = NOW_S);
    let refused = call(&mut wrapped, 1, "late").await;
    assert!(text(&refused).contains("step delegation-time): the delegation has ended. The delegation file holds no newer chain: put one there, then call again. Recorded as @"), "{refused}");
    assert_eq!(wrapped.api.bodies("begin").len(), 1);
    assert_eq!(wrapped.seen(), [] as [String; 0]);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_again_refuses_once_the_chain_has_ended_and_that_is_recorded() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.ping().await;
    file.lock().unwrap().broken = Some("the disk is full");
    // there is no counter either, but the chain still holds
    let refused = call(&mut wrapped, 1, "echo").await;
    assert!(text(&refused).contains("no counter for its proof of possession: the disk is full"), "{refused}");
    let observed = wrapped.api.nth("observe", 0).await;
    assert!(observed["payload"]["why"].as_str().unwrap().contains("the disk is full"), "{observed}");
    assert_eq!(wrapped.api.bodies("begin"), [] as [Value; 0]);
    file.lock().unwrap().broken = None;
    wrapped.api.set(|behaviour| behaviour.exp = NOW_S);
    file.lock().unwrap().token = token(5, 1);
    file.lock().unwrap().counters.clear();
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    wrapped.api.set(|behaviour| behaviour.exp = NOW_S);
    wrapped.ping().await;
    file.lock().unwrap().broken = Some("the file is gone");
    let refused = call(&mut wrapped, 2, "echo").await;
    assert!(text(&refused).contains("could not be read again: the file is gone"), "{refused}");
    assert!(text(&refused).contains("Recorded as @"), "{refused}");
    assert_eq!((wrapped.api.bodies("begin").len(), wrapped.seen().len()), (0, 0));
}

#[tokio::test]
async fn a_counter_that_was_used_elsewhere_makes_the_wrap_ask_where_the_server_stands() {
    let file = file(5);
    let mut wrapped = Wrapped::start_with(&[], under(&file));
    let refused = call(&mut wrapped, 1, "replayed").await;
    assert!(text(&refused).contains("Another process may use the same key"), "{refused}");
    wrapped.api.set(|behaviour| behaviour.next_counter = 40);
    call(&mut wrapped, 2, "echo").await;
    assert_eq!(wrapped.api.bodies("renew").len(), 1);
    call(&mut wrapped, 3, "echo").await;
    assert_eq!(counters(&wrapped), [0, 40, 41]);
    assert_eq!(wrapped.api.bodies("renew").len(), 1);
}

#[tokio::test]
async fn a_wrap_does_not_start_without_a_chain_that_holds() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::start(&dir.path().join("deeds.sock"));
    let file = file(5);
    let start = || {
        let mut options = options(dir.path().join("deeds.sock"), &dir.path().join("seen"), &[]);
        options.run.delegation = Some(source(&file));
        wrap(options, tokio::io::empty(), tokio::io::sink(), std::future::pending())
    };
    file.lock().unwrap().broken = Some("its mode is not 0600");
    let error = start().await.unwrap_err();
    assert!(
        matches!(&error, WrapError::Open(OpenError::Delegation(why)) if why == "its mode is not 0600"),
        "{error}"
    );
    assert_eq!(api.events(), []);
    file.lock().unwrap().broken = None;
    api.set(|behaviour| behaviour.refuse_chains = Some((403, "delegation-refused")));
    let error = start().await.unwrap_err().to_string();
    assert!(error.contains("step link-scope") && error.contains("(delegation-refused)"), "{error}");
}
