//! The guarantees S1 to S14 (docs/semantics.md): each is held by at least one test named for it.

use crate::tools::Outcome;
use std::collections::BTreeMap;

/// How many there are.
pub(crate) const COUNT: u8 = 14;

/// Guarantees that hold before any engine is asked, so that their tests need none.
const WITHOUT_ENGINE: &[u8] = &[6, 7, 8];

/// Where a test was: on an engine, by the name of its binary or module, or before any is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Local,
    Ceph,
    #[default]
    Elsewhere,
}

/// The engines on which a guarantee is held.
const ENGINES: &[Place] = &[Place::Local, Place::Ceph];

/// The tests that passed, as the output of `cargo test` names them.
#[derive(Default)]
pub(crate) struct Seen {
    binary: Place,
    tests: BTreeMap<(u8, Place), usize>,
    passed: usize,
}

impl Seen {
    /// Takes in one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(binary) = line.strip_prefix("Running ") {
            // Of `tests/ceph.rs (target/debug/deps/ceph-1f…)` the name that Cargo.toml gives it, not the file.
            let name = binary.rsplit('/').next().unwrap_or_default();
            self.binary = match name {
                _ if !binary.starts_with("tests/") => Place::Elsewhere,
                name if name.starts_with("local") => Place::Local,
                name if name.starts_with("ceph") => Place::Ceph,
                _ => Place::Elsewhere,
            };
        } else if line.starts_with("Doc-tests ") {
            self.binary = Place::Elsewhere;
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            self.passed += 1;
            // Unit tests of the engine and of the driver, which run on it.
            let local = name.starts_with("engine::local::") || name.starts_with("driver::");
            let place = if local { Place::Local } else { self.binary };
            if let Some(number) = guarantee(name) {
                *self.tests.entry((number, place)).or_default() += 1;
            }
        }
    }

    /// How many tests passed.
    pub(crate) fn passed(&self) -> usize {
        self.passed
    }

    fn count(&self, number: u8, place: Place) -> usize {
        self.tests.get(&(number, place)).copied().unwrap_or(0)
    }

    /// Fails if a guarantee has no test on an engine, or none at all where none needs one.
    pub(crate) fn check(&self) -> Outcome {
        let mut missing = Vec::new();
        let mut line = String::from("guarantees, tests on local + Ceph + without an engine:");
        for number in 1..=COUNT {
            let [local, ceph, elsewhere] =
                [Place::Local, Place::Ceph, Place::Elsewhere].map(|place| self.count(number, place));
            line += &format!(" S{number} {local}+{ceph}+{elsewhere}");
            if WITHOUT_ENGINE.contains(&number) {
                if local + ceph + elsewhere == 0 {
                    missing.push(format!("S{number}"));
                }
            } else {
                let lacking = ENGINES.iter().filter(|engine| self.count(number, **engine) == 0);
                missing.extend(lacking.map(|engine| format!("S{number} on {engine:?}")));
            }
        }
        eprintln!("{line}; {} tests passed", self.passed);
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("no passing test is named for {}", missing.join(", ")).into())
    }
}

/// The number in a test's name, such as `driver::tests::s09_the_digest…`.
fn guarantee(name: &str) -> Option<u8> {
    let (digits, _) = name.rsplit("::").next()?.strip_prefix('s')?.split_once('_')?;
    digits.parse().ok().filter(|n| digits.len() == 2 && (1..=COUNT).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &str) -> Seen {
        let mut seen = Seen::default();
        lines.lines().for_each(|line| seen.line(line));
        seen
    }

    #[test]
    fn only_passing_tests_on_an_engine_count() {
        let seen = seen(
            "     Running unittests src/lib.rs (target/debug/deps/volary-1)\n\
             test ctl::tests::s05_a_call_ends ... ok\n\
             test secret::tests::s08_a_secret_is_not_shown ... ok\n\
             test driver::tests::s09_the_digest ... ok\n     \
             Running tests/local.rs (target/debug/deps/local-1)\n\
             test store::s01_a_name_appears_whole ... ok\n\
             test s02_removal ... FAILED\n\
             test s99_nothing ... ok\n     \
             Running tests/ceph.rs (target/debug/deps/ceph-1)\n\
             test store::s01_a_name_appears_whole ... ok\n\
             test store::s11_an_export ... ok\n     \
             Running tests/ceph.rs (target/debug/deps/cluster-1)\n\
             test s12_of_the_crate_alone ... ok\n   Doc-tests volary\n\
             test crates/volary/src/lib.rs - s03_x (line 1) ... ok\n",
        );
        assert_eq!((seen.count(1, Place::Local), seen.count(1, Place::Ceph), seen.passed), (1, 1, 9));
        let error = seen.check().unwrap_err().to_string();
        let (_, error) = error.split_once("named for ").unwrap();
        let missing: Vec<_> =
            error.split(", ").filter(|of| !of.contains("S4") && !of.contains("S10")).collect();
        let due = "S2 on Local/S2 on Ceph/S3 on Local/S3 on Ceph/S5 on Local/S5 on Ceph/S6/S7/S9 on Ceph/\
                   S11 on Local/S12 on Local/S12 on Ceph/\
                   S13 on Local/S13 on Ceph/S14 on Local/S14 on Ceph";
        assert_eq!(missing.join("/"), due);
    }
}
