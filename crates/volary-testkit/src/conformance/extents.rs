//! Where data may be.

use super::stage::*;
use volary::ErrorKind;
use volary::engine::{Extent, MAX_EXTENTS_WINDOW_BYTES};

pub(super) async fn an_empty_volume_is_one_hole(s: &Stage) {
    let a = s.volume("a", 16 * BLOCK + 1).await;
    let r = s.reader(&a).await;
    for (offset, len) in [(0, 16 * BLOCK + 1), (5, 3), (BLOCK - 1, 2 * BLOCK), (16 * BLOCK, 1)] {
        let expected = Extent { offset, len, data: false };
        assert_eq!(r.extents(offset, len, &CTL).await.unwrap(), [expected]);
    }
}

pub(super) async fn they_cover_any_window(s: &Stage) {
    let a = s.volume("a", 6 * BLOCK + 10).await;
    let w = s.writer(&a).await;
    for (offset, len) in [(100, 10), (2 * BLOCK - 1, 2), (6 * BLOCK, 10)] {
        w.fill(offset, len, 1).await;
    }
    for flushed in [false, true] {
        let content = w.content().await;
        for (offset, len) in
            [(0, 6 * BLOCK + 10), (99, 5), (105, BLOCK), (BLOCK + 7, 4 * BLOCK), (6 * BLOCK + 3, 4)]
        {
            let extents = w.extents(offset, len, &CTL).await.unwrap();
            let range = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
            check_extents(&extents, offset, &content[range]);
        }
        let untouched = w.extents(3 * BLOCK, 3 * BLOCK, &CTL).await.unwrap();
        assert_eq!(
            untouched,
            [Extent { offset: 3 * BLOCK, len: 3 * BLOCK, data: false }],
            "flushed: {flushed}"
        );
        w.sync().await;
    }
}

pub(super) async fn they_show_a_parents_data(s: &Stage) {
    let p = s.volume("p", 4 * BLOCK).await;
    let w = s.writer(&p).await;
    w.fill(BLOCK, BLOCK, 1).await;
    w.snap("s").await;
    w.protect("s").await;
    let c = s.clone_of(&p, "s", "c").await;
    let w = s.writer(&c).await;
    let expected = [(0, BLOCK, false), (BLOCK, BLOCK, true), (2 * BLOCK, 2 * BLOCK, false)];
    let expected = expected.map(|(offset, len, data)| Extent { offset, len, data });
    assert_eq!(w.extents(0, 4 * BLOCK, &CTL).await.unwrap(), expected);
    w.zero(BLOCK, BLOCK).await;
    w.sync().await;
    if !s.describe(&CTL).await.unwrap().holes_over_parents {
        return w.holds(&[(4 * BLOCK, 0)]).await;
    }
    let hole = Extent { offset: 0, len: 4 * BLOCK, data: false };
    assert_eq!(w.extents(0, 4 * BLOCK, &CTL).await.unwrap(), [hole], "a zeroed block hides the parent's");
}

pub(super) async fn a_walk_sees_what_is_written_on_the_way(s: &Stage) {
    let a = s.volume("a", 6 * BLOCK).await;
    let w = s.writer(&a).await;
    let hole = |index| [Extent { offset: index * BLOCK, len: BLOCK, data: false }];
    let data = |index| [Extent { offset: index * BLOCK, len: BLOCK, data: true }];
    assert_eq!(w.extents(0, BLOCK, &CTL).await.unwrap(), hole(0));
    w.fill(BLOCK, BLOCK, 1).await;
    assert_eq!(w.extents(BLOCK, BLOCK, &CTL).await.unwrap(), data(1));
    assert_eq!(w.extents(2 * BLOCK, BLOCK, &CTL).await.unwrap(), hole(2));
    w.fill(3 * BLOCK, BLOCK, 1).await;
    w.fill(4 * BLOCK, BLOCK, 1).await;
    w.zero(4 * BLOCK, BLOCK).await;
    assert_eq!(w.extents(3 * BLOCK, BLOCK, &CTL).await.unwrap(), data(3));
    assert_eq!(w.extents(4 * BLOCK, BLOCK, &CTL).await.unwrap(), hole(4));
}

pub(super) async fn windows_are_bounded(s: &Stage) {
    let size = 2 * MAX_EXTENTS_WINDOW_BYTES;
    let a = s.volume("a", size).await;
    let r = s.reader(&a).await;
    let whole = Extent { offset: 7, len: MAX_EXTENTS_WINDOW_BYTES, data: false };
    assert_eq!(r.extents(7, MAX_EXTENTS_WINDOW_BYTES, &CTL).await.unwrap(), [whole]);
    refused(r.extents(0, MAX_EXTENTS_WINDOW_BYTES + 1, &CTL).await, ErrorKind::Usage);
}

pub(super) async fn holes_are_found_again(s: &Stage) {
    let a = s.volume("a", 8 * BLOCK).await;
    let w = s.writer(&a).await;
    w.fill(0, 8 * BLOCK, 1).await;
    w.snap("s").await;
    w.zero(2 * BLOCK, 3 * BLOCK).await;
    w.shut().await;
    let head = s.reader(&a).await.extents(0, 8 * BLOCK, &CTL).await.unwrap();
    assert_eq!(
        head.iter().map(|e| (e.len, e.data)).collect::<Vec<_>>(),
        [(2 * BLOCK, true), (3 * BLOCK, false), (3 * BLOCK, true)]
    );
    let kept = s.at(&a, "s").await.extents(0, 8 * BLOCK, &CTL).await.unwrap();
    assert_eq!(kept, [Extent { offset: 0, len: 8 * BLOCK, data: true }]);
}

pub(super) async fn expected_writes_count_as_data_only_once_written(s: &Stage) {
    let a = s.volume("a", 40 * BLOCK + 10).await;
    let w = s.writer(&a).await;
    // Neighbours, a part of a block, and the last, shorter one.
    let expected =
        [0..2 * BLOCK, 2 * BLOCK..6 * BLOCK, 9 * BLOCK + 1..9 * BLOCK + 5, 20 * BLOCK..40 * BLOCK + 10];
    w.expect_writes(&expected, &CTL).await.unwrap();
    for (offset, len) in [(BLOCK, 2 * BLOCK), (9 * BLOCK + 1, 4), (30 * BLOCK, 1)] {
        w.fill(offset, len, 1).await;
    }
    // What nobody expected is written all the same.
    w.fill(12 * BLOCK, 5, 2).await;
    w.expect_writes(&[], &CTL).await.unwrap();
    w.sync().await;
    let content = w.content().await;
    check_extents(&w.extents(0, 40 * BLOCK + 10, &CTL).await.unwrap(), 0, &content);
    for (block, data) in [(0, false), (1, true), (3, false), (9, true), (12, true), (21, false), (40, false)]
    {
        let len = BLOCK.min(40 * BLOCK + 10 - block * BLOCK);
        let extents = w.extents(block * BLOCK, len, &CTL).await.unwrap();
        assert_eq!(extents.iter().any(|extent| extent.data), data, "block {block}");
    }
    w.shut().await;
    let r = s.reader(&a).await;
    assert_eq!(r.content().await, content);
}
