//! What went unrecorded while the deeds server could not be reached, until it can be told.

use evidence::Digest;

use crate::api::Gap;
use crate::limits::GAP_LIST_MAX;

/// One kind of thing that went unrecorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// A tool call that was refused because no decision could be had.
    Refused,
    /// A tool call that went on undecided, as configured.
    Undecided,
    /// A frame that was refused or dropped.
    Frame,
    /// An outcome that the server would not take.
    Outcome,
}

/// The list so far.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct GapLog {
    from_ms: Option<u64>,
    counts: [u64; 4],
    digests: Vec<String>,
}

impl GapLog {
    /// Adds one thing.
    pub(crate) fn miss(&mut self, what: Missed, now_ms: u64, frame_digest: Option<&str>) {
        self.from_ms.get_or_insert(now_ms);
        let slot = match what {
            Missed::Refused => &mut self.counts[0],
            Missed::Undecided => &mut self.counts[1],
            Missed::Frame => &mut self.counts[2],
            Missed::Outcome => &mut self.counts[3],
        };
        *slot += 1;
        if self.digests.len() < GAP_LIST_MAX {
            self.digests.extend(frame_digest.map(str::to_owned));
        }
    }

    /// Puts back what could not be told, before what came since.
    pub(crate) fn put_back(&mut self, earlier: Self) {
        let later = core::mem::replace(self, earlier);
        self.from_ms = self.from_ms.or(later.from_ms);
        for (count, more) in self.counts.iter_mut().zip(later.counts) {
            *count += more;
        }
        self.digests.extend(later.digests);
        self.digests.truncate(GAP_LIST_MAX);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.from_ms.is_none()
    }

    /// The entry to write; nothing when nothing was missed.
    pub(crate) fn report(&self, stream: u64, to_ms: u64) -> Option<Gap> {
        let from_ms = self.from_ms?;
        let [refused, undecided, frames, outcomes] = self.counts;
        let list: String = self.digests.iter().flat_map(|digest| [digest.as_str(), "\n"]).collect();
        Some(Gap {
            stream,
            reason: "server-unreachable".into(),
            from_ms,
            to_ms: to_ms.max(from_ms),
            count: self.counts.iter().sum(),
            digest: Some(Digest::of(list.as_bytes()).to_string()),
            detail: Some(format!(
                "{refused} calls refused without a decision, {undecided} calls of fail-open tools forwarded \
                 undecided, {frames} refused or dropped frames not recorded, {outcomes} outcomes not taken; the \
                 digest covers the first {} frames",
                self.digests.len()
            )),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_every_kind_and_spans_the_time() {
        let mut log = GapLog::default();
        assert_eq!(log.report(1, 9), None);
        log.miss(Missed::Refused, 5, Some("sha256:a"));
        log.miss(Missed::Undecided, 7, Some("sha256:b"));
        log.miss(Missed::Frame, 8, None);
        let gap = log.report(1, 9).unwrap();
        assert_eq!((gap.from_ms, gap.to_ms, gap.count), (5, 9, 3));
        assert_eq!(gap.digest, Some(Digest::of(b"sha256:a\nsha256:b\n").to_string()));
        assert!(gap.detail.unwrap().starts_with("1 calls refused without a decision, 1 calls"));
    }

    #[test]
    fn what_was_put_back_comes_first() {
        let (mut earlier, mut later) = (GapLog::default(), GapLog::default());
        earlier.miss(Missed::Refused, 1, Some("a"));
        later.miss(Missed::Refused, 4, Some("b"));
        later.put_back(earlier);
        assert_eq!((later.from_ms, later.counts), (Some(1), [2, 0, 0, 0]));
        assert_eq!(later.digests, ["a", "b"]);
    }

    #[test]
    fn the_list_is_limited_and_the_count_is_not() {
        let mut log = GapLog::default();
        for _ in 0..=GAP_LIST_MAX {
            log.miss(Missed::Frame, 1, Some("x"));
        }
        assert_eq!(log.digests.len(), GAP_LIST_MAX);
        assert_eq!(log.report(0, 1).unwrap().count, GAP_LIST_MAX as u64 + 1);
    }
}
