//! What a tool and its server have to be: the pins of the class table against what is known now.

use crate::error::shorten;
use crate::limits::TOOL_URI_MAX;
use crate::set::PolicySet;

/// What is known of the server behind an act: digest strings, `None` where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerFacts<'a> {
    /// Of the command that it was started with.
    pub command: Option<&'a str>,
    /// Of the program file.
    pub executable: Option<&'a str>,
    /// Of the package that an interpreter runs.
    pub package: Option<&'a str>,
    /// Of the environment variables that decide which code is loaded.
    pub environment: Option<&'a str>,
}

/// Something is not what a row of the class table pins it to, or is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpinned {
    /// `definition`, `command`, `executable`, `package` or `environment`.
    pub what: &'static str,
    /// For people: what differs, and what to do.
    pub text: String,
}

/// A `[[server]]` row: digest strings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerPins {
    pub(crate) command: Option<String>,
    pub(crate) executable: Option<String>,
    pub(crate) package: Option<String>,
    pub(crate) environment: Option<String>,
}

impl PolicySet {
    /// Whether a tool and its server are what the class table pins them to; without pins they are.
    ///
    /// The tool's own row is asked first, then the row of its server, which holds for every act on it, tool call or
    /// not. What is pinned and not known counts as another.
    ///
    /// # Errors
    /// [`Unpinned`] for the first pin that does not hold; the act is to be denied with the code `pinned`.
    pub fn pinned(
        &self,
        tool: &str,
        definition: Option<&str>,
        server: &ServerFacts<'_>,
    ) -> Result<(), Unpinned> {
        if let Some(pin) = self.classes.pinned_definition(tool) {
            let of = || format!("tool `{}`", shorten(tool, TOOL_URI_MAX));
            holds("definition", &of, pin, definition)?;
        }
        let Some((uri, pins)) = self.classes.server_pins(tool) else { return Ok(()) };
        let of = || format!("server `{uri}`");
        let all = [
            ("command", &pins.command, server.command),
            ("executable", &pins.executable, server.executable),
            ("package", &pins.package, server.package),
            ("environment", &pins.environment, server.environment),
        ];
        all.into_iter().try_for_each(|(what, pin, now)| match pin {
            Some(pin) => holds(what, &of, pin, now),
            None => Ok(()),
        })
    }
}

fn holds(what: &'static str, of: &dyn Fn() -> String, pin: &str, now: Option<&str>) -> Result<(), Unpinned> {
    if now == Some(pin) {
        return Ok(());
    }
    let of = of();
    let text = match (now, what) {
        (Some(now), _) => {
            let now = shorten(now, 80);
            format!(
                "the {what} of {of} is pinned to `{pin}` and is now `{now}`; find out who changed it, and to accept \
                 it put the new digest into `classes.toml` and activate that"
            )
        }
        (None, "definition") => {
            format!(
                "the definition of {of} is pinned to `{pin}`, and no list has shown it yet; let the client list the \
                 server's tools first"
            )
        }
        (None, _) => {
            format!(
                "the {what} of {of} is pinned to `{pin}` and is not known here; take that pin out of `classes.toml`, \
                 or start the server where it can be seen"
            )
        }
    };
    Err(Unpinned { what, text })
}

#[cfg(test)]
#[path = "pinned/tests.rs"]
mod tests;
