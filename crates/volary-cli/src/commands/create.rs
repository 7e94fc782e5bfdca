use crate::arguments::{parsed, size};
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeSpec};

/// Create an empty volume
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary create web --size 10G
  volary create ssd/tenant-7/web -s 512M")]
pub(crate) struct Create {
    /// The new volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// Size of the volume: a whole number and B, K, M, G, T or P; whole sectors of 512 bytes
    #[arg(short, long, value_parser = size)]
    size: u64,
}

pub(crate) async fn run(args: Create, session: &Session) -> Result<()> {
    let report =
        session.on_store(async |store| store.create(&args.spec, args.size, &session.ctl).await).await?;
    session.emit_done(&report, |_| String::new())?;
    session.status(format_args!("created {}", report.volume));
    Ok(())
}
