//! `deeds definitions`.

use serde_json::Value;

use super::{Query, ask, folded};
use crate::Outcome;
use crate::cli::DefinitionsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::{Output, print_text};
use crate::render::{definitions, pin};

/// Shows what is known of servers, or prints rows that pin it.
pub(crate) async fn run(config: &Config, args: &DefinitionsArgs, output: Output) -> anyhow::Result<Outcome> {
    let server = connect(config).await?;
    let path = Query::new("/v1/definitions").maybe("server", args.server.clone()).0;
    if args.pin {
        let known: Value = serde_json::from_slice(&folded(&server, &path).await?)?;
        print_text(&pin::table_rows(&known))?;
        return Ok(Outcome::Fine);
    }
    ask(&server, &path, output, definitions::page).await
}
