//! Small records, compare-and-swap.

use super::stage::*;
use volary::{ErrorKind, Namespace};

impl Stage {
    async fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> bool {
        self.swap_record(&self.ns, key, expected, new, &CTL).await.unwrap()
    }

    async fn kept(&self, ns: &Namespace, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let (mut all, mut after) = (Vec::new(), Some(Vec::new()));
        while let Some(start) = after {
            let page = self.records(ns, prefix, &start, 3, &CTL).await.unwrap();
            assert!(page.records.len() <= 3, "{page:?}");
            all.extend(page.records.into_iter().map(|record| (record.key, record.value)));
            after = page.next;
        }
        all
    }
}

pub(super) async fn absent_present_changed_removed(s: &Stage) {
    assert!(!s.swap("k", Some(b"x"), Some(b"y")).await, "absent is not x");
    assert!(s.swap("k", None, None).await, "absent is absent");
    assert_eq!(s.kept(&s.ns, "").await, []);
    assert!(s.swap("k", None, Some(b"1")).await);
    assert!(!s.swap("k", None, Some(b"2")).await);
    assert!(!s.swap("k", Some(b"2"), None).await);
    assert!(!s.swap("k", Some(b""), Some(b"2")).await);
    assert_eq!(s.kept(&s.ns, "k").await, [("k".into(), b"1".to_vec())]);
    assert!(s.swap("k", Some(b"1"), Some(b"\0\xff")).await);
    assert!(s.swap("k", Some(b"\0\xff"), Some(b"")).await);
    assert_eq!(s.kept(&s.ns, "k").await, [("k".into(), vec![])]);
    assert!(!s.swap("k", None, Some(b"2")).await, "empty is not absent");
    assert!(s.swap("k", Some(b""), None).await);
    assert_eq!(s.kept(&s.ns, "").await, []);
}

pub(super) async fn listing_by_prefix(s: &Stage) {
    for key in ["b/2", "a/1", "a%", "a/", "a_x", "A/1", "b/10", "a/1/x"] {
        assert!(s.swap(key, None, Some(key.as_bytes())).await);
    }
    let keys = async |prefix| s.kept(&s.ns, prefix).await.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys("a/").await, ["a/", "a/1", "a/1/x"]);
    assert_eq!(keys("b/").await, ["b/10", "b/2"]);
    assert_eq!(keys("a%").await, ["a%"]);
    assert_eq!(keys("a_").await, ["a_x"]);
    assert_eq!(keys("A").await, ["A/1"]);
    assert_eq!(keys("c").await, [""; 0]);
    assert_eq!(keys("").await.len(), 8);
}

pub(super) async fn pages_begin_after_a_key_that_need_not_be_there(s: &Stage) {
    for number in 0..5 {
        assert!(s.swap(&format!("k{number}"), None, Some(b"v")).await);
    }
    let page = async |after: &str, most| {
        let page = s.records(&s.ns, "k", after.as_bytes(), most, &CTL).await.unwrap();
        (page.records.into_iter().map(|of| of.key).collect::<Vec<_>>(), page.next.is_some())
    };
    assert_eq!(page("", 2).await, (vec!["k0".into(), "k1".into()], true));
    assert_eq!(page("k1", 2).await, (vec!["k2".into(), "k3".into()], true));
    assert!(s.swap("k3", Some(b"v"), None).await);
    assert_eq!(page("k3", 9).await, (vec!["k4".into()], false));
    assert_eq!(page("k9", 9).await, (vec![], false));
}

pub(super) async fn one_of_many_swaps_wins(s: &Stage) {
    let values: Vec<[u8; 1]> = (0..8).map(|byte| [byte]).collect();
    for before in [None, Some(&b"old"[..])] {
        if let Some(old) = before {
            let now = s.kept(&s.ns, "k").await[0].1.clone();
            assert!(s.swap("k", Some(&now), Some(old)).await);
        }
        let all = values.iter().map(|value| s.swap("k", before, Some(value)));
        let won = futures::future::join_all(all).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let winner = won.iter().position(|won| *won).unwrap();
        assert_eq!(s.kept(&s.ns, "k").await, [("k".into(), values[winner].to_vec())]);
    }
}

pub(super) async fn counting_loses_nothing(s: &Stage) {
    assert!(s.swap("count", None, Some(b"0")).await);
    let count = async || {
        for _ in 0..5 {
            loop {
                let now = s.kept(&s.ns, "count").await[0].1.clone();
                let next: u32 = String::from_utf8(now.clone()).unwrap().parse::<u32>().unwrap() + 1;
                if s.swap("count", Some(&now), Some(next.to_string().as_bytes())).await {
                    break;
                }
            }
        }
    };
    futures::join!(count(), count(), count(), count());
    assert_eq!(s.kept(&s.ns, "count").await, [("count".into(), b"20".to_vec())]);
}

pub(super) async fn namespaces_keep_them_apart(s: &Stage) {
    let other = s.second_namespace().await;
    assert!(s.swap("k", None, Some(b"here")).await);
    assert!(s.swap_record(&other, "k", None, Some(b"there"), &CTL).await.unwrap());
    assert_eq!(s.kept(&s.ns, "").await, [("k".into(), b"here".to_vec())]);
    assert_eq!(s.kept(&other, "").await, [("k".into(), b"there".to_vec())]);
}

pub(super) async fn limits_are_usage(s: &Stage) {
    let (key, value) = ("k".repeat(256), vec![7; 65536]);
    assert!(s.swap(&key, None, Some(&value)).await);
    assert_eq!(s.kept(&s.ns, "").await, [(key, value)]);
    let long = vec![7; 65537];
    for (key, value) in [("k".repeat(257), &long[..1]), ("ä".into(), &long[..1]), ("x".into(), &long[..])] {
        let result = s.swap_record(&s.ns, &key, None, Some(value), &CTL).await;
        refused(result, ErrorKind::Usage);
    }
    assert_eq!(s.kept(&s.ns, "").await.len(), 1);
}
