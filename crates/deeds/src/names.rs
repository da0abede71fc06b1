//! How people name things on the command line: `@42`, ids of acts and runs, points in time.

use std::fmt;
use std::str::FromStr;

use evidence::base64url;
use evidence::id;
use evidence::limits::JSON_INTEGER_MAX;
use jiff::{SignedDuration, Timestamp};

/// Longest name of a principal or agent, bytes.
const WHO_MAX_BYTES: usize = 256;
/// Longest number in a relative time.
const AGO_DIGITS_MAX: usize = 6;

/// A position of the log: `@42`.
pub(crate) fn position(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a log position: write it like `@42`", shown(text));
    let digits = text.strip_prefix('@').ok_or_else(wrong)?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (digits == "0" || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten().filter(|n| *n <= JSON_INTEGER_MAX).ok_or_else(wrong)
}

/// An action, by the position of one of its entries or by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    At(u64),
    Id(String),
}

impl Action {
    /// As a segment of an API path.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::At(index) => index.to_string(),
            Self::Id(id) => id.clone(),
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(Self::At);
        }
        uuid(text).map(Self::Id).ok_or_else(|| {
            format!("`{}` is neither a log position like `@42` nor the id of an act", shown(text))
        })
    }
}

/// What a bundle is about: `@42`, the id of an act, or a run. The server tells the last two apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject(pub(crate) String);

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(|index| Self(format!("@{index}")));
        }
        uuid(text).map(Self).ok_or_else(|| {
            format!("`{}` is neither a log position like `@42` nor the id of an act or a run", shown(text))
        })
    }
}

/// The id of a run or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunId(pub(crate) String);

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        uuid(text).map(Self).ok_or_else(|| {
            format!("`{}` is not an id as `deeds runs` shows them: a lower-case UUID", shown(text))
        })
    }
}

/// A run, by its id or by the entry that it started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunName {
    Id(String),
    Start(u64),
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(Self::Start);
        }
        text.parse().map(|RunId(id)| Self::Id(id))
    }
}

impl Who {
    /// As the API takes it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Run(text) => text,
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Start(index) => write!(f, "@{index}"),
        }
    }
}

/// A mandate, by the entry that registered it or by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MandateName {
    At(u64),
    Digest(String),
}

impl FromStr for MandateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(Self::At);
        }
        base64url::decode_32(text).map(|_| Self::Digest(text.to_owned())).ok_or_else(|| {
            format!("`{}` is neither a log position like `@42` nor the digest of a mandate", shown(text))
        })
    }
}

/// A halt by its entry, or by the name that it stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HaltName {
    At(u64),
    Name(String),
}

impl FromStr for HaltName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(Self::At);
        }
        name(text).map(|()| Self::Name(text.to_owned()))
    }
}

/// How long something lasts, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = ago(text).map(|ms| ms / 1_000).filter(|seconds| *seconds > 0);
        seconds.map(Self).ok_or_else(|| {
            format!("`{}` is not a length of time: write `90s`, `15m`, `8h` or `30d`", shown(text))
        })
    }
}

/// A principal or agent by name, or a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Name(String),
    Run(String),
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(run) = uuid(text) {
            return Ok(Self::Run(run));
        }
        if text.starts_with('@') {
            return Err(format!("`{}` is a log position; ask `deeds authority {0}` about it", shown(text)));
        }
        name(text)?;
        Ok(Self::Name(text.to_owned()))
    }
}

/// A point in time, absolute or so long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// ms since 1970.
    At(u64),
    /// ms before now.
    Ago(u64),
}

impl Time {
    /// As an absolute time that can be typed, given the present.
    pub(crate) fn text(self, now_ms: u64) -> String {
        let ms = self.ms(now_ms);
        let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.map_or_else(|| ms.to_string(), |at| at.to_string())
    }

    /// ms since 1970, given the present.
    pub(crate) fn ms(self, now_ms: u64) -> u64 {
        match self {
            Self::At(ms) => ms,
            Self::Ago(ms) => now_ms.saturating_sub(ms),
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(ago) = ago(text) {
            return Ok(Self::Ago(ago));
        }
        let at = text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok());
        at.map(Self::At).ok_or_else(|| {
            format!(
                "`{}` is not a time: write `2026-11-03T02:00:00Z`, or so long ago: `90m`, `2h`, `7d`",
                shown(text)
            )
        })
    }
}

fn ago(text: &str) -> Option<u64> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let digits = text.get(..unit_at)?;
    if digits.is_empty() || digits.len() > AGO_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().ok()?;
    let duration = match unit {
        's' => SignedDuration::from_secs(number),
        'm' => SignedDuration::from_mins(number),
        'h' => SignedDuration::from_hours(number),
        'd' => SignedDuration::from_hours(number.checked_mul(24)?),
        _ => return None,
    };
    u64::try_from(duration.as_millis()).ok()
}

/// A word of the command line that may be a digest or a thumbprint, which may begin with `-`. What else does is an
/// option that was misspelt.
pub(crate) fn word(text: &str) -> Result<String, String> {
    if text.starts_with('-') && base64url::decode_32(text).is_none() {
        return Err(format!("`{}` is no option of this command, and no name begins with `-`", shown(text)));
    }
    Ok(text.to_owned())
}

/// Whether a text can be the name of a principal or holder.
fn name(text: &str) -> Result<(), String> {
    word(text)?;
    if text.is_empty() || text.len() > WHO_MAX_BYTES || text.chars().any(char::is_control) {
        return Err(format!("`{}` cannot be a name: 1 to {WHO_MAX_BYTES} printable bytes", shown(text)));
    }
    Ok(())
}

fn uuid(text: &str) -> Option<String> {
    id::parse(text).map(|id| id::text(&id))
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn positions_have_one_spelling() {
        assert_eq!(position("@0"), Ok(0));
        assert_eq!(position("@42"), Ok(42));
        assert_eq!(position(&format!("@{JSON_INTEGER_MAX}")), Ok(JSON_INTEGER_MAX));
        let beyond = format!("@{}", JSON_INTEGER_MAX + 1);
        for wrong in ["", "@", "42", "@042", "@-1", "@+1", "@4 2", "@x", "@1.0", beyond.as_str()] {
            assert!(position(wrong).unwrap_err().contains("`@42`"), "{wrong}");
        }
    }

    #[test]
    fn things_are_told_apart_by_their_spelling() {
        assert_eq!("@7".parse(), Ok(Action::At(7)));
        assert_eq!(UUID.parse(), Ok(Action::Id(UUID.into())));
        assert!("7".parse::<Action>().is_err());
        assert_eq!("@7".parse(), Ok(Subject("@7".into())));
        assert!("ciso".parse::<Subject>().is_err());
        assert_eq!("ciso".parse(), Ok(Who::Name("ciso".into())));
        assert_eq!(UUID.parse(), Ok(Who::Run(UUID.into())));
        assert!("@7".parse::<Who>().unwrap_err().contains("deeds authority @7"));
        assert_eq!("@7".parse(), Ok(RunName::Start(7)));
        assert_eq!(UUID.parse(), Ok(RunName::Id(UUID.into())));
        assert!(UUID.to_uppercase().parse::<RunId>().is_err());
        assert!("a\u{1b}[2J".parse::<Who>().is_err());
        assert!("n".repeat(WHO_MAX_BYTES).parse::<Who>().is_ok());
        assert!("n".repeat(WHO_MAX_BYTES + 1).parse::<Who>().is_err());
    }

    #[test]
    fn mandates_halts_and_lengths_of_time_have_their_spellings() {
        let digest = "A".repeat(43);
        assert_eq!(digest.parse(), Ok(MandateName::Digest(digest.clone())));
        assert_eq!("@7".parse(), Ok(MandateName::At(7)));
        assert!("ciso".parse::<MandateName>().unwrap_err().contains("`@42`"));
        assert_eq!("@7".parse(), Ok(HaltName::At(7)));
        assert_eq!("bot".parse(), Ok(HaltName::Name("bot".into())));
        assert!("@x".parse::<HaltName>().is_err() && "".parse::<HaltName>().is_err());
        assert_eq!(["90s", "15m", "30d"].map(str::parse), [Ok(Span(90)), Ok(Span(900)), Ok(Span(2_592_000))]);
        for wrong in ["", "0s", "15", "m", "1w", "-1h"] {
            assert!(wrong.parse::<Span>().unwrap_err().contains("`15m`"), "{wrong}");
        }
    }

    #[test]
    fn a_digest_may_begin_with_a_hyphen_and_nothing_else() {
        let digest = format!("-{}", "A".repeat(42));
        assert_eq!(word(&digest), Ok(digest.clone()));
        assert_eq!(digest.parse(), Ok(Who::Name(digest.clone())));
        assert_eq!(digest.parse(), Ok(MandateName::Digest(digest)));
        for wrong in ["-x", "--frm", "-"] {
            assert!(word(wrong).unwrap_err().contains("no option"), "{wrong}");
            assert!(wrong.parse::<Who>().is_err() && wrong.parse::<MandateName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_absolute_or_so_long_ago() {
        assert_eq!("1970-01-01T00:00:01.5Z".parse::<Time>().unwrap().ms(9), 1_500);
        assert_eq!("2h".parse::<Time>().unwrap().ms(7_200_001), 1);
        assert_eq!("7d".parse::<Time>().unwrap().ms(1), 0);
        assert_eq!("999999d".parse::<Time>(), Ok(Time::Ago(999_999 * 86_400_000)));
        for wrong in ["", "h", "2 h", "2w", "1000000d", "yesterday", "2026-11-03", "1969-12-31T23:59:59Z"] {
            assert!(wrong.parse::<Time>().unwrap_err().contains("90m"), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = (text.parse::<Action>(), text.parse::<Subject>(), text.parse::<RunId>());
            let _ = (text.parse::<Who>(), text.parse::<Time>());
        }
    }
}
