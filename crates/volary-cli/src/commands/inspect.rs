use crate::arguments::EXIT_CODES;
use crate::commands::source::Source;
use crate::output::{narrow_table, or_dash, pairs};
use crate::session::Session;
use clap::Args;
use volary::{ImportSource, InspectOptions, InspectReport, Result, show_size};

/// Show what a disk image is, and whether it can be imported
///
/// Runs the same checks as `import`. Needs no store, and opens only the source.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary inspect debian.qcow2
  volary -o json inspect -f raw disk.img

{EXIT_CODES}"))]
pub(crate) struct Inspect {
    #[command(flatten)]
    source: Source,
    /// Accept a disk whose content itself begins as an image format
    #[arg(long)]
    allow_nested: bool,
}

impl Inspect {
    /// Opens the source while the process may still open files.
    pub(crate) fn open(&mut self) -> Option<&ImportSource> {
        self.source.open_early()
    }
}

pub(crate) async fn run(mut args: Inspect, session: &Session) -> Result<()> {
    let mut options = InspectOptions::default();
    options.format = args.source.format()?;
    options.allow_nested = args.allow_nested;
    let source = args.source.open()?;
    let report = volary::inspect(&source, &options, &session.ctl).await?;
    session.emit(&report, show)?;
    report.error().map_or(Ok(()), Err)
}

fn show(report: &InspectReport) -> String {
    let head = pairs([
        ("path", report.path.clone()),
        ("format", report.format.clone()),
        ("compression", or_dash(report.compression.as_ref())),
        ("virtual size", report.virtual_size_bytes.map_or_else(|| "unknown".to_owned(), show_size)),
        ("file", show_size(report.file_bytes)),
        ("safe", if report.safe { "yes" } else { "NO" }.to_owned()),
    ]);
    let rows =
        report.checks.iter().map(|check| [check.name.clone(), check.verdict.clone(), check.detail.clone()]);
    let checks = narrow_table(["CHECK", "VERDICT", "DETAIL"], rows);
    let verdict = report.reason.map_or_else(String::new, |reason| {
        let consequence = report.consequence.clone().unwrap_or_default();
        let refused = [["refused".to_owned(), reason.to_string()], ["it would mean".to_owned(), consequence]];
        format!("\n{}", narrow_table(["", ""], refused).trim_start_matches('\n'))
    });
    format!("{head}\n{checks}{verdict}")
}
