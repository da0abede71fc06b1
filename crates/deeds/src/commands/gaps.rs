//! `deeds gaps`.

use serde_json::Value;

use super::{Again, Query, ask, check_times};
use crate::cli::GapsArgs;
use crate::config::Config;
use crate::connect::connect;
use crate::output::Output;
use crate::render::gaps;
use crate::render::lists::Asked;
use crate::{Outcome, clock};

/// Lists what may be missing or unknown.
pub(crate) async fn run(config: &Config, args: &GapsArgs, output: Output) -> anyhow::Result<Outcome> {
    let now_ms = clock::now_ms();
    check_times(&args.stretch, now_ms)?;
    let server = connect(config).await?;
    let path = Query::new("/v1/gaps").stretch(&args.stretch, now_ms).page(&args.page);
    let again = Again::new(config, "gaps").stretch(&args.stretch, now_ms).limit(&args.page).0;
    let asked = Asked {
        before: args.page.before,
        narrowed: args.stretch.from.is_some() || args.stretch.to.is_some(),
    };
    ask(&server, &path.0, output, |value: &Value, width| gaps::table(value, width, &again, asked)).await
}
