//! The log as static files (C2SP tlog-tiles). Paths are parsed strictly: what is accepted has one spelling and
//! leads nowhere but below the log's directory.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use crate::limits::LOG_FILE_MAX_BYTES;
use crate::problem::{Code, Problem};
use crate::state::{AppState, blocking};

/// A checkpoint is good for a few seconds, and here costs nothing to ask for again.
const FRESH: &str = "no-cache";
/// A tile or entry bundle never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Highest level of a tile.
const LEVEL_MAX: u64 = 63;
/// Items of a full tile or entry bundle.
const FULL: u64 = 256;
/// Longest path below `tile/`: `entries/`, seven groups of an index, a width.
const TILE_PATH_MAX_BYTES: usize = 48;

/// `GET /log/checkpoint`
pub(super) async fn checkpoint(State(state): State<AppState>) -> Result<Response, Problem> {
    let bytes = read(&state, "checkpoint".into()).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, FRESH)], bytes).into_response())
}

/// `GET /log/tile/…`
pub(super) async fn tile(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    // the path as it was sent: an escaped character is another spelling
    let path = request.uri().path().strip_prefix("/log/tile/").filter(|path| is_tile(path));
    let path = path.ok_or_else(nothing)?;
    let bytes = read(&state, format!("tile/{path}")).await?;
    Ok(([(CONTENT_TYPE, "application/octet-stream"), (CACHE_CONTROL, IMMUTABLE)], bytes).into_response())
}

async fn read(state: &AppState, path: String) -> Result<Vec<u8>, Problem> {
    let path: PathBuf = state.recorder().reader().log_dir().join(path);
    blocking(move || {
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|file| file.take(LOG_FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if bytes.len() as u64 <= LOG_FILE_MAX_BYTES => Ok(bytes),
            Ok(_) => Err(Problem::new(Code::Internal, format!("`{}` is too large", path.display()))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                Err(nothing())
            }
            Err(error) => {
                let text = format!("`{}` cannot be read: {error}", path.display());
                Err(Problem::new(Code::Internal, text))
            }
        }
    })
    .await
}

fn nothing() -> Problem {
    Problem::new(
        Code::NotFound,
        "the log has no such file: `/log/checkpoint` says how many entries are published",
    )
}

/// `<level>/<index>[.p/<width>]` or `entries/<index>[.p/<width>]`, in its one spelling.
fn is_tile(path: &str) -> bool {
    if path.len() > TILE_PATH_MAX_BYTES {
        return false;
    }
    let Some((kind, rest)) = path.split_once('/') else { return false };
    let level = kind == "entries" || number(kind).is_some_and(|level| level <= LEVEL_MAX);
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, number(width)),
        None => (rest, Some(1)),
    };
    level && width.is_some_and(|width| (1..FULL).contains(&width)) && is_index(index)
}

/// Groups of three digits, all but the last behind an `x`; no leading group of zeros.
fn is_index(index: &str) -> bool {
    let (leading, last) = match index.rsplit_once('/') {
        Some((leading, last)) => (Some(leading), last),
        None => (None, index),
    };
    let three = |group: &str| group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit());
    let group = |group: &str| group.strip_prefix('x').is_some_and(three);
    three(last) && leading.is_none_or(|leading| !leading.starts_with("x000") && leading.split('/').all(group))
}

/// A decimal number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_a_tile_is_accepted_and_no_way_out() {
        for good in [
            "0/000",
            "63/255.p/1",
            "0/x001/234/067".replace("234", "x234").as_str(),
            "entries/000",
            "entries/x001/067.p/255",
            "1/999",
        ] {
            assert!(is_tile(good), "{good}");
        }
        for wrong in [
            "",
            "0",
            "0/",
            "0/00",
            "0/0000",
            "0/x000/000",
            "0/x001",
            "0/001/002",
            "64/000",
            "00/000",
            "+1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p/1/",
            "0/..",
            "../0/000",
            "0/../000",
            "entries/../../x",
            "entries//000",
            "0/000/",
            "0/0%300",
            "0/x1/000",
            "0/000.p/1.p/1",
        ] {
            assert!(!is_tile(wrong), "{wrong}");
        }
        let longest = format!("entries/{}999.p/255", "x123/".repeat(6));
        assert!(longest.len() <= TILE_PATH_MAX_BYTES && is_tile(&longest));
        assert!(!is_tile(&format!("entries/{}999.p/255", "x123/".repeat(8))));
    }
}
