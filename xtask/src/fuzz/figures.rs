//! What a round reached, as libFuzzer says it, and the table that is kept of it.

use crate::tools::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The figures of one target's round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) target: String,
    pub(crate) seconds: u64,
    pub(crate) executions: u64,
    /// Edges of the control flow that were taken.
    pub(crate) edges: u64,
    /// Inputs that each reach something the others do not.
    pub(crate) corpus: u64,
    pub(crate) findings: u64,
}

const HEAD: &str = "| target | seconds | executions | per second | edges | corpus | crashes |";
const RULE: &str = "|---|---|---|---|---|---|---|";

impl Figures {
    /// Those of a target that has not run.
    pub(crate) fn of(target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::default() }
    }

    /// Adds what libFuzzer's last line of status says: `#1234  DONE  cov: 500 ft: 900 corp: 40/12Kb …`.
    pub(crate) fn add(&mut self, said: &str) {
        let Some(line) = said.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "))
        else {
            return;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let number =
            |word: &str| word.split('/').next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0);
        let after =
            |name: &str| words.iter().skip_while(|word| **word != name).nth(1).map_or(0, |word| number(word));
        self.executions += words.first().map_or(0, |word| number(word.trim_start_matches('#')));
        self.edges = after("cov:");
        self.corpus = after("corp:");
    }

    fn row(&self) -> String {
        let rate = self.executions / self.seconds.max(1);
        let Self { target, seconds, executions, edges, corpus, findings } = self;
        format!("| `{target}` | {seconds} | {executions} | {rate} | {edges} | {corpus} | {findings} |")
    }
}

/// The table of some rounds.
pub(crate) fn table<'a>(rounds: impl Iterator<Item = &'a Figures>) -> String {
    let mut text = format!("{HEAD}\n{RULE}\n");
    for figures in rounds {
        let _ = writeln!(text, "{}", figures.row());
    }
    text
}

/// The page with the rows of these rounds in its table; the rows of other targets stay.
pub(crate) fn recorded(page: &str, rounds: &[&Figures]) -> Outcome<String> {
    let (before, rest) = page.split_once(HEAD).ok_or("the page has no table of fuzzing")?;
    let lines = rest.lines().skip(2);
    let name = |row: &str| row.split('`').nth(1).unwrap_or_default().to_owned();
    let kept = lines.clone().take_while(|line| line.starts_with('|')).map(|row| (name(row), row.to_owned()));
    let mut rows: BTreeMap<String, String> = kept.collect();
    rows.extend(rounds.iter().map(|figures| (figures.target.clone(), figures.row())));
    let mut text = format!("{before}{HEAD}\n{RULE}\n");
    for line in rows.values().map(String::as_str).chain(lines.skip_while(|line| line.starts_with('|'))) {
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "INFO: Seed: 1\n#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb\n\
        #90210\tDONE   cov: 512 ft: 900 corp: 41/12Kb lim: 4096 exec/s: 4510 rss: 80Mb\n\
        Done 90210 runs in 20 second(s)\n";

    #[test]
    fn the_last_status_counts_and_runs_add_up() {
        let mut figures = Figures { seconds: 20, ..Figures::of("qcow2") };
        figures.add(SAID);
        figures.add("#10\tNEW    cov: 513 ft: 901 corp: 42/12Kb\n==1== ERROR: libFuzzer: timeout\n");
        figures.add("nothing of the kind\n");
        let want = Figures {
            target: "qcow2".to_owned(),
            seconds: 20,
            executions: 90220,
            edges: 513,
            corpus: 42,
            findings: 0,
        };
        assert_eq!(figures, want);
        assert_eq!(figures.row(), "| `qcow2` | 20 | 90220 | 4511 | 513 | 42 | 0 |");
    }

    #[test]
    fn a_page_keeps_its_text_and_the_rows_of_other_targets() {
        let old = Figures::of("vdi");
        let page = format!("before\n\n{}\nafter\n", table([&Figures::of("detect"), &old].into_iter()));
        let new = Figures { executions: 9, ..Figures::of("detect") };
        let other = Figures::of("spec");
        let want = format!("before\n\n{}\nafter\n", table([&new, &other, &old].into_iter()));
        assert_eq!(recorded(&page, &[&other, &new]).unwrap(), want);
        assert!(recorded("no table\n", &[]).is_err());
    }

    #[test]
    fn the_formats_page_has_a_row_for_every_target() {
        let page = std::fs::read_to_string(crate::tools::root().join(super::super::PAGE)).unwrap();
        let rows = page.split_once(HEAD).unwrap().1;
        for target in super::super::targets::choose(&[]).unwrap() {
            assert!(rows.contains(&format!("| `{}` |", target.name)), "{}", target.name);
        }
    }
}
