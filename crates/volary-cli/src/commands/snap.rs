use super::rm::{BLOCKED_BY, show_removal, verdict_of_many, why_not};
use crate::arguments::parsed;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::{Args, Subcommand};
use volary::{
    Error, Result, SnapshotListing, SnapshotOutcome, SnapshotRemoveOptions, SnapshotReport, Store,
    VolumeSpec, show_size,
};

/// Create, list, protect, roll back to and remove snapshots
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary snap create web@before-upgrade
  volary snap create golden@v1 --protect
  volary snap rollback web@before-upgrade
  volary snap purge web")]
pub(crate) struct Snap {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create a snapshot
    #[command(
        after_help = "Examples:\n  volary snap create web@before-upgrade\n  volary snap create golden@v1 --protect"
    )]
    Create {
        #[command(flatten)]
        target: Snapshot,
        /// Protect the snapshot from removal, so that it can be cloned
        #[arg(long)]
        protect: bool,
    },
    /// List a volume's snapshots, oldest first
    #[command(after_help = "Examples:\n  volary snap ls web\n  volary snap ls web -o json")]
    Ls {
        #[command(flatten)]
        target: Head,
    },
    /// Protect a snapshot from removal, so that it can be cloned
    #[command(after_help = "Examples:\n  volary snap protect golden@v1")]
    Protect(Snapshot),
    /// Unprotect a snapshot
    #[command(after_help = "Examples:\n  volary snap unprotect golden@v1")]
    Unprotect(Snapshot),
    /// Rename a snapshot
    #[command(after_help = "Examples:\n  volary snap rename web@a web@before-upgrade")]
    Rename {
        #[command(flatten)]
        target: Snapshot,
        /// The same volume with the snapshot's new name
        #[arg(value_name = "VOLUME@SNAPSHOT", value_parser = parsed::<VolumeSpec>)]
        to: VolumeSpec,
    },
    /// Roll a volume back to a snapshot, discarding everything written since
    #[command(after_help = "Examples:\n  volary snap rollback web@before-upgrade")]
    Rollback(Snapshot),
    /// Remove a snapshot, or report what blocks it and change nothing
    #[command(
        after_help = "Examples:\n  volary snap rm web@before-upgrade\n  volary snap rm --dry-run --force golden@v1"
    )]
    Rm {
        #[command(flatten)]
        target: Snapshot,
        #[command(flatten)]
        how: How,
    },
    /// Remove all snapshots of a volume, or none and report which are blocked
    #[command(after_help = "Examples:\n  volary snap purge web\n  volary snap purge --dry-run web")]
    Purge {
        #[command(flatten)]
        target: Head,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, Args)]
struct Snapshot {
    /// The snapshot
    #[arg(value_name = "VOLUME@SNAPSHOT", value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

#[derive(Debug, Args)]
struct Head {
    /// The volume
    #[arg(value_name = "VOLUME", value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
}

#[derive(Debug, Args)]
struct How {
    /// Unprotect protected snapshots first; clones still block
    #[arg(long)]
    force: bool,
    /// Flatten the clones first and unprotect, as `rbd snap rm --force` does
    #[arg(long)]
    flatten_children: bool,
    /// Show what would be done without doing it
    #[arg(long)]
    dry_run: bool,
}

impl How {
    fn options(&self) -> SnapshotRemoveOptions {
        SnapshotRemoveOptions { force: self.force, flatten_children: self.flatten_children }
    }
}

pub(crate) async fn run(args: Snap, session: &Session) -> Result<()> {
    session.on_store(async |store| run_on(store, args.verb, session).await).await
}

async fn run_on(store: &Store, verb: Verb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        Verb::Create { target, protect } => {
            done(session, "created", store.create_snapshot(&target.spec, protect, ctl).await?)
        }
        Verb::Protect(target) => done(session, "protected", store.protect_snapshot(&target.spec, ctl).await?),
        Verb::Unprotect(target) => {
            done(session, "unprotected", store.unprotect_snapshot(&target.spec, ctl).await?)
        }
        Verb::Rename { target, to } => {
            if to.head() != target.spec.head() {
                return Err(Error::new(volary::ErrorKind::Usage, "a snapshot stays with its volume")
                    .hint(format!("write {}@{}", target.spec.head(), or_dash(to.snapshot.as_ref()))));
            }
            let name = to.required_snapshot()?;
            done(session, "renamed to", store.rename_snapshot(&target.spec, name, ctl).await?)
        }
        Verb::Rollback(target) => done(session, "rolled back to", store.rollback(&target.spec, ctl).await?),
        Verb::Ls { target } => {
            let snapshots = store.snapshots(&target.spec, ctl).await?;
            session.emit(&snapshots, |snapshots| snapshot_table(snapshots))
        }
        Verb::Rm { target, how } => {
            let outcome = match how.dry_run {
                true => store.plan_remove_snapshot(&target.spec, how.options(), ctl).await?,
                false => store.remove_snapshot(&target.spec, how.options(), ctl).await?,
            };
            session.emit_outcome(how.dry_run, &outcome, |outcome| {
                show_removal(&outcome.steps, BLOCKED_BY, &outcome.blockers)
            })?;
            let error = if session.json() { outcome.error() } else { outcome.error_in_short() };
            match error {
                Some(error) => Err(error),
                None => {
                    let done = if how.dry_run { "can be removed:" } else { "removed" };
                    session.status(format_args!("{done} {}@{}", outcome.volume, outcome.snapshot));
                    Ok(())
                }
            }
        }
        Verb::Purge { target, how } => {
            let outcomes = match how.dry_run {
                true => store.plan_purge_snapshots(&target.spec, how.options(), ctl).await?,
                false => store.purge_snapshots(&target.spec, how.options(), ctl).await?,
            };
            session.emit_outcome(how.dry_run, &outcomes, |outcomes| purge_table(outcomes))?;
            verdict_of_many(&outcomes, SnapshotOutcome::error, SnapshotOutcome::error_in_short, session)
        }
    }
}

fn done(session: &Session, verb: &str, report: SnapshotReport) -> Result<()> {
    session.emit_done(&report, |_| String::new())?;
    session.status(format_args!("{verb} {}@{}", report.volume, report.snapshot));
    Ok(())
}

pub(crate) fn snapshot_table(snapshots: &[SnapshotListing]) -> String {
    let rows = snapshots.iter().map(|of| {
        let protected = if of.protected { "yes" } else { "" };
        [of.name.to_string(), show_size(of.size_bytes), protected.to_owned(), or_dash(of.created)]
    });
    table(["SNAPSHOT", "SIZE", "PROTECTED", "CREATED"], rows)
}

fn purge_table(outcomes: &[SnapshotOutcome]) -> String {
    let rows = outcomes.iter().map(|of| {
        let [reason, remedy] = why_not(&of.blockers, of.error());
        [of.snapshot.to_string(), of.outcome.as_str().to_owned(), reason, remedy]
    });
    table(["SNAPSHOT", "OUTCOME", "REASON", "REMEDY"], rows)
}
