use crate::arguments::{EXIT_CODES, parsed};
use crate::output::pairs;
use crate::session::Session;
use clap::Args;
use volary::{CopyReport, Result, Store, VolumeSpec, show_size};

/// Copy a volume or snapshot to a new volume
///
/// The copy shares nothing with its source; it appears complete and compared, or not at all. Snapshots and metadata are
/// not copied.
#[derive(Debug, Args)]
#[command(after_long_help = format!("Examples:
  volary cp web web-2
  volary cp ssd/web@golden archive/web

{EXIT_CODES}"))]
pub(crate) struct Cp {
    /// The volume or snapshot: `[POOL/[NAMESPACE/]]VOLUME[@SNAPSHOT]`
    #[arg(value_parser = parsed::<VolumeSpec>)]
    from: VolumeSpec,
    /// The volume to make: [POOL/[NAMESPACE/]]VOLUME
    #[arg(value_parser = parsed::<VolumeSpec>)]
    to: VolumeSpec,
}

pub(crate) async fn run(args: Cp, session: &Session) -> Result<()> {
    let copy =
        async |store: &Store| session.emit(&store.copy(&args.from, &args.to, &session.ctl).await?, show);
    session.on_store(copy).await
}

fn show(report: &CopyReport) -> String {
    pairs([
        ("volume", report.volume.to_string()),
        ("id", report.id.to_string()),
        ("size", show_size(report.size_bytes)),
        ("data", show_size(report.data_bytes)),
        ("digest", report.digest.to_string()),
        ("seconds", format!("{:.1}", report.seconds)),
    ])
}
