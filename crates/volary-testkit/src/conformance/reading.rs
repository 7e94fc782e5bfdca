//! What was read is confirmed when reading has ended.

use super::stage::*;
use volary::ErrorKind;

/// Where readers hold what they have open, nothing can be removed under them.
async fn readers_hold(s: &Stage) -> bool {
    s.describe(&CTL).await.unwrap().readers_hold
}

pub(super) async fn what_stays_is_confirmed(s: &Stage) {
    let a = s.parent("a", 2 * BLOCK, 1).await;
    let c = s.clone_of(&a, "s", "c").await;
    for volume in [s.reader(&a).await, s.at(&a, "s").await, s.reader(&c).await, s.writer(&c).await] {
        assert_eq!(volume.confirm(2 * BLOCK, &CTL).await.unwrap(), 0, "before a read");
        volume.holds(&[(2 * BLOCK, 1)]).await;
        assert_eq!(volume.confirm(2 * BLOCK, &CTL).await.unwrap(), 0);
        volume.close(&CTL).await.unwrap();
        refused(volume.confirm(2 * BLOCK, &CTL).await, ErrorKind::Usage);
    }
}

pub(super) async fn other_names_more_bytes_and_trash_change_nothing(s: &Stage) {
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    w.sync().await;
    let (head, snapshot) = (s.reader(&a).await, s.at(&a, "s").await);
    for volume in [&head, &snapshot] {
        volume.holds(&[(BLOCK, 1)]).await;
    }
    w.rename_snapshot(&n("s"), &n("t"), &CTL).await.unwrap();
    w.snap("s").await;
    w.set_size(2 * BLOCK).await;
    w.shut().await;
    if !readers_hold(s).await {
        s.to_trash(&a, HOUR).await;
    }
    for volume in [&head, &snapshot] {
        assert_eq!(volume.confirm(BLOCK, &CTL).await.unwrap(), 0);
    }
}

pub(super) async fn a_head_that_was_shrunk_is_not(s: &Stage) {
    let a = s.volume("a", 2 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 2 * BLOCK, 1).await;
    w.sync().await;
    let r = s.reader(&a).await;
    r.holds(&[(2 * BLOCK, 1)]).await;
    w.set_size(BLOCK).await;
    refused(r.confirm(2 * BLOCK, &CTL).await, ErrorKind::Mismatch);
    assert_eq!(r.confirm(BLOCK, &CTL).await.unwrap(), 0, "what is left was not touched");
}

pub(super) async fn what_was_removed_is_not(s: &Stage) {
    if readers_hold(s).await {
        return;
    }
    let a = s.volume("a", BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, BLOCK, 1).await;
    w.snap("s").await;
    let (head, snapshot) = (s.reader(&a).await, s.at(&a, "s").await);
    w.unsnap("s").await;
    // One of the same name is another one.
    w.snap("s").await;
    assert!(
        refused(snapshot.confirm(BLOCK, &CTL).await, ErrorKind::NotFound).to_string().contains("snapshot")
    );
    assert_eq!(head.confirm(BLOCK, &CTL).await.unwrap(), 0);
    w.unsnap("s").await;
    w.shut().await;
    s.remove(&s.ns, &a, &CTL).await.unwrap();
    assert!(refused(head.confirm(BLOCK, &CTL).await, ErrorKind::NotFound).to_string().contains("volume"));
}

/// A clone's clone, read while the two part with what is below them, which then goes.
pub(super) async fn what_was_removed_below_a_clone_is_not(s: &Stage) {
    for gone in ["a", "b"] {
        let named = |name: &str| format!("{name}-{gone}");
        let a = s.parent(&named("a"), BLOCK, 1).await;
        let b = s.clone_of(&a, "s", &named("b")).await;
        let w = s.writer(&b).await;
        w.snap("s").await;
        w.protect("s").await;
        w.shut().await;
        let c = s.clone_of(&b, "s", &named("c")).await;
        let r = s.reader(&c).await;
        r.holds(&[(BLOCK, 1)]).await;
        let (removed, flattened) = if gone == "a" { (a, b) } else { (b, c) };
        let w = s.writer(&flattened).await;
        w.0.flatten(&CTL).await.unwrap();
        assert_eq!(r.confirm(BLOCK, &CTL).await.unwrap(), 0, "{gone}: it is still there");
        w.shut().await;
        let w = s.writer(&removed).await;
        w.unprotect("s").await;
        w.unsnap("s").await;
        w.shut().await;
        let confirmed = r.confirm(BLOCK, &CTL).await;
        if readers_hold(s).await {
            // What is read here is looked up anew with each block.
            assert_eq!(confirmed.unwrap(), 0, "{gone}");
            r.holds(&[(BLOCK, 1)]).await;
        } else {
            assert!(refused(confirmed, ErrorKind::NotFound).to_string().contains("parent"), "{gone}");
        }
    }
}
