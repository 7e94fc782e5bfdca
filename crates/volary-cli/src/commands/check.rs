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

/// Check a pool or namespace against itself, and a local store as a whole
///
/// On Ceph the directory, the headers, object maps, trash and journal are compared with each other, without listing or reading any
/// data. On a local store also the database is checked, and that every object that it names is there. With --read, everything is
/// read of which a checksum or digest is recorded.
///
/// What somebody makes, renames, moves or removes meanwhile is no finding: each is looked for again after a pause. Exit code 7 says
/// that something does not match; each row says what settles it.
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
    /// Read what has a recorded digest or checksum, and compare it
    #[arg(long)]
    read: bool,
    /// Finish what was broken off, rebuild what follows from the rest, move aside what nothing names; no data is removed
    ///
    /// A damaged database of a local store goes back to its copy, while nobody else has the store open; what was there and
    /// the objects that the copy has no row for are kept in lost/. A volume that somebody has open is left alone.
    #[arg(long)]
    repair: bool,
    /// Report what --repair would do
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// Look at so many volumes side by side
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// How long to wait before looking again for what was found
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
    session.emit(&report, shown)?;
    session.status(totals(&report));
    report.error().map_or(Ok(()), Err)
}

/// Checks, and repairs a database that keeps the store from being opened or is damaged; such repairs come apart from what was
/// found after them.
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
        // What it stands for is told after it was shown.
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

/// What settles a finding, or has.
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
