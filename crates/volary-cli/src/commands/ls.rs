use super::place::Place;
use crate::output::or_dash;
use crate::session::Session;
use clap::Args;
use futures::stream::{self, StreamExt};
use volary::{ParentReport, PendingListing, Result, VolumeDetails, show_size};

/// List the volumes of a pool or namespace
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary ls
  volary ls -l ssd --all-namespaces")]
pub(crate) struct Ls {
    #[command(flatten)]
    place: Place,
    /// Also show sizes, parents and pending operations
    #[arg(short, long)]
    long: bool,
}

pub(crate) async fn run(args: Ls, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    let list = async |store: &volary::Store| {
        let namespaces = &args.place.namespaces(store, ctl).await?;
        if args.long {
            let volumes = stream::iter(namespaces).flat_map(|namespace| store.list_details(namespace, ctl));
            let header = format!("{:>10}  {:>10}  VOLUME", "SIZE", "USED");
            session.emit_stream(volumes.boxed(), Some(header), line).await
        } else {
            let volumes = stream::iter(namespaces).flat_map(|namespace| store.list(namespace, ctl));
            session.emit_stream(volumes.boxed(), None, |listing| listing.volume.to_string()).await
        }
    };
    session.on_store(list).await
}

fn line(of: &VolumeDetails) -> String {
    let (size, used) = (or_dash(of.size_bytes.map(show_size)), or_dash(of.used_bytes.map(show_size)));
    let parent = of.parent.as_ref().map(|parent| format!("  (clone of {})", show_parent(parent)));
    let mark = if of.id.is_some() { "DAMAGED" } else { "UNUSABLE" };
    let problem = of.problem.as_ref().map(|problem| format!("  ({mark}: {problem})"));
    let pending = |of: &PendingListing| format!("  (PENDING {}: {})", of.operation, of.remedy);
    format!(
        "{size:>10}  {used:>10}  {}{}{}{}",
        of.volume,
        parent.unwrap_or_default(),
        problem.unwrap_or_default(),
        of.pending.iter().map(pending).collect::<String>()
    )
}

pub(crate) fn show_parent(parent: &ParentReport) -> String {
    let trash = if parent.trash { ", in trash" } else { "" };
    format!("{}@{}{trash}", parent.volume, parent.snapshot)
}
