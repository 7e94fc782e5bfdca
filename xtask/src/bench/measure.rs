//! Runs measured in alternation, their medians, and the report that keeps them.

use super::Options;
use crate::images::convert;
use crate::tools::{self, Outcome, output, program};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The most memory an import or export may take.
const MEMORY_LIMIT_KIB: u64 = 192 << 10;

/// By how much the same work's median differs between two rounds: four blocks.
const NOISE_KIB: f64 = 16384.0;

/// One run of a command.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) peak_kib: u64,
}

type Figure = fn(&Run) -> f64;
type Runs<'a> = Box<dyn Fn() -> Outcome<Run> + 'a>;

/// The most that ours may take, each as a ratio to the peer's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) wall: Option<f64>,
    /// Of an import that reads back and compares, which no peer does.
    pub(super) verified: Option<f64>,
    /// User and system time.
    pub(super) cpu: Option<f64>,
}

impl Limits {
    pub(super) fn wall(most: f64) -> Limits {
        Limits { wall: Some(most), ..Limits::default() }
    }
}

/// A piece of work, ours and a peer's.
pub(super) struct Case<'a> {
    pub(super) name: String,
    /// How much of what.
    pub(super) data: String,
    /// The peer, as a reader knows it.
    pub(super) beside: &'static str,
    pub(super) limits: Limits,
    pub(super) ours: Runs<'a>,
    /// An import that reads back and compares.
    pub(super) verified: Option<Runs<'a>>,
    pub(super) peer: Runs<'a>,
}

/// What is told of all cases, as it grows.
pub(super) struct Report {
    text: String,
    over: Vec<String>,
}

impl Report {
    /// Begins with the machine and what is compared.
    pub(super) fn new(compared: &str) -> Outcome<Report> {
        let text = format!(
            "{}\n{compared}\n\n| work | data | beside | volary s | peer s | ratio of pairs | verified s | ratio | volary CPU s | \
             peer CPU s | ratio | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            machine()?
        );
        eprint!("{text}");
        Ok(Report { text, over: Vec::new() })
    }

    /// Measures a case, each run of ours followed by the peer's.
    pub(super) fn measure(&mut self, case: &Case<'_>, options: &Options) -> Outcome {
        let name = format!("{} beside {}", case.name, case.beside);
        if options.only.as_ref().is_some_and(|part| !name.contains(part.as_str())) {
            return Ok(());
        }
        let (mut ours, mut verified, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..options.runs {
            ours.push((case.ours)()?);
            peers.push((case.peer)()?);
            if let Some(run) = &case.verified {
                verified.push(run()?);
            }
        }
        let pairs =
            |runs: &[Run], of: Figure| median(runs.iter().zip(&peers).map(|(run, peer)| of(run) / of(peer)));
        let figure = |runs: &[Run], of: Figure| median(runs.iter().map(of));
        let mut over = Vec::new();
        let mut held = |what: &str, ratio: f64, limit: Option<f64>| match limit {
            None => format!("{ratio:.2}"),
            Some(most) if ratio > most => {
                over.push(format!("{name}{what}: {ratio:.2}, at most {most}"));
                format!("**{ratio:.2}** (at most {most})")
            }
            Some(most) => format!("{ratio:.2} (at most {most})"),
        };
        let (wall, cpu): (Figure, Figure) = (|run| run.wall, |run| run.cpu);
        let (verified_s, verified_ratio) = match &verified[..] {
            [] => ("–".to_owned(), "–".to_owned()),
            runs => {
                let ratio = held(" verified", pairs(runs, wall), case.limits.verified);
                (format!("{:.2}", figure(runs, wall)), ratio)
            }
        };
        let row = format!(
            "| {} | {} | {} | {:.2} | {:.2} | {} | {verified_s} | {verified_ratio} | {:.2} | {:.2} | {} | {} |",
            case.name,
            case.data,
            case.beside,
            figure(&ours, wall),
            figure(&peers, wall),
            held("", pairs(&ours, wall), case.limits.wall),
            figure(&ours, cpu),
            figure(&peers, cpu),
            held(" CPU", pairs(&ours, cpu), case.limits.cpu),
            ours.iter().chain(&verified).map(|run| run.peak_kib).max().unwrap_or(0) >> 10,
        );
        eprintln!("{row}");
        writeln!(self.text, "{row}")?;
        self.over.extend(over);
        Ok(())
    }

    /// Peak memory must not grow with the virtual size; `run` is given a raw image and a qcow2 image of each size.
    pub(super) fn memory(
        &mut self,
        raw: &Path,
        place: &Path,
        sizes: [(&str, u64); 2],
        works: &[&str],
        run: impl Fn(&str, &Path) -> Outcome<Run>,
    ) -> Outcome {
        writeln!(self.text, "\n| work | peak MiB at {} | at {} |\n|---|---|---|", sizes[0].0, sizes[1].0)?;
        let mut peaks = vec![Vec::new(); works.len()];
        for (_, bytes) in sizes {
            File::options().write(true).open(raw)?.set_len(bytes)?;
            let source = place.join("large.qcow2");
            convert(raw, &source, "qcow2", "", false)?;
            for (work, peaks) in works.iter().zip(&mut peaks) {
                // One run differs from the next by how its threads' memory falls into pieces: the highest counts against the
                // limit, the medians are compared.
                let runs = (0..7).map(|_| Ok(run(work, &source)?.peak_kib)).collect::<Outcome<Vec<u64>>>()?;
                peaks.push((
                    median(runs.iter().map(|peak| *peak as f64)),
                    runs.iter().copied().max().unwrap_or(0),
                ));
            }
            fs::remove_file(source)?;
        }
        for (work, peaks) in works.iter().zip(peaks) {
            let shown =
                |(median, most): (f64, u64)| format!("{:.0}, at most {}", median / 1024.0, most >> 10);
            writeln!(self.text, "| {work} | {} | {} |", shown(peaks[0]), shown(peaks[1]))?;
            let ((small, most_small), (large, most_large)) = (peaks[0], peaks[1]);
            if most_small.max(most_large) > MEMORY_LIMIT_KIB || large > small * 1.1 + NOISE_KIB {
                let why = "over 192 MiB, or growing by more than a tenth";
                self.over.push(format!("memory of {work}: {why}"));
            }
        }
        Ok(())
    }

    /// Prints and, if asked, records; fails when something was over its limit.
    pub(super) fn finish(self, engine: &str, title: &str, options: &Options) -> Outcome {
        println!("{}", self.text);
        if options.record {
            let path = tools::root().join(format!("docs/benchmarks/{}-{engine}.md", today()?));
            fs::create_dir_all(path.parent().ok_or("no parent")?)?;
            fs::write(&path, format!("# {title}\n\n{}", self.text))?;
            eprintln!("wrote {}", path.display());
        }
        if self.over.is_empty() {
            Ok(())
        } else {
            Err(format!("over the limit: {}", self.over.join("; ")).into())
        }
    }
}

/// Runs a command to its end; `prepare` says what else it needs of its environment.
pub(super) fn timed(command: &Command, place: &Path) -> Outcome<Run> {
    // What earlier runs left to be written is not this run's to pay.
    output(&mut program("sync"))?;
    let figures = place.join("figures");
    // GNU time reports processor time and peak memory to a file.
    let mut whole = program("time");
    whole.args(["-f", "%U %S %M", "-o"]).arg(&figures).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => whole.env(name, value),
            None => whole.env_remove(name),
        };
    }
    let begun = Instant::now();
    output(&mut whole)?;
    let wall = begun.elapsed().as_secs_f64();
    let text = fs::read_to_string(figures)?;
    let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [user, system, peak] = numbers[..] else { return Err(format!("GNU time said: {text}").into()) };
    Ok(Run { wall, cpu: user + system, peak_kib: peak as u64 })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The machine: processor, cores, memory, kernel, and how busy it was with other work.
fn machine() -> Outcome<String> {
    let field = |file: &str, key: &str| -> Outcome<String> {
        let text = fs::read_to_string(file)?;
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or("unknown:unknown");
        Ok(line.split_once(':').map_or("", |(_, value)| value).trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let kib: u64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{}, {cores} cores, {} GiB of memory, Linux {}; load before: {}.\n",
        field("/proc/cpuinfo", "model name")?,
        kib >> 20,
        kernel.trim(),
        load.split_whitespace().next().unwrap_or_default(),
    ))
}

fn today() -> Outcome<String> {
    Ok(output(program("date").args(["-u", "+%F"]))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(super::median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(super::median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
