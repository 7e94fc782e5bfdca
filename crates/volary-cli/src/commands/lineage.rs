use super::ls::show_parent;
use crate::arguments::parsed;
use crate::session::Session;
use clap::Args;
use volary::{Result, VolumeSpec};

/// Create a clone of a snapshot, which shares its data
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary clone golden@v1 web
  volary clone images/golden@v1 ssd/tenant-7/web")]
pub(crate) struct Clone {
    /// The parent's snapshot; it must be protected
    #[arg(value_name = "PARENT@SNAPSHOT", value_parser = parsed::<VolumeSpec>)]
    parent: VolumeSpec,
    /// The new volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn clone(args: Clone, session: &Session) -> Result<()> {
    let work = async |store: &volary::Store| store.clone_volume(&args.parent, &args.spec, &session.ctl).await;
    let report = session.on_store(work).await?;
    session.emit_done(&report, |_| String::new())?;
    session.status(format_args!("cloned {} from {}", report.volume, report.parent));
    Ok(())
}

/// Copy the data that a clone shares with its parent into it, and detach the two
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary flatten web")]
pub(crate) struct Flatten {
    /// The clone
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn flatten(args: Flatten, session: &Session) -> Result<()> {
    let report = session.on_store(async |store| store.flatten(&args.spec, &session.ctl).await).await?;
    session.emit_done(&report, |_| String::new())?;
    session.status(format_args!("flattened {}", report.volume));
    Ok(())
}

/// List the clones of a volume's snapshots, in every pool and in trash
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary children golden
  volary children golden@v1")]
pub(crate) struct Children {
    /// The volume, or one of its snapshots
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn children(args: Children, session: &Session) -> Result<()> {
    let children = session.on_store(async |store| store.children(&args.spec, &session.ctl).await).await?;
    session.emit(&children, |children| {
        let line = |child: &volary::ChildListing| {
            format!("{}{}\n", child.volume, if child.trash { "  (in trash)" } else { "" })
        };
        children.iter().map(line).collect()
    })
}

/// Show the snapshot that a volume was cloned from
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary parent web

Prints nothing, or null as JSON, if the volume is not a clone.")]
pub(crate) struct Parent {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

pub(crate) async fn parent(args: Parent, session: &Session) -> Result<()> {
    let parent = session.on_store(async |store| store.parent(&args.spec, &session.ctl).await).await?;
    session.emit(&parent, |parent| parent.as_ref().map(show_parent).unwrap_or_default())?;
    if parent.is_none() {
        session.status(format_args!("{} is no clone", args.spec));
    }
    Ok(())
}
