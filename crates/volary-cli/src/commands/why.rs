use crate::arguments::parsed;
use crate::output::{pairs, table};
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeSpec};

/// Say who holds a volume, and what would make it let go
///
/// Watchers, locks, snapshots, clones in every pool, protection, trash, group and mirror, and what may not be seen. Reads
/// only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary why web
  volary why ssd/id:10ab6e1f0c3d -o json")]
pub(crate) struct Why {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn run(args: Why, session: &Session) -> Result<()> {
    let report = session.on_store(async |store| store.why(&args.spec, &session.ctl).await).await?;
    session.emit(&report, |of| {
        if of.holders.is_empty() && of.pending.is_empty() {
            return format!("nobody holds {}\n", of.volume);
        }
        let rows = of
            .holders
            .iter()
            .map(|holder| [holder.kind.as_str().to_owned(), holder.detail.clone(), holder.remedy.clone()]);
        let mut text = table(["HELD BY", "DETAIL", "REMEDY"], rows);
        for pending in &of.pending {
            text.push_str(&pairs([("pending", format!("{} {}", pending.operation, pending.id))]));
        }
        text
    })
}
