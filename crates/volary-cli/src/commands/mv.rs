use crate::arguments::parsed;
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeSpec};

/// Rename a volume within its namespace
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary mv web web-old
  volary mv ssd/id:10ab6e1f0c3d ssd/web")]
pub(crate) struct Mv {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// The new name
    #[arg(value_parser = parsed::<VolumeSpec>)]
    to: VolumeSpec,
}

pub(crate) async fn run(args: Mv, session: &Session) -> Result<()> {
    let report =
        session.on_store(async |store| store.rename(&args.spec, &args.to, &session.ctl).await).await?;
    session.emit_done(&report, |_| String::new())?;
    session.status(format_args!("renamed {} to {}", report.from, report.volume));
    Ok(())
}
