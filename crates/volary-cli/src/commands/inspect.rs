use crate::arguments::EXIT_CODES;
use crate::commands::source;
use crate::output::{pairs, table};
use crate::session::Session;
use clap::Args;
use std::path::PathBuf;
use volary::{Error, ErrorKind, InspectReport, Result, show_size};

/// Show what a disk image is, and whether it can be imported
///
/// Runs every check of `import` by the same code. Needs no store; opens nothing but the source.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary inspect debian.qcow2
  volary -o json inspect -f raw disk.img

{EXIT_CODES}"))]
pub(crate) struct Inspect {
    /// The disk image: a file, a block device, or `-` for standard input
    source: PathBuf,
    /// The format it must have, or `auto` for any that is accepted
    #[arg(short, long, default_value = "auto")]
    format: String,
}

pub(crate) async fn run(args: Inspect, session: &Session) -> Result<()> {
    let (source, format) = (source::parse(args.source)?, source::format(&args.format)?);
    let report = volary::inspect(&source, format, &session.ctl).await?;
    session.emit(&report, show)?;
    if report.safe {
        return Ok(());
    }
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.verdict == "fail")
        .map(|check| check.name.as_str())
        .collect();
    Err(Error::new(ErrorKind::Refused, "the source is refused")
        .context("path", &report.path)
        .context("failed", failed.join(" ")))
}

fn show(report: &InspectReport) -> String {
    let head = pairs([
        ("path", report.path.clone()),
        ("format", report.format.clone()),
        ("virtual size", report.virtual_size_bytes.map_or_else(|| "unknown".to_owned(), show_size)),
        ("file", show_size(report.file_bytes)),
        ("safe", if report.safe { "yes" } else { "NO" }.to_owned()),
    ]);
    let rows =
        report.checks.iter().map(|check| [check.name.clone(), check.verdict.clone(), check.detail.clone()]);
    format!("{head}\n{}", table(["CHECK", "VERDICT", "DETAIL"], rows))
}
