use super::ls::show_parent;
use super::pending::show_pending;
use super::snap::snapshot_table;
use crate::arguments::parsed;
use crate::output::{cut_pairs, notes, or_dash, pairs};
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeInfo, VolumeSpec, show_size};

/// Show everything about a volume or snapshot
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary info web
  volary -o json info ssd/tenant-7/web@golden")]
pub(crate) struct Info {
    /// The volume or snapshot
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn run(args: Info, session: &Session) -> Result<()> {
    let info = session.on_store(async |store| store.info(&args.spec, &session.ctl).await).await?;
    session.emit(&info, show)
}

fn show(info: &VolumeInfo) -> String {
    let exact = |bytes: u64| format!("{} ({bytes} bytes)", show_size(bytes));
    let mut text = pairs([
        ("volume", info.volume.to_string()),
        ("id", info.id.to_string()),
        ("size", exact(info.size_bytes)),
        ("used", exact(info.used_bytes)),
        ("object size", show_size(info.object_bytes)),
        ("features", or_dash((!info.features.is_empty()).then(|| info.features.join(", ")))),
        ("parent", or_dash(info.parent.as_ref().map(show_parent))),
        ("created", or_dash(info.created)),
    ]) + &notes(&info.notes);
    if !info.snapshots.is_empty() {
        text.push('\n');
        text.push_str(&snapshot_table(&info.snapshots));
    }
    if !info.metadata.is_empty() {
        text.push_str("\nMETADATA\n");
        text.push_str(&cut_pairs(info.metadata.iter().map(|(key, value)| (key.as_str(), value.clone()))));
    }
    if !info.pending.is_empty() {
        text.push('\n');
        text.push_str(&show_pending(&info.pending));
    }
    text
}
