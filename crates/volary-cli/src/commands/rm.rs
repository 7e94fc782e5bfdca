use crate::arguments::{duration, parsed};
use crate::failure;
use crate::output::{notes, table};
use crate::session::Session;
use clap::Args;
use std::time::Duration;
use volary::engine::Holder;
use volary::{Error, ErrorKind, Outcome, RemoveOptions, RemoveReport, Result, Step, StepOutcome, VolumeSpec};

/// Remove a volume, or report what blocks it and change nothing
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary rm web --dry-run
  volary rm web --purge-snapshots
  volary rm web --defer 7d")]
pub(crate) struct Rm {
    /// The volume
    #[arg(value_parser = parsed::<VolumeSpec>)]
    spec: VolumeSpec,
    /// Show what would be done without doing it
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    flags: RemovalFlags,
    /// Succeed if the volume does not exist
    #[arg(long)]
    if_exists: bool,
}

/// How volumes are removed, one or many.
#[derive(Debug, Args)]
pub(super) struct RemovalFlags {
    /// How long to wait for clients that have the volume open
    #[arg(long, value_name = "DURATION", default_value = "40s", value_parser = duration)]
    wait: Duration,
    /// Remove its snapshots too; protected snapshots still block
    #[arg(long)]
    purge_snapshots: bool,
    /// First flatten its clones and unprotect the snapshots they were made from
    #[arg(long)]
    flatten_children: bool,
    /// Keep the volume in trash for this long instead of removing it
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    defer: Option<Duration>,
    /// If something blocks the removal, leave an order in the journal; `reap` carries it out once nothing blocks it
    #[arg(long)]
    retry_later: bool,
}

impl RemovalFlags {
    pub(super) fn options(&self, if_exists: bool) -> RemoveOptions {
        RemoveOptions {
            purge_snapshots: self.purge_snapshots,
            flatten_children: self.flatten_children,
            defer: self.defer,
            if_exists,
            wait: self.wait,
            retry_later: self.retry_later,
        }
    }
}

pub(crate) async fn run(args: Rm, session: &Session) -> Result<()> {
    let options = args.flags.options(args.if_exists);
    let remove = async |store: &volary::Store| {
        if args.dry_run {
            store.plan_remove(&args.spec, &options, &session.ctl).await
        } else {
            store.remove(&args.spec, &options, &session.ctl).await
        }
    };
    let report = session.on_store(remove).await?;
    session.emit_outcome(args.dry_run, &report, show_removal_of_volume)?;
    verdict(&report, session)
}

/// Says how it ended; an error does not repeat the table that was printed above it.
pub(crate) fn verdict(report: &RemoveReport, session: &Session) -> Result<()> {
    let error = if session.json() { report.error() } else { report.error_in_short() };
    match error {
        Some(error) => Err(error),
        None => {
            tell(report, session);
            Ok(())
        }
    }
}

/// The error of a command that has printed a row for each of `of`, from those of the rows that did not end well: the first that is
/// pending, else the first. In text it says how many there are, for the reasons and remedies are in the rows.
pub(crate) fn verdict_of_many<'a, T: 'a>(
    reports: &'a [T],
    whole: impl Fn(&'a T) -> Option<Error>,
    in_short: impl Fn(&'a T) -> Option<Error>,
    session: &Session,
) -> Result<()> {
    let error: &dyn Fn(&'a T) -> Option<Error> = if session.json() { &whole } else { &in_short };
    let failures: Vec<_> = reports.iter().filter_map(error).collect();
    let pending = failures.iter().position(|error| error.kind() == ErrorKind::Partial).unwrap_or(0);
    let (count, all) = (failures.len(), reports.len());
    match failures.into_iter().nth(pending) {
        None => Ok(()),
        Some(error) if session.json() => Err(error.context("failed", count).context("of", all)),
        Some(error) => {
            let short = Error::new(error.kind(), format!("{count} of {all} could not be removed"));
            Err(match error.remedy().filter(|_| error.kind() == ErrorKind::Partial) {
                Some(hint) => short.hint(hint),
                None => short,
            })
        }
    }
}

/// Why something was not removed and what would help, for its row of a table.
pub(crate) fn why_not(blockers: &[Holder], error: Option<Error>) -> [String; 2] {
    let Some(error) = error else { return Default::default() };
    let reason = match blockers {
        [] => failure::shown(&error),
        held => held.iter().map(|by| by.detail.as_str()).collect::<Vec<_>>().join("; "),
    };
    [reason, error.remedy().unwrap_or_default().to_owned()]
}

/// Says in a line how it ended, when it ended well.
fn tell(report: &RemoveReport, session: &Session) {
    let volume = &report.volume;
    match (report.outcome, report.until) {
        (Outcome::Deferred, _) if !report.blockers.is_empty() => {
            session.status(format_args!("{volume} is in trash, and goes with its last clone"));
        }
        (Outcome::Deferred, Some(until)) => {
            session.status(format_args!("{volume} is in trash until {until}"));
        }
        (Outcome::Planned, _) if !report.blockers.is_empty() => {
            session.status(format_args!("{volume} can go into trash, and goes with its last clone"));
        }
        (Outcome::Absent, _) => session.status(format_args!("{volume} was not there")),
        (Outcome::Planned, _) => session.status(format_args!("{volume} can be removed")),
        (Outcome::Removed, _) => session.status(format_args!("removed {volume}")),
        _ => {}
    }
}

/// The steps that did not just succeed, who is in the way or who it waits for in trash, and what else there is to know.
pub(crate) fn show_removal_of_volume(report: &RemoveReport) -> String {
    let by = if report.outcome == Outcome::Blocked { BLOCKED_BY } else { "WAITS FOR" };
    show_removal(&report.steps, by, &report.blockers) + &notes(&report.notes)
}

/// The header above those who are in the way.
pub(crate) const BLOCKED_BY: &str = "BLOCKED BY";

/// The steps that did not just succeed, and holders under this header.
pub(crate) fn show_removal(steps: &[Step], by: &str, holders: &[Holder]) -> String {
    let mut text = String::new();
    if steps.iter().any(|step| step.outcome != StepOutcome::Done) {
        let rows = steps.iter().map(|step| {
            let outcome = match step.outcome {
                StepOutcome::Planned => "planned",
                StepOutcome::Done => "done",
                StepOutcome::Failed => "FAILED",
                _ => "skipped",
            };
            let times = if step.tries > 1 { format!(", tried {} times", step.tries) } else { String::new() };
            [step.action.clone(), step.target.to_string(), format!("{outcome}{times}")]
        });
        text.push_str(&table(["STEP", "TARGET", "OUTCOME"], rows));
    }
    if !holders.is_empty() {
        let rows = holders.iter().map(|b| [b.kind.as_str().to_owned(), b.detail.clone(), b.remedy.clone()]);
        text.push_str(&table([by, "DETAIL", "REMEDY"], rows));
    }
    text
}
