use super::place::Place;
use crate::arguments::duration;
use crate::output::{or_dash, table};
use crate::session::Session;
use clap::Args;
use std::time::Duration;
use volary::engine::FindingKind;
use volary::{
    CheckFinding, CheckRequest, Error, ErrorKind, RepairMode, RepairReport, Result, Store, StoreCheckReport,
    show_size,
};

/// Check the metadata of a pool or namespace, or a whole local store, for contradictions
///
/// On Ceph the command compares the directory, headers, object maps, trash and journal with each other; it neither lists nor reads
/// data. On a local store it also checks the database, and that every object in the database exists. With --read it reads
/// everything that has a recorded checksum or digest, and compares.
///
/// The command looks twice, with a pause in between, and reports only what it finds both times: volumes that are created,
/// renamed, moved or removed meanwhile are not reported. Exit code 7 means that something does not match; each row names a
/// remedy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  volary check
  volary check --all-namespaces ssd
  volary check --read -j 4 ssd/tenant
  volary check --repair --dry-run
  volary check --repair -o json")]
pub(crate) struct Check {
    #[command(flatten)]
    place: Place,
    /// Read everything that has a recorded digest or checksum, and compare
    #[arg(long)]
    read: bool,
    /// Finish interrupted operations, rebuild object maps and directory entries, restore a damaged database; remove no data
    ///
    /// A damaged database of a local store is replaced by its copy, unless another process has the store open. The damaged
    /// database, objects that the copy has no row for, and objects that no row names are moved to lost/. A volume that a client
    /// has open is not repaired.
    #[arg(long)]
    repair: bool,
    /// Show what --repair would do without doing it
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Number of volumes to check in parallel
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Pause between the two looks
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pause: Duration,
}

pub(crate) async fn run(args: Check, session: &Session) -> Result<()> {
    let mut request = CheckRequest::default();
    request.read = args.read;
    request.jobs = usize::from(args.jobs);
    request.pause = args.pause;
    request.repair = match (args.repair, args.dry_run) {
        (false, _) => RepairMode::None,
        (true, true) => RepairMode::Plan,
        (true, false) => RepairMode::Repair,
    };
    let (mut report, repaired) = repaired(&args.place, &request, session).await?;
    report.findings.splice(0..0, repaired);
    session.emit_outcome(request.repair != RepairMode::Repair, &report, shown)?;
    session.status(totals(&report));
    match report.error() {
        // What was printed has each finding with its remedy.
        Some(error) if report.complete && !session.json() => Err(Error::new(error.kind(), error.message())),
        error => error.map_or(Ok(()), Err),
    }
}

/// Checks, and with --repair first repairs a database that is damaged or keeps the store from being opened. Returns the report of the
/// check, and beside it the findings about the database that was repaired before that check.
async fn repaired(
    place: &Place,
    request: &CheckRequest,
    session: &Session,
) -> Result<(StoreCheckReport, Vec<CheckFinding>)> {
    let (url, ctl, mode) = (session.store_url()?, &session.ctl, request.repair);
    let repairs = match checked(place, request, session).await {
        Err(refused) => match Store::repair_refused(&url, &refused, mode, ctl).await? {
            None => return Err(refused),
            Some(report) if report.error().is_some() => return Ok((report, Vec::new())),
            Some(report) => report.findings,
        },
        Ok(mut report) => {
            if !Store::repair_damaged(&url, &mut report, mode, ctl).await? {
                return Ok((report, Vec::new()));
            }
            report.findings.into_iter().filter(|of| of.kind == FindingKind::DatabaseDamaged).collect()
        }
    };
    Ok((checked(place, request, session).await?, repairs))
}

async fn checked(place: &Place, request: &CheckRequest, session: &Session) -> Result<StoreCheckReport> {
    let mut report = None;
    let check = async |store: &Store| {
        let namespaces = place.namespaces(store, &session.ctl).await?;
        let checked = report.insert(store.check(&namespaces, request, &session.ctl).await);
        checked.error().map_or(Ok(()), Err)
    };
    let ended = session.on_store(check).await;
    match report {
        // The caller prints the report before it returns the report's error.
        Some(report) if ended.is_ok() || report.error().is_some() => Ok(report),
        _ => Err(ended.err().unwrap_or_else(|| Error::new(ErrorKind::Internal, "a check without a report"))),
    }
}

fn shown(report: &StoreCheckReport) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let rows = report.findings.iter().map(|of| {
        let place = of.volume.as_ref().map(ToString::to_string);
        let place = place.or_else(|| of.namespace.as_ref().map(ToString::to_string));
        [of.kind.as_str().to_owned(), or_dash(place), of.detail.clone(), settled(of)]
    });
    table(["KIND", "WHERE", "WHAT", "REMEDY"], rows)
}

/// The remedy of a finding; with --repair, how its repair ended.
fn settled(of: &CheckFinding) -> String {
    match &of.repair {
        None => of.remedy.clone(),
        Some(RepairReport { action, outcome, error: None }) => format!("{}: {action}", outcome.as_str()),
        Some(RepairReport { action, outcome, error: Some(error) }) => {
            format!("{}: {action}: {error}", outcome.as_str())
        }
    }
}

fn totals(report: &StoreCheckReport) -> String {
    let mut text = format!("looked at {} volumes", report.volumes);
    if report.objects > 0 {
        text.push_str(&format!(" and {} objects", report.objects));
    }
    if report.verified > 0 || report.read_bytes > 0 {
        let (verified, read) = (report.verified, show_size(report.read_bytes));
        text.push_str(&format!(", compared {verified} with their digests, read {read}"));
    }
    if report.omitted > 0 {
        text.push_str(&format!(", left out {} findings", report.omitted));
    }
    if !report.complete {
        text.push_str(", and was ended before everything was looked at");
    }
    text
}
