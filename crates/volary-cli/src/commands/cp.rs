use crate::arguments::{EXIT_CODES, parsed};
use crate::output::{matches, notes, pairs};
use crate::session::Session;
use clap::Args;
use volary::{CopyOptions, CopyReport, Result, Store, VolumeSpec, show_size};

/// Copy a volume or snapshot to a new volume
///
/// The copy shares no data with its source, and appears complete and compared, or not at all. Snapshots and metadata are not
/// copied. The data is compared with the recorded digest while it is read: if a snapshot differs, or a head that has certainly
/// not been written since, the exit code is 7 and no copy is created.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary cp web web-2
  volary cp ssd/web@golden archive/web
  volary cp web@base rescued --accept-mismatch

{EXIT_CODES}"))]
pub(crate) struct Cp {
    /// The volume or snapshot: `[POOL/[NAMESPACE/]]VOLUME[@SNAPSHOT]`
    #[arg(value_parser = parsed::<VolumeSpec>)]
    from: VolumeSpec,
    /// The volume to create: [POOL/[NAMESPACE/]]VOLUME
    #[arg(value_parser = parsed::<VolumeSpec>)]
    to: VolumeSpec,
    /// Copy content that differs from the recorded digest, or is known to be damaged, as it is, to rescue the rest; no digest
    /// is recorded with the copy
    #[arg(long)]
    accept_mismatch: bool,
}

pub(crate) async fn run(args: Cp, session: &Session) -> Result<()> {
    let options = CopyOptions { accept_mismatch: args.accept_mismatch };
    let copy = async |store: &Store| {
        session.emit_done(&store.copy(&args.from, &args.to, options, &session.ctl).await?, show)
    };
    session.on_store(copy).await
}

fn show(report: &CopyReport) -> String {
    pairs([
        ("volume", report.volume.to_string()),
        ("id", report.id.to_string()),
        ("size", show_size(report.size_bytes)),
        ("data", show_size(report.data_bytes)),
        ("digest", report.digest.to_string()),
        ("match", matches(report.matches, report.mismatch_accepted)),
        ("mismatched", show_size(report.mismatched_bytes)),
        ("seconds", format!("{:.1}", report.seconds)),
    ]) + &notes(&report.notes)
}
