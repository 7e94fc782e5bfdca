use crate::arguments::{parsed, size};
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeSpec, show_size};

/// Grow or shrink a volume
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary resize web --size 20G
  volary resize web --size 5G --allow-shrink")]
pub(crate) struct Resize {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// New size: a whole number and B, K, M, G, T or P; whole sectors of 512 bytes
    #[arg(short, long, value_parser = size)]
    size: u64,
    /// Allow a smaller size, which discards all data beyond it
    #[arg(long)]
    allow_shrink: bool,
}

pub(crate) async fn run(args: Resize, session: &Session) -> Result<()> {
    let resize = async |store: &volary::Store| {
        store.resize(&args.spec, args.size, args.allow_shrink, &session.ctl).await
    };
    let report = session.on_store(resize).await?;
    session.emit_done(&report, |_| String::new())?;
    let (old, new) = (show_size(report.old_size_bytes), show_size(report.size_bytes));
    session.status(format_args!("resized {} from {old} to {new}", report.volume));
    Ok(())
}
