//! How people name things on the command line: `@42`, ids of acts and runs, points in time.

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use evidence::id;
use evidence::limits::JSON_INTEGER_MAX;
use evidence::{Digest, base64url};
use jiff::{SignedDuration, Timestamp};

/// Longest name of a principal or agent, bytes.
const WHO_MAX_BYTES: usize = 256;
/// Hex digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Hex digits of an id that git gives.
const GIT_DIGITS: usize = 40;
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

/// A run or a task, by its id or by an entry of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunName {
    Id(String),
    At(u64),
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(Self::At);
        }
        uuid(text).map(Self::Id).ok_or_else(|| {
            format!(
                "`{}` is neither an entry like `@42` nor an id as `deeds runs` shows them: a lower-case UUID",
                shown(text)
            )
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) => f.write_str(text),
            Self::Run(run) => run.fmt(f),
        }
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::At(index) => write!(f, "@{index}"),
        }
    }
}

/// What is traced: an act by its entry or id, bytes by their digest, a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Traced {
    /// As the API takes it.
    Asked(String),
    /// A file.
    Path(PathBuf),
}

impl Traced {
    /// As the API takes it: of a file its URI. Links on the way to it are followed, it is not followed itself, so that
    /// a link and what it points to have each their own name. A word of 64 hex digits that no file here is called by is
    /// a digest, as other tools print it; one of 40, which git would print, is refused.
    pub(crate) fn asked(&self, working: &Path) -> Result<String, String> {
        let path = match self {
            Self::Asked(text) => return Ok(text.clone()),
            Self::Path(path) => working.join(path),
        };
        let bare = self.bare_hex().filter(|_| path.symlink_metadata().is_err());
        match bare.map(|hex| (hex, hex.len())) {
            Some((hex, SHA256_DIGITS)) => return Ok(format!("sha256:{}", hex.to_ascii_lowercase())),
            Some((hex, GIT_DIGITS)) => {
                return Err(format!(
                    "no file is called `{hex}`, and git's ids are not recorded: ask by the file, or by the SHA-256 of its \
                     bytes (`sha256sum FILE`), written `sha256:<64 hex digits>`; a file of this name that is gone is \
                     `./{hex}`"
                ));
            }
            _ => {}
        }
        let named = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize().map(|parent| parent.join(name)),
            // `..` and the like: a directory
            _ => path.canonicalize(),
        };
        let named = named.unwrap_or_else(|_| plain(&path));
        Ok(lineage::file_uri(named.as_os_str().as_bytes()))
    }

    /// A path that is nothing but hex digits.
    fn bare_hex(&self) -> Option<&str> {
        let Self::Path(path) = self else { return None };
        path.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// A path without `.` and `..`, by its text alone: what is not there has no links.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

impl FromStr for Traced {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') {
            return position(text).map(|index| Self::Asked(format!("@{index}")));
        }
        if let Some(digest) = text.strip_prefix("sha256:") {
            let wrong =
                || format!("`sha256:{}` is no digest: 64 lower-case hex digits follow", shown(digest));
            return Digest::parse(text).map(|digest| Self::Asked(digest.to_string())).map_err(|_| wrong());
        }
        if let Some(act) = uuid(text) {
            return Ok(Self::Asked(act));
        }
        // a single letter and a colon begin no URI that anybody uses
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| scheme.len() > 1);
        if scheme
            .is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)))
        {
            return Ok(Self::Asked(text.to_owned()));
        }
        if text.is_empty() || text.starts_with('-') {
            return Err(format!("`{}` is no file, URI, digest or entry like `@42`", shown(text)));
        }
        Ok(Self::Path(PathBuf::from(text)))
    }
}

/// A tool as tables show it or as it is: the scheme may be left out, `fs#*` is every tool of a server. A name alone is
/// that of a tool or of a server; which, the log knows.
pub(crate) fn tool(text: &str) -> Result<String, String> {
    let (server, tool) = text.split_once('#').unwrap_or((text, text));
    if server.is_empty() || tool.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!(
            "`{}` is no tool: write it like `fs#read_file` or `read_file`, or `fs#*` for all of a server",
            shown(text)
        ));
    }
    Ok(if server.contains(':') || !text.contains('#') { text.to_owned() } else { format!("stdio:{text}") })
}

/// A server as tables show it or as it is: the scheme may be left out.
pub(crate) fn server(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('#') {
        return Err(format!("`{}` is no server: write it like `fs` or `stdio:fs`", shown(text)));
    }
    Ok(if text.contains(':') { text.to_owned() } else { format!("stdio:{text}") })
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
    Run(RunName),
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('@') || uuid(text).is_some() {
            return text.parse().map(Self::Run);
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
        assert_eq!(UUID.parse(), Ok(Who::Run(RunName::Id(UUID.into()))));
        assert_eq!("@7".parse(), Ok(Who::Run(RunName::At(7))));
        assert_eq!("@7".parse(), Ok(RunName::At(7)));
        assert_eq!(UUID.parse(), Ok(RunName::Id(UUID.into())));
        assert!(UUID.to_uppercase().parse::<RunName>().unwrap_err().contains("@42"));
        assert!("a\u{1b}[2J".parse::<Who>().is_err());
        assert!("n".repeat(WHO_MAX_BYTES).parse::<Who>().is_ok());
        assert!("n".repeat(WHO_MAX_BYTES + 1).parse::<Who>().is_err());
    }

    #[test]
    fn what_is_traced_is_told_by_its_spelling() {
        let asked = |text: &str| Ok(Traced::Asked(text.to_owned()));
        let digest = format!("sha256:{}", "a".repeat(64));
        for text in ["@7", UUID, digest.as_str(), "file:///srv/a", "https://x/y", "note://1"] {
            assert_eq!(text.parse::<Traced>(), asked(text));
        }
        for text in ["a.txt", "./a:b", "/srv/a", "C:x", "a b:c"] {
            assert_eq!(text.parse::<Traced>(), Ok(Traced::Path(text.into())), "{text}");
        }
        for wrong in ["", "@x", "sha256:aa", "-x"] {
            assert!(wrong.parse::<Traced>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_is_named_by_its_place_and_not_by_what_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("d")).unwrap();
        std::os::unix::fs::symlink("d", real.join("link")).unwrap();
        std::os::unix::fs::symlink("nothing", real.join("d/f")).unwrap();
        let asked = |text: &str| text.parse::<Traced>().unwrap().asked(&real).unwrap();
        let uri = |rest: &str| format!("file://{}{rest}", real.display());
        for text in ["d/f", "link/f", "./d/../d/f", "d/./f"] {
            assert_eq!(asked(text), uri("/d/f"), "{text}");
        }
        assert_eq!((asked("link"), asked("d/.."), asked(".")), (uri("/link"), uri(""), uri("")));
        // what is not there is named by the text alone
        assert_eq!(asked("no/../such/./x y"), uri("/such/x%20y"));
        assert_eq!(asked("/no/such/../f"), "file:///no/f");
    }

    #[test]
    fn a_bare_digest_is_one_where_no_file_is_called_so() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        let (sha, git) = ("aB".repeat(32), "0f".repeat(20));
        let asked = |text: &str| text.parse::<Traced>().unwrap().asked(&real);
        assert_eq!(asked(&sha), Ok(format!("sha256:{}", "ab".repeat(32))));
        let error = asked(&git).unwrap_err();
        assert!(error.contains("git's ids are not recorded") && error.contains("sha256sum"), "{error}");
        let file = |name: &str| Ok(format!("file://{}/{name}", real.display()));
        // a file that is gone
        assert_eq!(asked(&format!("./{sha}")), file(&sha));
        assert_eq!(asked(&format!("./{git}")), file(&git));
        for (n, other) in
            ["abc", &sha[1..], &git[1..], &format!("{sha}0"), &"x".repeat(64)].iter().enumerate()
        {
            assert_eq!(asked(other), file(other), "{n}");
        }
        for name in [&sha, &git] {
            std::fs::write(real.join(name), "x").unwrap();
            assert_eq!(asked(name), file(name));
        }
    }

    #[test]
    fn tools_and_servers_may_be_named_as_they_are_shown() {
        assert_eq!(tool("fs#read_file"), Ok("stdio:fs#read_file".into()));
        assert_eq!(tool("run:build#command/run"), Ok("run:build#command/run".into()));
        assert_eq!((tool("fs#*"), server("fs")), (Ok("stdio:fs#*".into()), Ok("stdio:fs".into())));
        assert_eq!(server("stdio:fs"), Ok("stdio:fs".into()));
        assert_eq!((tool("read_file"), tool("run:build")), (Ok("read_file".into()), Ok("run:build".into())));
        for wrong in ["#x", "fs#", "", "a b", "fs#a b", "a\u{7}"] {
            assert!(tool(wrong).unwrap_err().contains("fs#*"), "{wrong}");
        }
        assert!(server("").is_err() && server("fs#x").is_err());
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
            let _ = (text.parse::<Action>(), text.parse::<Subject>(), text.parse::<RunName>());
            let _ = (text.parse::<Who>(), text.parse::<Time>(), tool(&text), server(&text));
            let _ = text.parse::<Traced>().map(|traced| traced.asked(Path::new("/no/such")));
        }
    }
}
