use crate::arguments::{EXIT_CODES, parsed};
use crate::output::{notes, pairs};
use crate::session::Session;
use clap::Args;
use volary::{Result, Store, VerifyReport, VolumeSpec};

/// Read a volume back and compare it with its recorded digest
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary verify debian-13@base
  volary verify --record web

{EXIT_CODES}"))]
pub(crate) struct Verify {
    /// The volume or snapshot: `[POOL/[NAMESPACE/]]VOLUME[@SNAPSHOT]`
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// Record the digest of the current content instead of comparing
    #[arg(long)]
    record: bool,
}

pub(crate) async fn run(args: Verify, session: &Session) -> Result<()> {
    let verify = async |store: &Store| {
        let report = store.verify(&args.spec, args.record, &session.ctl).await?;
        match args.record {
            true => session.emit_done(&report, show)?,
            false => session.emit(&report, show)?,
        }
        Ok(report)
    };
    session.on_store(verify).await?.error().map_or(Ok(()), Err)
}

fn show(report: &VerifyReport) -> String {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    pairs([
        ("volume", report.volume.to_string()),
        ("id", report.id.to_string()),
        ("expected", report.expected.to_string()),
        ("actual", report.actual.to_string()),
        ("match", if report.matches { "yes" } else { "NO" }.to_owned()),
        ("modified", yes_or_no(report.modified)),
    ]) + &notes(&report.notes)
}
