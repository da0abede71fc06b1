//! The one place that reads environment variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Directory of the configuration file.
const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
/// Directory of data that should stay.
const XDG_DATA_HOME: &str = "XDG_DATA_HOME";
/// The user's home.
const HOME: &str = "HOME";

/// The environment as it was at start.
#[derive(Debug, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Reads the process's environment once.
    pub(crate) fn read() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Only these variables of it.
    pub(crate) fn only(&self, names: &[&str]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| names.iter().any(|kept| *name == OsStr::new(kept)));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// All variables with their values, in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    /// Names of all variables, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.absolute(HOME)
    }

    /// `$XDG_CONFIG_HOME` or `~/.config`.
    pub(crate) fn config_home(&self) -> Option<PathBuf> {
        self.absolute(XDG_CONFIG_HOME).or_else(|| Some(self.home()?.join(".config")))
    }

    /// `$XDG_CONFIG_HOME/deeds` or `~/.config/deeds`.
    pub(crate) fn config_dir(&self) -> Option<PathBuf> {
        Some(self.config_home()?.join("deeds"))
    }

    /// `$XDG_DATA_HOME/deeds` or `~/.local/share/deeds`.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        let base = self.absolute(XDG_DATA_HOME).or_else(|| Some(self.home()?.join(".local/share")))?;
        Some(base.join("deeds"))
    }

    /// A path; a relative one counts as unset, as the XDG specification has it.
    pub(crate) fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}
