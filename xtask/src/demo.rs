//! The README's tour, walked: on an ext4 image made for it, in a store and a directory of its own.

use crate::cluster::{self, Running};
use crate::images;
use crate::test::PROGRAMS;
use crate::tools::{Outcome, need, output, program};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The tour, as the README shows it: each line, and the exit code it ends with.
///
/// `id:ID` stands for the id that the `trash ls` before it printed.
const TOUR: &[(&str, i32)] = &[
    ("qemu-img convert -O qcow2 -c disk.raw disk.qcow2", 0),
    ("volary inspect disk.qcow2", 0),
    ("volary import disk.qcow2 base --snapshot golden --protect", 0),
    ("volary ls -l", 0),
    ("volary info base", 0),
    ("volary verify base@golden", 0),
    ("volary clone base@golden web", 0),
    ("volary snap create web@before", 0),
    ("volary snap ls web", 0),
    ("volary export web web.raw", 0),
    ("qemu-img convert -O raw disk.qcow2 reference.raw", 0),
    ("cmp web.raw reference.raw", 0),
    ("volary export -f qcow2 web web.qcow2", 0),
    ("qemu-img check web.qcow2", 0),
    ("qemu-img compare web.qcow2 disk.qcow2", 0),
    ("volary rm base", 5),
    ("volary children base@golden", 0),
    ("volary rm --purge-snapshots web", 0),
    ("volary snap rm --force base@golden", 0),
    ("volary rm --defer 1h base", 0),
    ("volary trash ls", 0),
    ("volary trash restore id:ID", 0),
    ("volary verify base", 0),
    ("volary rm base", 0),
];

/// Walks the tour on a directory with a built command; the image's file system has `mib` MiB.
pub(crate) fn run(binary: &Path, mib: u64) -> Outcome {
    let directory = directory()?;
    walk(binary, mib, &directory, &format!("local:{}", directory.path().join("store").display()))?;
    Ok(directory.close()?)
}

/// Walks the tour on a Ceph cluster of its own.
pub(crate) fn run_on_ceph(binary: &Path, mib: u64) -> Outcome {
    let cluster = cluster::for_tests()?;
    on_cluster(binary, mib, &cluster)?;
    cluster.down()
}

/// Walks the tour on a Ceph cluster in which nobody else is.
pub(crate) fn on_cluster(binary: &Path, mib: u64, cluster: &Running) -> Outcome {
    let directory = directory()?;
    walk(binary, mib, &directory, &format!("ceph:{}", cluster.conf().display()))?;
    Ok(directory.close()?)
}

fn directory() -> Outcome<TempDir> {
    Ok(tempfile::Builder::new().prefix("volary-demo-").tempdir()?)
}

fn walk(binary: &Path, mib: u64, directory: &TempDir, store: &str) -> Outcome {
    need(PROGRAMS)?;
    println!("$ export VOLARY_STORE={store}");
    let at = |command: &mut Command| {
        command.current_dir(directory.path()).env("VOLARY_STORE", store).stdin(Stdio::null());
    };
    images::ext4(&directory.path().join("disk.raw"), directory.path(), mib, mib / 2)?;
    for (line, expected) in TOUR {
        println!("$ {line}");
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let mut command = if name == "volary" { Command::new(binary) } else { program(name) };
        at(&mut command);
        for word in words {
            if word == "id:ID" {
                command.arg(format!("id:{}", trashed(binary, at)?));
            } else {
                command.arg(word);
            }
        }
        let status = command.status().map_err(|error| format!("{line}: {error}"))?;
        if status.code() != Some(*expected) {
            return Err(format!("the tour's `{line}` ended with {status}, not with {expected}").into());
        }
    }
    let left = asked(binary, at, &["ls"])?;
    if left.trim() != "[]" {
        return Err(format!("the tour left volumes behind: {left}").into());
    }
    println!("the tour went as the README says");
    Ok(())
}

/// What the command says as JSON.
fn asked(binary: &Path, at: impl Fn(&mut Command), words: &[&str]) -> Outcome<String> {
    let mut command = Command::new(binary);
    at(&mut command);
    output(command.args(["-o", "json"]).args(words))
}

/// The id of the volume in trash.
fn trashed(binary: &Path, at: impl Fn(&mut Command)) -> Outcome<String> {
    let listing = asked(binary, at, &["trash", "ls"])?;
    let entries: serde_json::Value = serde_json::from_str(&listing)?;
    Ok(entries[0]["id"].as_str().ok_or("the trash is empty")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_shows_the_tour_that_is_walked() {
        let readme = std::fs::read_to_string(crate::tools::root().join("README.md")).unwrap();
        let (_, tour) = readme.split_once("## Two-minute tour").unwrap();
        let (tour, _) = tour.split_once("\n## ").unwrap();
        let shown: Vec<(&str, i32)> = tour
            .lines()
            .filter_map(|line| line.strip_prefix("$ "))
            .filter(|line| !line.starts_with("mke2fs") && !line.starts_with("export "))
            .map(|line| match line.split_once("# exit ") {
                Some((line, code)) => (line.trim_end(), code.trim_end().parse().unwrap()),
                None => (line.split_once(" #").map_or(line, |(line, _)| line).trim_end(), 0),
            })
            .collect();
        assert_eq!(shown, TOUR);
    }
}
