use super::place::Place;
use super::rm::{RemovalFlags, verdict_of_many, why_not};
use crate::arguments::parsed;
use crate::output::table;
use crate::session::Session;
use clap::{ArgGroup, Args};
use std::io::Read;
use std::path::PathBuf;
use volary::{Error, ErrorKind, NamePattern, Outcome, RemoveReport, Result, Store, VolumeSpec};

/// The longest list of names that is read.
const LONGEST_LIST_BYTES: u64 = 64 << 20;

/// Remove many volumes, by list or by pattern, each with its own outcome
///
/// One failure never stops the rest. A pattern matches whole names: `web` matches only `web`. Volumes of a list that do not
/// exist are reported as `absent`, which is not a failure.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true), after_help = "Examples:
  volary cleanup --match '*_disk' --dry-run
  volary cleanup --names-from gone.txt -j 16
  volary cleanup --names-from gone.txt --purge-snapshots --retry-later")]
pub(crate) struct Cleanup {
    #[command(flatten)]
    place: Place,
    /// Volumes whose whole name matches: `*`, `?`, `[ab]`, `{a,b}`
    #[arg(long = "match", value_name = "GLOB", group = "which", value_parser = pattern)]
    pattern: Option<NamePattern>,
    /// File that lists volumes, one spec per line; `-` for standard input
    #[arg(long, value_name = "FILE", group = "which", conflicts_with_all = ["namespace", "all_namespaces"])]
    names_from: Option<PathBuf>,
    /// Show what would be done without doing it
    #[arg(long)]
    dry_run: bool,
    /// Number of volumes to remove in parallel
    #[arg(short, long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    #[command(flatten)]
    flags: RemovalFlags,
}

fn pattern(text: &str) -> Result<NamePattern, String> {
    NamePattern::new(text).map_err(|error| error.report())
}

pub(crate) async fn run(args: Cleanup, session: &Session) -> Result<()> {
    let listed = args.names_from.as_deref().map(listed).transpose()?;
    let options = args.flags.options(true);
    let reports = session
        .on_store(async |store| {
            let volumes = match (listed, &args.pattern) {
                (Some(listed), _) => listed,
                (None, Some(pattern)) => matching(store, &args.place, pattern, session).await?,
                (None, None) => Vec::new(),
            };
            let (jobs, ctl) = (usize::from(args.jobs), &session.ctl);
            Ok(store.cleanup(&volumes, &options, jobs, args.dry_run, ctl).await)
        })
        .await?;
    session.emit_outcome(args.dry_run, &reports, |reports| show(reports))?;
    let count = |outcome| reports.iter().filter(|of| of.outcome == outcome).count();
    session.status(format_args!(
        "{} removed, {} deferred, {} absent, {} blocked, {} failed",
        count(Outcome::Removed),
        count(Outcome::Deferred),
        count(Outcome::Absent),
        count(Outcome::Blocked),
        count(Outcome::Failed)
    ));
    verdict_of_many(&reports, RemoveReport::error, RemoveReport::error_in_short, session)
}

async fn matching(
    store: &Store,
    place: &Place,
    pattern: &NamePattern,
    session: &Session,
) -> Result<Vec<VolumeSpec>> {
    let mut volumes = Vec::new();
    for namespace in place.namespaces(store, &session.ctl).await? {
        volumes.extend(store.matching(&namespace, pattern, &session.ctl).await?);
    }
    Ok(volumes)
}

/// The specs of a list, all of them right before anything is done.
fn listed(path: &std::path::Path) -> Result<Vec<VolumeSpec>> {
    let mut specs = Vec::new();
    for (line, text) in lines(path)?.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let spec = parsed::<VolumeSpec>(text).map_err(|why| Error::new(ErrorKind::Usage, why));
        let spec = spec.and_then(|spec| spec.require_head().map(|()| spec));
        specs.push(spec.map_err(|error| error.context("line", line + 1))?);
    }
    Ok(specs)
}

/// A file of names, or standard input for `-`.
pub(super) fn lines(path: &std::path::Path) -> Result<String> {
    let reading = |error| Error::io("reading the list", error).context("path", path.display());
    let source: Box<dyn Read> = if path == std::path::Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(reading)?)
    };
    let mut text = String::new();
    let read = source.take(LONGEST_LIST_BYTES).read_to_string(&mut text).map_err(reading)?;
    if read as u64 == LONGEST_LIST_BYTES {
        return Err(Error::new(ErrorKind::Usage, "the list is longer than 64 MiB").hint("split it"));
    }
    Ok(text)
}

fn show(reports: &[RemoveReport]) -> String {
    let rows = reports.iter().map(|of| {
        let [reason, remedy] = why_not(&of.blockers, of.error());
        let outcome =
            if of.pending { format!("{}, pending", of.outcome.as_str()) } else { of.outcome.as_str().into() };
        [of.volume.to_string(), outcome, reason, remedy]
    });
    table(["VOLUME", "OUTCOME", "REASON", "REMEDY"], rows)
}
