use crate::output::{pairs, table};
use crate::session::Session;
use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use volary::{Error, Result, show_size};

/// Check that the store is there, well, and fit for use
///
/// Reads only; a local store that is not there yet is made, as by any other command. Exits with the code of the first
/// check that failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary doctor
  volary --store local:/var/lib/volary -o json doctor")]
pub(crate) struct Doctor {}

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// The store's URL.
    store: String,
    /// The engine, when it answered.
    engine: Option<String>,
    /// The store's own id.
    id: Option<String>,
    /// The version of what keeps the store.
    version: Option<String>,
    /// The program's version.
    volary: String,
    /// Each check, in order.
    checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Serialize, JsonSchema)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
    remedy: Option<String>,
}

pub(crate) async fn run(_args: Doctor, session: &Session) -> Result<()> {
    let mut report = Report {
        store: session.store_url()?.to_string(),
        engine: None,
        id: None,
        version: None,
        volary: env!("CARGO_PKG_VERSION").to_owned(),
        checks: Vec::new(),
    };
    let failure = examine(&mut report, session).await;
    session.emit(&report, show)?;
    failure.map_or(Ok(()), Err)
}

/// Adds check after check; the error is that of the first that failed.
async fn examine(report: &mut Report, session: &Session) -> Option<Error> {
    let ctl = &session.ctl;
    let store = match session.store().await {
        Ok(store) => store,
        Err(error) => return Some(report.failed("connect", error)),
    };
    report.passed("connect", "the store answers");
    match store.describe(ctl).await {
        Ok(description) => {
            report.passed("describe", format!("{} {}", description.engine, description.version));
            report.engine = Some(description.engine);
            report.id = Some(description.id);
            report.version = Some(description.version);
        }
        Err(error) => return Some(report.failed("describe", error)),
    }
    let mut first = None;
    match store.engine().pools(ctl).await {
        Ok(pools) => {
            for pool in pools {
                let name = format!("pool {pool}");
                match store.engine().pool_info(&pool, ctl).await {
                    Ok(info) => {
                        report.passed(
                            &name,
                            format!(
                                "{} of {} available",
                                show_size(info.available_bytes),
                                show_size(info.total_bytes)
                            ),
                        );
                    }
                    Err(error) => first = first.or(Some(report.failed(&name, error))),
                }
            }
        }
        Err(error) => first = Some(report.failed("pools", error)),
    }
    if let Err(error) = store.shutdown().await {
        first = first.or(Some(report.failed("shutdown", error)));
    }
    first
}

impl Report {
    fn passed(&mut self, name: &str, detail: impl Into<String>) {
        self.checks.push(Check { name: name.to_owned(), ok: true, detail: detail.into(), remedy: None });
    }

    fn failed(&mut self, name: &str, error: Error) -> Error {
        let remedy = error.remedy().map(str::to_owned);
        self.checks.push(Check { name: name.to_owned(), ok: false, detail: error.report(), remedy });
        error
    }
}

fn show(report: &Report) -> String {
    let unknown = || "unknown".to_owned();
    let head = pairs([
        ("volary", report.volary.clone()),
        ("store", report.store.clone()),
        ("engine", report.engine.clone().unwrap_or_else(unknown)),
        ("version", report.version.clone().unwrap_or_else(unknown)),
        ("id", report.id.clone().unwrap_or_else(unknown)),
    ]);
    let rows = report.checks.iter().map(|check| {
        let verdict = if check.ok { "ok" } else { "FAILED" };
        [check.name.clone(), verdict.to_owned(), check.detail.clone()]
    });
    format!("{head}\n{}", table(["CHECK", "RESULT", "DETAIL"], rows))
}
