//! A check of what is well, and of what was asked for only.

use super::stage::*;
use futures::TryStreamExt;
use volary::engine::{CheckOptions, CheckScope, Checked, Finding, FindingKind, Repair};
use volary::{ErrorKind, Name};

/// The volumes that a check looked at, by name, those in trash as `-`; nothing must be found.
async fn looked_at(s: &Stage, options: &CheckOptions) -> Vec<String> {
    let scope = CheckScope::Namespace(s.ns.clone());
    let pieces: Vec<_> = s.check(&scope, options, &CTL).try_collect().await.unwrap();
    let name = |piece: Checked| match piece {
        Checked::Volume { name, .. } => name.map_or_else(|| "-".to_owned(), |name: Name| name.to_string()),
        Checked::Finding(finding) => panic!("{finding:?}"),
    };
    pieces.into_iter().map(name).collect()
}

pub(super) async fn each_volume_is_looked_at_once_in_the_order_of_names(s: &Stage) {
    let a = s.parent("a", BLOCK, 1).await;
    s.clone_of(&a, "s", "c").await;
    s.volume("b", 0).await;
    let gone = s.volume("gone", BLOCK).await;
    s.to_trash(&gone, HOUR).await;
    let mut options = CheckOptions::new(2);
    assert_eq!(looked_at(s, &options).await, ["-", "a", "b", "c"]);
    options.after = Some(n("a"));
    assert_eq!(looked_at(s, &options).await, ["b", "c"]);
    options.after = Some(n("c"));
    assert_eq!(looked_at(s, &options).await, [""; 0]);
    options.after = None;
    options.only = Some([a.id, gone.id].into());
    assert_eq!(looked_at(s, &options).await, ["-", "a"]);
}

pub(super) async fn a_writer_disturbs_no_check(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    w.fill(0, BLOCK, 2).await;
    w.set_size(3 * BLOCK).await;
    assert_eq!(looked_at(s, &CheckOptions::new(1)).await, ["a"]);
    w.unsnap("s").await;
    assert_eq!(looked_at(s, &CheckOptions::new(1)).await, ["a"]);
    w.shut().await;
}

pub(super) async fn what_nothing_repairs_is_usage(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let scope = CheckScope::Namespace(s.ns.clone());
    let finding = Finding::new(FindingKind::Unreadable, "", "", "").about(s.ns.volume(n("a")), a.id);
    refused(s.repair(&scope, &finding, &CTL).await, ErrorKind::Usage);
    let odd = finding.repaired_by(Repair::MoveAside("../store.db".to_owned()));
    refused(s.repair(&scope, &odd, &CTL).await, ErrorKind::Usage);
}
