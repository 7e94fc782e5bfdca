//! Every metric there is: its registration and docs/metrics.md are made from this file.

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// How things stand.
    Gauge,
    /// How long something took, in buckets.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What is counted or measured.
    pub unit: &'static str,
    /// What distinguishes its series; never the name of a volume.
    pub labels: &'static [&'static str],
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

macro_rules! definitions {
    ($($id:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*] $meaning:literal;)*) => {
        $(pub(crate) const $id: Definition = Definition {
            name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], meaning: $meaning,
        };)*
        /// Every metric, in the order of the documentation.
        pub const ALL: &[Definition] = &[$($id),*];
    };
}

definitions! {
    BUILD_INFO = Gauge "volary_build_info" "1" ["version"]
        "Always 1; the version is in the label.";
    STORE_REACHABLE = Gauge "volary_store_reachable" "1 or 0" []
        "Whether the store answers: 0 from the first call on it that is stuck or not answered until one is answered; `/healthz` says since when.";
    NAMESPACE_REACHABLE = Gauge "volary_namespace_reachable" "1 or 0" ["pool", "namespace"]
        "The same of the last call in each namespace that has ended or is stuck.";
    ROUNDS = Counter "volary_rounds_total" "rounds" ["outcome"]
        "Rounds that have finished: `done`, `partial` when something is left or a namespace could not be worked on, `failed` when the store does not answer.";
    ROUND_SECONDS = Histogram "volary_round_seconds" "seconds" []
        "How long rounds took.";
    LAST_ROUND = Gauge "volary_last_round_timestamp_seconds" "seconds since 1970" []
        "When a round last finished, whatever its outcome.";
    AGENTS = Gauge "volary_agents" "agents" ["pool", "namespace"]
        "Agents that work on the namespace, this one included, as their records in the store tell every five minutes; one that was killed counts for another quarter of an hour.";
    CLOCK_JUMPS = Counter "volary_clock_jumps_total" "jumps" ["direction"]
        "How often this host's clock went more than a minute `forward` or `backward` of the time that had passed.";
    CLOCK_AHEAD = Gauge "volary_clock_ahead_seconds" "seconds" []
        "How far jumps forward have put this host's clock ahead of the time by which volumes leave the trash; 0 when that is the clock's, and again once it has been steady for a day.";
    NAMESPACES = Gauge "volary_namespaces" "namespaces" []
        "How many namespaces the last round worked on.";
    NAMESPACE_FAILURES = Counter "volary_namespace_failures_total" "failures" ["kind"]
        "Namespaces that could not be worked on in a round, by kind of error (`no_space`: the store is full); `list` failures of the whole store count once.";
    PENDING = Gauge "volary_pending_intents" "intents" ["pool", "namespace", "operation"]
        "Operations that have begun and are not finished, those at work included.";
    PENDING_OLDEST = Gauge "volary_pending_oldest_seconds" "seconds" ["pool", "namespace"]
        "How long ago the oldest of them was asked for; 0 when there is none.";
    INVALID = Gauge "volary_invalid_intents" "records" ["pool", "namespace"]
        "Records of the journal that Volary did not write for that namespace: nothing of them is carried out, and `volary pending forget` removes them.";
    SETTLED = Counter "volary_settled_total" "intents" ["operation"]
        "Left operations that the agent finished or undid.";
    SETTLE_FAILURES = Counter "volary_settle_failures_total" "attempts" ["operation", "kind"]
        "Attempts to do so that failed, by kind of error; each is made again later.";
    TRASH_PURGED = Counter "volary_trash_purged_total" "volumes" ["outcome"]
        "Volumes that were due in Volary's own trash, by what became of them: `removed`, `blocked`, `failed` …";
    ORPHANS = Gauge "volary_orphans" "volumes" ["pool", "namespace", "class"]
        "Entries of the trash that no intent of the journal knows: `dead_staging`, `half_moved`, `half_removed`, `expired_trash`.";
    CHECK_FINDINGS = Gauge "volary_check_findings" "findings" ["pool", "namespace", "kind"]
        "What did not match in the last whole pass of `--check` through the namespace, by kind; `volary check` names each.";
    CHECK_PASS = Gauge "volary_check_last_pass_timestamp_seconds" "seconds since 1970" ["pool", "namespace"]
        "When the last whole pass of `--check` through the namespace ended.";
    CHECKED_VOLUMES = Counter "volary_checked_volumes_total" "volumes" []
        "Volumes that `--check` has looked at.";
    OPERATIONS = Counter "volary_operations_total" "operations" ["operation", "outcome"]
        "Audited operations of this process that have ended; a refused import is `operation=\"import\", outcome=\"refused\"`.";
    STUCK_CALLS = Gauge "volary_stuck_calls" "calls" ["operation"]
        "Calls on the store that have made no progress for longer than `--stuck`.";
    AUDIT_LINES_LOST = Counter "volary_audit_lines_lost_total" "lines" []
        "Audit records that could not be written to the file of `--audit-log`.";
}

/// The documentation of every metric, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from(
        "# The agent's metrics\n\nGenerated by `cargo xtask generate` from `crates/volary-agent/src/definitions.rs`; do not edit.\n\n\
         `volary agent` serves them at `/metrics`. Labels name pools, namespaces and kinds, never volumes.\n\n\
         | metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for of in ALL {
        let kind = format!("{:?}", of.kind).to_lowercase();
        let labels: Vec<_> = of.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, unit, labels) = (of.name, of.unit, labels.join(" "));
        text.push_str(&format!("| `{name}` | {kind} | {unit} | {labels} | {} |\n", of.meaning));
    }
    text
}
