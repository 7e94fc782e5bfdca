use super::place::Place;
use super::rm::{show_removal_of_volume, verdict, verdict_of_many, why_not};
use crate::arguments::{duration, name, parsed};
use crate::output::table;
use crate::session::Session;
use clap::{Args, Subcommand};
use std::time::Duration;
use volary::engine::TrashState;
use volary::{Name, RemoveReport, Result, Store, TrashListing, VolumeSpec};

/// Manage volumes that are kept in trash until they expire
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary trash mv web --defer 7d
  volary trash ls
  volary trash restore id:10ab6e1f0c3d web
  volary trash purge")]
pub(crate) struct Trash {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Move a volume to trash with its snapshots; its clones stay usable
    #[command(after_help = "Examples:\n  volary trash mv web --defer 7d")]
    Mv {
        /// The volume
        #[arg(value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// Minimum time in trash; with `0s`, the next `trash purge` or the agent's next round may remove it for good
        #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = duration)]
        defer: Duration,
    },
    /// List the volumes in trash, whatever their state
    #[command(after_help = "Examples:\n  volary trash ls\n  volary trash ls ssd/tenant-7 -o json")]
    Ls {
        #[command(flatten)]
        place: Place,
    },
    /// Restore a volume under its old name or a new one
    #[command(
        after_help = "Examples:\n  volary trash restore id:10ab6e1f0c3d\n  volary trash restore ssd/id:10ab6e1f0c3d web2"
    )]
    Restore {
        /// The volume
        #[arg(value_name = "id:ID", value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// The new name [default: the old one]
        #[arg(value_parser = name)]
        name: Option<Name>,
    },
    /// Remove a volume in trash for good
    #[command(
        after_help = "Examples:\n  volary trash rm id:10ab6e1f0c3d\n  volary trash rm --dry-run --force id:10ab6e1f0c3d"
    )]
    Rm {
        /// The volume
        #[arg(value_name = "id:ID", value_parser = parsed::<VolumeSpec>)]
        spec: VolumeSpec,
        /// Remove it even before its expiry
        #[arg(long)]
        force: bool,
        /// Show what would be done without doing it
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove for good the expired volumes that Volary put in trash
    #[command(after_help = "Examples:\n  volary trash purge\n  volary trash purge --dry-run ssd")]
    Purge {
        #[command(flatten)]
        place: Place,
        /// Also purge volumes that other tools put in trash
        #[arg(long)]
        all: bool,
        /// Show what would be done without doing it
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(args: Trash, session: &Session) -> Result<()> {
    session.on_store(async |store| run_on(store, args.verb, session).await).await
}

async fn run_on(store: &Store, verb: Verb, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        Verb::Mv { spec, defer } => {
            let report = store.trash_move(&spec, defer, ctl).await?;
            session.emit_done(&report, |report| {
                format!("{}\n", spec.namespace.volume_by_id(report.id.clone()))
            })?;
            session.status(format_args!("{} is in trash until {}", report.volume, report.until));
            Ok(())
        }
        Verb::Ls { place } => {
            let mut entries = Vec::new();
            for namespace in place.namespaces(store, ctl).await? {
                entries.extend(store.trash(&namespace, ctl).await?);
            }
            session.emit(&entries, |entries| show(entries))
        }
        Verb::Restore { spec, name } => {
            let report = store.trash_restore(&spec, name.as_ref(), ctl).await?;
            session.emit_done(&report, |_| String::new())?;
            session.status(format_args!("restored {}", report.volume));
            Ok(())
        }
        Verb::Rm { spec, force, dry_run } => {
            let report = match dry_run {
                true => store.plan_trash_remove(&spec, force, ctl).await?,
                false => store.trash_remove(&spec, force, ctl).await?,
            };
            session.emit_outcome(dry_run, &report, show_removal_of_volume)?;
            verdict(&report, session)
        }
        Verb::Purge { place, all, dry_run } => {
            let mut reports = Vec::new();
            for namespace in place.namespaces(store, ctl).await? {
                reports.extend(match dry_run {
                    true => store.plan_trash_purge(&namespace, all, ctl).await?,
                    false => store.trash_purge(&namespace, all, usize::MAX, ctl).await?,
                });
            }
            session.emit_outcome(dry_run, &reports, |reports| show_purge(reports))?;
            verdict_of_many(&reports, RemoveReport::error, RemoveReport::error_in_short, session)
        }
    }
}

fn show(entries: &[TrashListing]) -> String {
    let rows = entries.iter().map(|of| {
        let state = match of.state {
            TrashState::Normal => "",
            TrashState::Moving => "moving",
            TrashState::Restoring => "restoring",
            TrashState::Removing => "removing",
        };
        let id = format!("id:{}", of.id);
        [id, of.name.to_string(), of.until.to_string(), of.source.clone(), state.to_owned()]
    });
    table(["ID", "NAME", "KEPT UNTIL", "SOURCE", "STATE"], rows)
}

pub(super) fn show_purge(reports: &[RemoveReport]) -> String {
    let rows = reports.iter().map(|of| {
        let [reason, remedy] = why_not(&of.blockers, of.error());
        [of.volume.to_string(), of.outcome.as_str().to_owned(), reason, remedy]
    });
    table(["VOLUME", "OUTCOME", "REASON", "REMEDY"], rows)
}
