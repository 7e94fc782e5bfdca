//! Listing and checking beside `rbd ls`: the cost of starting, and of many volumes.

use super::Options;
use super::ceph::Contest;
use super::measure::{Case, Limits, Report, timed};
use crate::tools::{Outcome, output};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many volumes there are to be listed and checked.
const VOLUMES: u32 = 3000;

/// Adds the rows of listing; the volumes made for them stay.
pub(super) fn measure(report: &mut Report, contest: &Contest<'_>, options: &Options) -> Outcome {
    let case = |name, data: &str, limit, ours: &'static [&str], peers: &'static [&str]| {
        let run = |mut command: Command, args: &[&str]| timed(command.args(args), contest.place);
        let (ours, peer) = (move || run(contest.volary(), ours), move || run(contest.rbd(), peers));
        let (data, limits) = (data.to_owned(), Limits::wall(limit));
        Case { name, data, beside: "rbd", limits, ours: Box::new(ours), verified: None, peer: Box::new(peer) }
    };
    report.measure(&case("ls of an empty pool".to_owned(), "none", 1.0, &["ls"], &["ls"]), options)?;
    let many = [("ls -l", 0.4, &["ls", "-l"][..]), ("check", 1.0, &["check"])];
    let many = many.map(|(work, limit, ours)| (format!("{work} of {VOLUMES} volumes"), limit, ours));
    let asked = |name: &str| options.only.as_ref().is_none_or(|part| name.contains(part.as_str()));
    if many.iter().any(|(name, ..)| asked(name)) {
        create(contest)?;
    }
    for (name, limit, ours) in many {
        report.measure(&case(name, "empty", limit, ours, &["ls", "-l"]), options)?;
    }
    Ok(())
}

fn create(contest: &Contest<'_>) -> Outcome {
    let next = AtomicU32::new(0);
    let work = || -> Result<(), String> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= VOLUMES {
                return Ok(());
            }
            let mut create = contest.volary();
            create.args(["create", "--size", "1G", &format!("volume-{number}")]);
            output(&mut create).map_err(|error| error.to_string())?;
        }
    };
    std::thread::scope(|scope| {
        let workers = [(); 4].map(|()| scope.spawn(work));
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread died".into())))
    })?;
    Ok(())
}
