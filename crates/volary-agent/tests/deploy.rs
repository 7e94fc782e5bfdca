//! What is in deploy/ names metrics that there are, and none is forgotten there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use volary_agent::definitions::{self, Kind};

/// The words in a text that look like metrics; labels of a job and alerts do not.
fn metrics(file: &str) -> BTreeSet<String> {
    let path = format!("{}/../../deploy/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("volary_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_are_defined_and_show_all() {
    let mut defined = BTreeSet::new();
    for of in definitions::ALL {
        match of.kind {
            Kind::Histogram => {
                defined.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", of.name)));
            }
            _ => drop(defined.insert(of.name.to_owned())),
        }
    }
    for file in ["prometheus/volary.rules.yml", "prometheus/volary.rules.test.yml", "grafana/volary.json"] {
        let named = metrics(file);
        assert!(named.len() > 5, "{file} names {named:?}");
        let unknown: Vec<_> = named.difference(&defined).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let shown = metrics("grafana/volary.json");
    let missing: Vec<_> = definitions::ALL
        .iter()
        .filter(|of| !shown.iter().any(|shown| shown.starts_with(of.name)))
        .map(|of| of.name)
        .collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
}

#[test]
fn every_alert_is_tested() {
    let alerts = |file: &str, key: &str| -> BTreeSet<String> {
        let path = format!("{}/../../deploy/prometheus/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let named = text.lines().filter_map(|line| line.split_once(key)).map(|(_, name)| name);
        named.map(|name| name.trim_matches([' ', '}']).to_owned()).collect()
    };
    let (rules, tests) =
        (alerts("volary.rules.yml", "alert: "), alerts("volary.rules.test.yml", "alertname: "));
    assert_eq!(rules, tests);
}
