//! What the server asks of the client inside an answer, and what the client answers in its next attempt: reading it.

use std::collections::BTreeMap;

use evidence::Digest;
use serde_json::value::RawValue;

use super::asked::Ask;
use super::members::Members;
use super::methods;
use super::proxy::shown;
use crate::limits::{INPUT_KEY_MAX, INPUT_REQUESTS_MAX};

/// The request for a person's answer.
const ELICIT: &str = "elicitation/create";
/// The code of the error with which a server asks for what must be done at a URL first.
const URL_ELICITATION_REQUIRED: f64 = -32_042.0;

/// One request to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its name in the answer.
    pub(crate) key: String,
    pub(crate) method: String,
    /// Exact text.
    pub(crate) params: Option<String>,
}

impl Request {
    /// Digest string of what is asked, under whatever name.
    fn digest(&self) -> String {
        let params = self.params.as_deref().unwrap_or_default();
        Digest::of_parts(&[self.method.as_bytes(), b"\n", params.as_bytes()]).to_string()
    }
}

/// Reads what an answer, or a notification about a task, asks of the client: nothing where it asks nothing. `text` is
/// exact text of the result or of the params, checked with its frame; an error says why it cannot be decided.
pub(crate) fn requested(text: &str) -> Result<Option<Vec<Request>>, String> {
    let Some(members) = Members::of(text) else { return Ok(None) };
    let nested = members.get("task").and_then(Members::of);
    let in_task = nested.as_ref().and_then(|nested| nested.get("inputRequests"));
    let found = match (members.get("inputRequests"), in_task) {
        (Some(_), Some(_)) => return Err("it asks something of the client in two places".into()),
        (found, in_task) => found.or(in_task),
    };
    let Some(found) = found else {
        let waits = members.string("resultType").as_deref() == Some("input_required");
        return Ok(waits.then(Vec::new));
    };
    let requests = Members::of(found).ok_or("its `inputRequests` are not an object")?;
    let asks: Vec<Request> = requests.iter().map(|(key, text)| ask(key, text)).collect::<Result<_, _>>()?;
    if asks.len() > INPUT_REQUESTS_MAX {
        return Err(format!(
            "it asks {} things of the client at once, more than {INPUT_REQUESTS_MAX}",
            asks.len()
        ));
    }
    Ok(Some(asks))
}

/// Reads what an error asks of the client (2025-11-25, `URLElicitationRequired`): nothing for any other error.
pub(crate) fn requested_by_error(error: &str) -> Result<Option<Vec<Request>>, String> {
    let Some(error) = Members::of(error) else { return Ok(None) };
    let odd = |name: &str| format!("its member `{}` differs from a known one in case alone", shown(name));
    if let Some(name) = error.look_alike(&["code"]) {
        return Err(odd(name));
    }
    if !error.get("code").is_some_and(requires_url) {
        return Ok(None);
    }
    let data = error.get("data").and_then(Members::of);
    let look_alike = error.look_alike(&["data"]);
    if let Some(name) = look_alike.or_else(|| data.as_ref()?.look_alike(&["elicitations"])) {
        return Err(odd(name));
    }
    let Some(list) = data.and_then(|data| data.get("elicitations")) else { return Ok(None) };
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| "the elicitations of its error are not a list")?;
    if list.len() > INPUT_REQUESTS_MAX {
        return Err(format!(
            "it asks {} things of the client at once, more than {INPUT_REQUESTS_MAX}",
            list.len()
        ));
    }
    let ask = |(n, params): (usize, &&RawValue)| Request {
        key: n.to_string(),
        method: ELICIT.to_owned(),
        params: Some(params.get().to_owned()).filter(|params| params.starts_with('{')),
    };
    Ok(Some(list.iter().enumerate().map(ask).collect()))
}

/// Whether a code is that of the error, however the number is written.
fn requires_url(code: &str) -> bool {
    let code: Option<f64> = code.trim_matches('"').parse().ok();
    code.is_some_and(|code| (code - URL_ELICITATION_REQUIRED).abs() < 1.0)
}

fn ask(key: &str, text: &str) -> Result<Request, String> {
    if key.len() > INPUT_KEY_MAX {
        return Err(format!("the name of a request to the client is longer than {INPUT_KEY_MAX} bytes"));
    }
    let request = Members::of(text).ok_or("a request to the client is not an object")?;
    if let Some(name) = request.look_alike(&["method", "params"]) {
        return Err(format!("its member `{}` differs from a known one in case alone", shown(name)));
    }
    let method = request.string("method").unwrap_or_default();
    if !methods::is_asked_by_server(&method) {
        return Err(format!("`{}` is nothing that a server may ask of a client", shown(&method)));
    }
    let params = request.get("params").filter(|params| *params != "null");
    if params.is_some_and(|params| !params.starts_with('{')) {
        return Err("the params of a request to the client are not an object".into());
    }
    Ok(Request { key: key.to_owned(), method, params: params.map(str::to_owned) })
}

/// Permitted requests to the client whose answers are awaited, by their names; each with the digest of what is asked.
#[derive(Default)]
pub(crate) struct Asks(BTreeMap<String, (String, Ask)>);

impl Asks {
    /// Whether exactly this was permitted before and is not answered yet.
    pub(crate) fn has(&self, request: &Request) -> bool {
        self.0.get(&request.key).is_some_and(|(digest, _)| *digest == request.digest())
    }

    /// Waits for an answer.
    pub(crate) fn insert(&mut self, request: &Request, ask: Ask) {
        self.0.insert(request.key.clone(), (request.digest(), ask));
    }

    /// Takes in others. Those that had the same names are given back.
    pub(crate) fn extend(&mut self, others: Self) -> Self {
        let mut replaced = Self::default();
        for (key, ask) in others.0 {
            if let Some(before) = self.0.insert(key.clone(), ask) {
                replaced.0.insert(key, before);
            }
        }
        replaced
    }

    /// How many are awaited.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Ask> {
        self.0.remove(key).map(|(_, ask)| ask)
    }

    pub(crate) fn into_asks(self) -> impl Iterator<Item = Ask> {
        self.0.into_values().map(|(_, ask)| ask)
    }
}

/// The client's answers to what it was asked, by name; their texts are exact.
pub(crate) fn responses(text: Option<&str>) -> Vec<(String, &str)> {
    let responses = text.and_then(Members::of);
    responses.map(|responses| responses.into_pairs().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_with_their_exact_params() {
        let text = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"url" }},"b":{"params":null,"method":"roots/list"}}}"#;
        let asks = requested(text).unwrap().unwrap();
        assert_eq!(asks.len(), 2);
        assert_eq!((asks[0].key.as_str(), asks[0].params.as_deref()), ("a", Some(r#"{"mode":"url" }"#)));
        assert_eq!((asks[1].method.as_str(), asks[1].params.as_deref()), ("roots/list", None));
        assert_eq!(requested(r#"{"resultType":"input_required","requestState":"s"}"#), Ok(Some(Vec::new())));
        assert_eq!(requested(r#"{"content":[]}"#), Ok(None));
        assert_eq!(requested("7"), Ok(None));
        let nested = r#"{"task":{"taskId":"t","inputRequests":{"k":{"method":"roots/list"}}}}"#;
        assert_eq!(requested(nested).unwrap().unwrap().len(), 1);
    }

    #[test]
    fn what_could_not_be_decided_is_refused() {
        for wrong in [
            r#"{"inputRequests":[]}"#,
            r#"{"inputRequests":{"a":7}}"#,
            r#"{"inputRequests":{"a":{}}}"#,
            r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
            r#"{"inputRequests":{"a":{"method":"roots/list","Method":"x"}}}"#,
            r#"{"inputRequests":{"a":{"method":"roots/list","params":[]}}}"#,
        ] {
            assert!(requested(wrong).is_err(), "{wrong}");
        }
        let asking = |count: usize, key: usize| {
            let one = |n: usize| format!(r#""{}{n:0>9}":{{"method":"roots/list"}}"#, "k".repeat(key - 9));
            let requests: Vec<String> = (0..count).map(one).collect();
            requested(&format!(r#"{{"inputRequests":{{{}}}}}"#, requests.join(",")))
        };
        assert!(asking(INPUT_REQUESTS_MAX, 9).is_ok());
        assert!(asking(INPUT_REQUESTS_MAX + 1, 9).is_err());
        assert!(asking(1, INPUT_KEY_MAX).is_ok());
        assert!(asking(1, INPUT_KEY_MAX + 1).is_err());
    }

    #[test]
    fn an_error_can_ask_for_an_elicitation_too() {
        let error =
            |list: &str| format!(r#"{{"code":-32042,"message":"","data":{{"elicitations":{list}}}}}"#);
        let asks = requested_by_error(&error(r#"[{"mode":"url","url":"https://x"},7]"#)).unwrap().unwrap();
        assert_eq!(
            (asks[0].method.as_str(), asks[0].params.as_deref()),
            (ELICIT, Some(r#"{"mode":"url","url":"https://x"}"#))
        );
        assert_eq!(asks[1].params, None);
        assert!(requested_by_error(&error("{}")).is_err());
        let many = |count: usize| requested_by_error(&error(&format!("[{}]", vec!["{}"; count].join(","))));
        assert!(many(INPUT_REQUESTS_MAX).is_ok() && many(INPUT_REQUESTS_MAX + 1).is_err());
        for other in [r#"{"code":-32602,"data":{"elicitations":[{}]}}"#, r#"{"code":-32042}"#, "7"] {
            assert_eq!(requested_by_error(other), Ok(None), "{other}");
        }
    }

    #[test]
    fn answers_keep_their_text() {
        let text = r#"{"b":{"x": 1},"a":2}"#;
        assert_eq!(responses(Some(text)), [("b".to_owned(), r#"{"x": 1}"#), ("a".to_owned(), "2")]);
        assert_eq!(responses(None), []);
    }
}
