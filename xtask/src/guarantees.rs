//! The guarantees S1 to S12 (docs/semantics.md): each is held by at least one test named for it.

use crate::tools::Outcome;
use std::collections::BTreeMap;

const COUNT: u8 = 12;

/// Guarantees that hold before any engine is asked, so that their tests need none.
const WITHOUT_ENGINE: &[u8] = &[6, 7, 8];

/// What a guarantee promises and no code does yet, and why.
const NOT_YET: &[(u8, &str)] =
    &[(4, "the journal and its reaper are not there: what a killed process leaves is found by `trash ls`")];

/// The tests that passed, as the output of `cargo test` names them.
#[derive(Default)]
pub(crate) struct Seen {
    on_engine: bool,
    tests: BTreeMap<u8, usize>,
    passed: usize,
}

impl Seen {
    /// Takes in one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(binary) = line.strip_prefix("Running ") {
            // Tests beside a crate drive it from outside: through a store.
            self.on_engine = binary.starts_with("tests/");
        } else if line.starts_with("Doc-tests ") {
            self.on_engine = false;
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            self.passed += 1;
            let on_engine =
                self.on_engine || name.starts_with("engine::local::") || name.starts_with("driver::");
            if let Some(number) = guarantee(name).filter(|n| on_engine || WITHOUT_ENGINE.contains(n)) {
                *self.tests.entry(number).or_default() += 1;
            }
        }
    }

    /// Fails if a guarantee has no test, or is excused without need.
    pub(crate) fn check(&self) -> Outcome {
        let mut missing = Vec::new();
        let mut line = String::from("guarantees:");
        for number in 1..=COUNT {
            let tests = self.tests.get(&number).copied().unwrap_or(0);
            let excused = NOT_YET.iter().any(|(n, _)| *n == number);
            line += &format!(" S{number} {tests}{}", if excused { " (in part)" } else { "" });
            if tests == 0 && !excused {
                missing.push(format!("S{number}"));
            }
        }
        eprintln!("{line}; {} tests passed", self.passed);
        for (number, why) in NOT_YET {
            eprintln!("  S{number} in part: {why}");
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("no passing test on the local engine is named for {}", missing.join(", ")).into())
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
             Running tests/content.rs (target/debug/deps/content-1)\n\
             test s01_a_name_appears_whole ... ok\n\
             test s02_removal ... FAILED\n\
             test s99_nothing ... ok\n   Doc-tests volary\n\
             test crates/volary/src/lib.rs - s03_x (line 1) ... ok\n",
        );
        assert_eq!(seen.tests.keys().copied().collect::<Vec<_>>(), [1, 8, 9]);
        assert_eq!(seen.passed, 6);
        let error = seen.check().unwrap_err().to_string();
        assert!(error.ends_with("named for S2, S3, S5, S6, S7, S10, S11, S12"), "{error}");
    }
}
