//! One JSON-RPC frame of MCP over stdio: its envelope, read strictly, beside its exact bytes.
//!
//! Whatever two parsers could read differently is refused: text that is not UTF-8, duplicate names at any depth,
//! names that differ in case alone, nesting over 64, batches, and a carriage return inside the frame, at which
//! some servers end a line and would find a second, undecided message.

mod batch;
mod reader;
mod scan;

use core::fmt;
use core::ops::Range;
use core::str::Utf8Error;

use evidence::Digest;
use serde_json::Value;

use super::members::Members;
use crate::limits::{FRAME_MAX, FRAME_SILENCE, ID_MAX, METHOD_MAX};
pub(crate) use batch::{elements, is_batch};
pub use reader::{Line, LineReader};
pub use scan::{Scan, Skipped};

/// A JSON-RPC id: an integer or a string, never null.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A string.
    Text(String),
}

impl Id {
    /// Reads an id from JSON text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > ID_MAX {
            return None;
        }
        match serde_json::from_str(text).ok()? {
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            _ => None,
        }
    }

    /// The id as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks for an answer.
    Request {
        /// Names the request among the open ones of its sender.
        id: Id,
        /// What is asked.
        method: String,
    },
    /// Asks for none.
    Notification {
        /// What is told.
        method: String,
    },
    /// Answers a request.
    Response {
        /// The request; nothing when the peer could not tell which.
        id: Option<Id>,
        /// Whether it carries `error` instead of `result`.
        is_error: bool,
    },
}

/// Why bytes are not an acceptable frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Longer than [`FRAME_MAX`].
    #[error("the message is longer than the {FRAME_MAX} bytes allowed")]
    TooLong,
    /// Begun, and not gone on with.
    #[error(
        "a message was begun ({bytes} bytes) and nothing more of it came for {} s; it is not passed on",
        FRAME_SILENCE.as_secs()
    )]
    Stalled {
        /// Bytes of it so far.
        bytes: u64,
    },
    /// Not strict JSON.
    #[error("{0}")]
    NotJson(String),
    /// A JSON-RPC batch.
    #[error("batches of messages are not accepted; send one message a line")]
    Batch,
    /// Not exactly one request, notification or response.
    #[error("not an acceptable JSON-RPC message: {0}")]
    Envelope(String),
}

impl Flaw {
    /// The JSON-RPC error code for it.
    pub fn code(&self) -> i64 {
        if matches!(self, Self::NotJson(_)) {
            super::reply::PARSE_ERROR
        } else {
            super::reply::INVALID_REQUEST
        }
    }
}

/// Bytes that are not an acceptable frame, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Why.
    pub flaw: Flaw,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An acceptable frame. Its bytes are exactly the ones received, without the newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    text: String,
    message: Message,
    params: Option<Range<usize>>,
    body: Option<Range<usize>>,
}

impl Frame {
    /// Reads one frame.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Rejected> {
        if bytes.len() > FRAME_MAX {
            return Err(Rejected { flaw: Flaw::TooLong, bytes });
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let flaw = not_utf8(&error.utf8_error());
                return Err(Rejected { flaw, bytes: error.into_bytes() });
            }
        };
        match envelope(&text) {
            Ok((message, params, body)) => Ok(Self { text, message, params, body }),
            Err(flaw) => Err(Rejected { flaw, bytes: text.into_bytes() }),
        }
    }

    /// What it is.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The exact text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The exact bytes, to pass on.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text.into_bytes()
    }

    /// Digest string of the exact bytes.
    pub fn digest(&self) -> String {
        Digest::of(self.text.as_bytes()).to_string()
    }

    /// Exact text of `params`, an object.
    pub fn params(&self) -> Option<&str> {
        self.text.get(self.params.clone()?)
    }

    /// Exact text of `result` or `error`.
    pub fn body(&self) -> Option<&str> {
        self.text.get(self.body.clone()?)
    }

    /// A copy of the text with `part`, which must be a slice of it, replaced.
    pub(crate) fn with_replaced(&self, part: &str, by: &str) -> Option<String> {
        let range = range_in(&self.text, part)?;
        Some(format!("{}{by}{}", self.text.get(..range.start)?, self.text.get(range.end..)?))
    }
}

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

type Envelope = (Message, Option<Range<usize>>, Option<Range<usize>>);

fn envelope(text: &str) -> Result<Envelope, Flaw> {
    let value = evidence::json::parse(text.as_bytes()).map_err(|error| Flaw::NotJson(error.to_string()))?;
    if value.is_array() {
        return Err(Flaw::Batch);
    }
    if text.strip_suffix('\r').unwrap_or(text).contains('\r') {
        return Err(wrong("it contains a carriage return"));
    }
    let members = Members::of(text).ok_or_else(|| wrong("it is not an object"))?;
    if let Some(name) = members.look_alike(&MEMBERS) {
        return Err(wrong(&format!("its member `{name}` differs from a known one in case alone")));
    }
    if members.string("jsonrpc").as_deref() != Some("2.0") {
        return Err(wrong("its member `jsonrpc` is not `2.0`"));
    }
    let span = |name| members.get(name).and_then(|part| range_in(text, part));
    let params = match members.get("params") {
        Some(raw) if raw.starts_with('{') => span("params"),
        None | Some("null") => None,
        Some(_) => return Err(wrong("its params are not an object")),
    };
    Ok((message(&members)?, params, span("result").or_else(|| span("error"))))
}

fn message(members: &Members<'_>) -> Result<Message, Flaw> {
    let id = match members.get("id") {
        None => None,
        Some("null") => Some(None),
        Some(raw) => {
            Some(Some(Id::parse(raw).ok_or_else(|| wrong("its id is neither a string nor an integer"))?))
        }
    };
    let has = |name| members.get(name).is_some();
    match (has("method"), has("result"), has("error")) {
        (true, false, false) => {
            let method = members.string("method").filter(|method| (1..=METHOD_MAX).contains(&method.len()));
            let method = method.ok_or_else(|| wrong("its method is not a string of acceptable length"))?;
            match id {
                Some(Some(id)) => Ok(Message::Request { id, method }),
                Some(None) => Err(wrong("the id of a request must not be null")),
                None => Ok(Message::Notification { method }),
            }
        }
        (false, true, false) => match id.flatten() {
            Some(id) => Ok(Message::Response { id: Some(id), is_error: false }),
            None => Err(wrong("a result without an id")),
        },
        (false, false, true) if !has("params") => Ok(Message::Response { id: id.flatten(), is_error: true }),
        _ => Err(wrong("it is not exactly one request, notification or response")),
    }
}

fn not_utf8(error: &Utf8Error) -> Flaw {
    Flaw::NotJson(format!("not acceptable JSON: {error}"))
}

fn wrong(why: &str) -> Flaw {
    Flaw::Envelope(why.to_owned())
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

#[cfg(test)]
mod tests;
