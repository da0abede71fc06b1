//! Lists of artifacts: as they are where they are short; in parts, recorded one by one before the decision or outcome
//! that names them, where they are not.

use evidence::Digest;
use sha2::{Digest as _, Sha256};

use super::stop::Stop;
use crate::api::{Artifact, ArtifactRole, Artifacts, ArtifactsPart};
use crate::client::ClientError;
use crate::limits::{ARTIFACTS_MAX, ARTIFACTS_WEIGHT_MAX, RETRY_FIRST};
use crate::run::Held;
use crate::run::keeper::wait;

/// Records the parts of a list before the act: it is an error if one cannot be.
pub(crate) async fn ahead(held: &Held, act_id: &str, list: Vec<Artifact>) -> Result<Artifacts, ClientError> {
    let (stands, parts) = split(list);
    for (number, artifacts) in (0..).zip(parts) {
        let part = part(held, act_id, ArtifactRole::Inputs, (number, artifacts));
        let client = held.run.server_soon().await?;
        match client.artifacts(&held.run.id, &part).await {
            // it may have been recorded: then it is not recorded again
            Err(error) if error.is_transient() => {
                let client = held.run.server_soon().await?;
                client.artifacts(&held.run.id, &part).await?;
            }
            other => drop(other?),
        }
    }
    Ok(stands)
}

/// Records the parts of a list after the act, for as long as that is worth waiting for. What stands for the list
/// commits to it all the same; the remark says that parts are missing.
pub(crate) async fn behind(
    held: &Held,
    act_id: &str,
    list: Vec<Artifact>,
    stop: &mut Stop,
) -> (Artifacts, Option<String>) {
    let (stands, parts) = split(list);
    let count = parts.len();
    let recorded = async {
        for (number, artifacts) in (0..).zip(parts) {
            let part = part(held, act_id, ArtifactRole::Outputs, (number, artifacts));
            if let Err(error) = carry(held, &part).await {
                tracing::error!(%error, number, "a part of the list of files was not taken");
                return Some(number);
            }
        }
        None
    };
    let missing = match stop.patiently(recorded).await {
        Some(missing) => {
            missing.map(|number| format!("parts {number} to {count} of its files are not recorded"))
        }
        None => Some(format!("some of the {count} parts of its files are not recorded")),
    };
    (stands, missing)
}

async fn carry(held: &Held, part: &ArtifactsPart) -> Result<(), ClientError> {
    let mut pause = RETRY_FIRST;
    loop {
        let client = held.run.server().await;
        match client.artifacts(&held.run.id, part).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => tracing::debug!(%error, "a part of the list of files is sent again"),
        }
        pause = wait(pause).await;
    }
}

fn part(held: &Held, act_id: &str, role: ArtifactRole, part: (u64, Vec<Artifact>)) -> ArtifactsPart {
    let (part, artifacts) = part;
    ArtifactsPart { stream: held.run.stream, act_id: act_id.to_owned(), role, part, artifacts }
}

/// What stands in the decision or outcome, and the parts that are recorded before it. A list that is short and heavy
/// all the same (long names that have nothing in common) has its beginning there and the rest in parts.
fn split(list: Vec<Artifact>) -> (Artifacts, Vec<Vec<Artifact>>) {
    let count = list.len();
    let digest = (count > ARTIFACTS_MAX).then(|| digest(&list));
    let mut parts: Vec<Vec<Artifact>> = Vec::new();
    let mut room = 0;
    for artifact in list {
        let before = parts.last().and_then(|part| part.last()).map_or("", |before| &before.uri);
        let weight = weight(&artifact, before);
        match parts.last_mut() {
            Some(part) if part.len() < ARTIFACTS_MAX && weight <= room => {
                room -= weight;
                part.push(artifact);
            }
            _ => {
                room = ARTIFACTS_WEIGHT_MAX.saturating_sub(self::weight(&artifact, ""));
                parts.push(vec![artifact]);
            }
        }
    }
    match digest {
        Some(digest) => (Artifacts::Many { count: count as u64, digest: digest.to_string() }, parts),
        None if parts.is_empty() => (Artifacts::default(), parts),
        None => (Artifacts::List(parts.remove(0)), parts),
    }
}

/// About how many bytes an artifact takes after another once the list is compressed: what their names share costs
/// next to nothing, a digest half its hex digits.
fn weight(artifact: &Artifact, before: &str) -> usize {
    let shared = artifact.uri.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
    let digests = usize::from(artifact.digest.is_some()) + usize::from(artifact.before.is_some());
    artifact.uri.len() - shared + digests * 40 + 24
}

/// An artifact in JCS form.
fn text(artifact: &Artifact) -> String {
    serde_json::to_value(artifact).map(|value| evidence::json::jcs_text(&value)).unwrap_or_default()
}

/// Of the JCS of the whole array, which may be long, so it is never put together.
fn digest(list: &[Artifact]) -> Digest {
    let mut hasher = Sha256::new();
    let mut before = "[";
    for artifact in list {
        hasher.update(before.as_bytes());
        hasher.update(text(artifact).as_bytes());
        before = ",";
    }
    hasher.update(b"]");
    Digest(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(count: usize, name: &str) -> Vec<Artifact> {
        let of =
            |n: usize| json!({"uri": format!("file:///{n:05}{name}"), "digest": Digest::of(b"").to_string()});
        (0..count).map(|n| serde_json::from_value(of(n)).unwrap()).collect()
    }

    #[test]
    fn short_lists_stand_as_they_are_and_long_ones_by_the_digest_of_the_whole() {
        let short = list(ARTIFACTS_MAX, "");
        assert_eq!(split(short.clone()), (Artifacts::List(short), vec![]));
        let long = list(ARTIFACTS_MAX + 1, "");
        let (stands, parts) = split(long.clone());
        let whole = Digest::of(&evidence::json::jcs(&serde_json::to_value(&long).unwrap())).to_string();
        assert_eq!(stands, Artifacts::Many { count: ARTIFACTS_MAX as u64 + 1, digest: whole });
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [ARTIFACTS_MAX, 1]);
        assert_eq!(parts.concat(), long);
    }

    #[test]
    fn long_names_with_nothing_in_common_are_split_by_their_weight() {
        let wide = list(100, &"x".repeat(1_000));
        let (stands, rest) = split(wide.clone());
        let Artifacts::List(first) = stands else { panic!("{stands:?}") };
        let weigh = |part: &[Artifact]| -> usize {
            let befores = [""].into_iter().chain(part.iter().map(|artifact| artifact.uri.as_str()));
            part.iter().zip(befores).map(|(artifact, before)| weight(artifact, before)).sum()
        };
        assert!(rest.iter().chain([&first]).all(|part| weigh(part) <= ARTIFACTS_WEIGHT_MAX));
        assert!(!rest.is_empty() && weigh(&wide) > ARTIFACTS_WEIGHT_MAX);
        assert_eq!([vec![first], rest].concat().concat(), wide);
    }

    #[test]
    fn nothing_is_an_empty_list() {
        assert_eq!(split(Vec::new()), (Artifacts::default(), vec![]));
    }
}
