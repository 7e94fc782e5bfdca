use crate::output::pairs;
use crate::session::Session;
use clap::Args;
use volary::engine::{Check, Verdict};
use volary::{DoctorReport, Error, ErrorKind, Result};

/// Check that the store is reachable, healthy and fit for use
///
/// Only reads, except that it creates a missing local store, as any other command does. On Ceph it shows which libraries are
/// loaded, what the user may do in each pool meant for images, who can read the keyring, and what deserves attention in the
/// cluster's state and settings. What the user's capabilities hide is shown as unknown. The exit code is that of the first
/// failed check; a warning is not a failure.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary doctor
  volary --store 'ceph:/etc/ceph/ceph.conf?id=nova' doctor
  volary --store local:/var/lib/volary -o json doctor")]
pub(crate) struct Doctor {}

pub(crate) async fn run(_args: Doctor, session: &Session) -> Result<()> {
    let mut report = volary::doctor(&session.store_url()?, &session.ctl).await;
    if let [_, ..] = session.ignored.as_slice() {
        let detail = format!(
            "ignored: {}; only the configuration that the store's URL names counts",
            session.ignored.join(" ")
        );
        report
            .checks
            .insert(0, Check::warning("environment", detail, "unset them, so that nobody relies on them"));
    }
    report.checks.push(crate::landlock::check());
    session.emit(&report, show)?;
    let failed = report.checks.into_iter().find(|check| check.verdict == Verdict::Failed);
    failed.map_or(Ok(()), |check| {
        let error =
            Error::new(check.kind.unwrap_or(ErrorKind::Internal), check.detail).context("check", check.name);
        Err(match check.remedy {
            Some(remedy) => error.hint(remedy),
            None => error,
        })
    })
}

fn show(report: &DoctorReport) -> String {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
    let head = pairs([
        ("volary", report.volary.clone()),
        ("store", report.store.clone()),
        ("engine", known(&report.engine)),
        ("version", known(&report.version)),
        ("id", known(&report.id)),
    ]);
    let line = |check: &Check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failed => "FAILED",
            Verdict::Unknown => "unknown",
        };
        let remedy =
            check.remedy.iter().map(|remedy| format!("         remedy: {remedy}\n")).collect::<String>();
        format!("{verdict:7}  {}: {}\n{remedy}", check.name, check.detail)
    };
    format!("{head}\n{}", report.checks.iter().map(line).collect::<String>())
}
