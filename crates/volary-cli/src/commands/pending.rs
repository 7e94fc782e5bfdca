use super::place::Place;
use crate::arguments::duration;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::{Args, Subcommand};
use std::time::Duration;
use volary::{
    Error, ErrorKind, Namespace, PendingListing, PendingRecord, ReapOptions, ReapOutcome, ReapReport, Result,
    Store,
};

/// Show and settle operations that have started and not finished
///
/// The store's journal has them, running ones included; any host can settle those of a dead process. A record that Volary did
/// not write for the namespace it lies in is shown as INVALID with the reason, and is never carried out. An order is shown as
/// UNCONFIRMED if its volume was renamed, or a snapshot or clone of it was made, after the order was given; it then waits for
/// `retry --confirm` or `forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary pending
  volary pending ls --all-namespaces ssd
  volary pending show 6f1c0d…
  volary pending retry 6f1c0d…
  volary pending retry --confirm 6f1c0d…
  volary pending forget 6f1c0d… ssd/tenant")]
pub(crate) struct Pending {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List pending operations; the same as `pending` alone
    #[command(
        after_help = "Examples:\n  volary pending ls\n  volary pending ls --all-namespaces ssd -o json"
    )]
    Ls {
        #[command(flatten)]
        place: Place,
    },
    /// Show everything the journal has about one operation
    #[command(after_help = "Examples:\n  volary pending show 6f1c0d…")]
    Show {
        /// The operation's id, as `pending ls` prints it
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Finish or undo one operation now
    #[command(
        after_help = "Examples:\n  volary pending retry 6f1c0d…\n  volary pending retry --confirm 6f1c0d… ssd/tenant"
    )]
    Retry {
        /// The operation's id, as `pending ls` prints it
        id: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        patience: Patience,
        /// Carry the order out on the volume as it is now, although it changed after the order was given
        #[arg(long)]
        confirm: bool,
    },
    /// Remove one operation from the journal; whatever it had begun stays as it is
    ///
    /// Use this to remove an invalid record.
    #[command(
        after_help = "Examples:\n  volary pending forget 6f1c0d…\n  volary pending forget 6f1c0d… ssd/tenant"
    )]
    Forget {
        /// The operation's id, as `pending ls` prints it
        id: String,
        #[command(flatten)]
        place: Place,
        /// Forget it even if its owner may still be running
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
struct Patience {
    /// How long to wait for clients that have a volume open
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = duration)]
    wait: Duration,
}

/// Finish or undo what interrupted and failed operations left behind
///
/// A record can change only volumes of the namespace in whose journal it lies. Invalid records are reported, and the exit code
/// is then 11. Operations of a dead process on this host are settled at once. For a process on another host, watches its
/// heartbeat for 30 s before treating it as dead.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary reap
  volary reap --all-namespaces ssd --max 10")]
pub(crate) struct Reap {
    #[command(flatten)]
    place: Place,
    /// Settle at most N operations
    #[arg(long, value_name = "N")]
    max: Option<usize>,
    #[command(flatten)]
    patience: Patience,
}

pub(crate) async fn reap(args: Reap, session: &Session) -> Result<()> {
    let max = args.max.unwrap_or(usize::MAX);
    let options = ReapOptions { max, wait: args.patience.wait, ..ReapOptions::default() };
    session
        .on_store(async |store| {
            let namespaces = args.place.namespaces(store, &session.ctl).await?;
            settle(store, &namespaces, &options, session).await.map(drop)
        })
        .await
}

pub(crate) async fn pending(args: Pending, session: &Session) -> Result<()> {
    session.on_store(async |store| pending_on(store, args.verb, session).await).await
}

async fn pending_on(store: &Store, verb: Option<Verb>, session: &Session) -> Result<()> {
    let ctl = &session.ctl;
    match verb {
        None => list(store, &[Namespace::default()], session).await,
        Some(Verb::Ls { place }) => list(store, &place.namespaces(store, ctl).await?, session).await,
        Some(Verb::Show { id, place }) => {
            for namespace in place.namespaces(store, ctl).await? {
                if let Some(record) = store.pending_record(&namespace, &id, ctl).await? {
                    return session.emit(&record, show);
                }
            }
            Err(not_pending(&id))
        }
        Some(Verb::Retry { id, place, patience, confirm }) => {
            let only = Some(id.clone());
            let options = ReapOptions { only, wait: patience.wait, confirm, ..ReapOptions::default() };
            let namespaces = place.namespaces(store, ctl).await?;
            let reports = settle(store, &namespaces, &options, session).await?;
            match reports.first().map(|report| report.outcome) {
                None => Err(not_pending(&id)),
                Some(ReapOutcome::Running) => {
                    Err(Error::new(ErrorKind::Blocked, "its owner is at work on it")
                        .context("intent", id)
                        .hint("wait for it to end, or end it"))
                }
                Some(_) => Ok(()),
            }
        }
        Some(Verb::Forget { id, place, force }) => {
            for namespace in place.namespaces(store, ctl).await? {
                if store.forget(&namespace, &id, force, ctl).await? {
                    session.status(format_args!("forgot {id}"));
                    return Ok(());
                }
            }
            Err(not_pending(&id))
        }
    }
}

async fn list(store: &Store, namespaces: &[Namespace], session: &Session) -> Result<()> {
    let mut listing = Vec::new();
    for namespace in namespaces {
        listing.extend(store.pending(namespace, &session.ctl).await?);
    }
    session.emit(&listing, |listing: &Vec<PendingListing>| {
        let rows = listing.iter().map(|of| {
            let (step, owner) = (or_dash(of.step.as_ref()), or_dash(of.owner.as_ref()));
            let error = match (&of.invalid, &of.unconfirmed) {
                (Some(reason), _) => format!("INVALID: {reason}"),
                (None, Some(since)) => format!("UNCONFIRMED: {since}; {}", of.remedy),
                (None, None) => or_dash(of.last_error.as_ref()),
            };
            let age = format!("{}s", of.age_seconds);
            [of.id.clone(), of.operation.clone(), of.volume.clone(), step, owner, age, error]
        });
        table(["ID", "OPERATION", "VOLUME", "STEP", "OWNER", "AGE", "LAST ERROR"], rows)
    })
}

async fn settle(
    store: &Store,
    namespaces: &[Namespace],
    options: &ReapOptions,
    session: &Session,
) -> Result<Vec<ReapReport>> {
    let reports = store.reap(namespaces, options, &session.ctl).await?;
    session.emit_done(&reports, |reports| show_reaped(reports))?;
    let first = |outcome| reports.iter().find(|report: &&ReapReport| report.outcome == outcome);
    if let Some(left) = first(ReapOutcome::Pending) {
        let error = Error::new(ErrorKind::Partial, "not everything could be settled")
            .context("namespace", &left.namespace)
            .context("intent", &left.id)
            .context("volume", &left.volume);
        return Err(with_reason(error, left, session).hint(left.hint.clone().unwrap_or_else(|| {
            format!(
                "`volary pending ls {}` shows what is left; remove what is in the way and reap again",
                left.namespace
            )
        })));
    }
    match first(ReapOutcome::Invalid) {
        None => Ok(reports),
        Some(invalid) => {
            let error = Error::new(ErrorKind::Partial, "the journal has invalid records")
                .context("namespace", &invalid.namespace)
                .context("intent", &invalid.id);
            Err(with_reason(error, invalid, session).hint(invalid.hint.clone().unwrap_or_default()))
        }
    }
}

/// The error with the reason, which in text the table above it has.
fn with_reason(error: Error, of: &ReapReport, session: &Session) -> Error {
    match of.error.as_deref().filter(|_| session.json()) {
        Some(reason) => error.context("reason", reason),
        None => error,
    }
}

/// What is pending of one volume, with the command that drops it.
pub(super) fn show_pending(pending: &[PendingListing]) -> String {
    let rows = pending.iter().map(|of| [of.operation.clone(), detail(of), of.remedy.clone()]);
    if pending.is_empty() { String::new() } else { table(["PENDING", "DETAIL", "REMEDY"], rows) }
}

/// Why it is still pending, without the commands that its remedy has too.
fn detail(of: &PendingListing) -> String {
    if let Some(since) = &of.unconfirmed {
        return format!("UNCONFIRMED: {since}");
    }
    let error = of.last_error.as_deref().unwrap_or_default();
    match error.split_once("; `") {
        Some((error, commands)) if commands.contains(&of.id) => error.to_owned(),
        _ => error.to_owned(),
    }
}

/// What became of each intent.
pub(super) fn show_reaped(reports: &[ReapReport]) -> String {
    let rows = reports.iter().map(|of| {
        let outcome = match of.outcome {
            ReapOutcome::Settled => "settled",
            ReapOutcome::Running => "running",
            ReapOutcome::Invalid => "INVALID",
            _ => "PENDING",
        };
        let error = of.error.clone().unwrap_or_default();
        [of.id.clone(), of.operation.clone(), of.volume.clone(), outcome.to_owned(), error]
    });
    table(["ID", "OPERATION", "VOLUME", "OUTCOME", "REASON"], rows)
}

/// The record as indented JSON, after the reason if it is invalid.
fn show(of: &PendingRecord) -> String {
    let record = serde_json::to_string_pretty(&of.record).unwrap_or_default();
    match &of.invalid {
        Some(reason) => format!("INVALID: {reason}\n{record}"),
        None => record,
    }
}

fn not_pending(id: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no such intent in the journal")
        .context("intent", volary::escape(id.as_bytes()))
        .hint("`volary pending` shows what is there; it may have been settled")
}
