//! `deeds serve`.

use crate::Outcome;
use crate::cli::ServeArgs;
use crate::config::Config;

/// Runs the server until it is stopped.
pub(crate) fn run(config: &Config, args: &ServeArgs) -> anyhow::Result<Outcome> {
    if args.detach {
        // Own session: no hang-up and no interrupt from the terminal of whoever started it. It fails only where
        // the process leads a group already, and then it is on its own as well.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "the server stays in the session that it was started in");
        }
    }
    crate::telemetry::init(config.log.as_deref().unwrap_or("info"))?;
    match crate::serve::serve(config, args) {
        Ok(()) => Ok(Outcome::Fine),
        Err(error) => Err(match crate::serve::holder(&error) {
            Some(holder) => anyhow::anyhow!(
                "a server ({holder}) already serves `{}`; use it, or run `deeds stop`",
                config.data.display()
            ),
            None => error,
        }),
    }
}
