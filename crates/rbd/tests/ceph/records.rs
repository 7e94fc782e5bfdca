//! Single objects: omap with compare-and-swap.

use crate::{LIMIT, connect, own_namespace, own_pool};
use rbd::{Error, Swap};

fn swap(key: &str, expected: Option<&str>, new: Option<&str>) -> Vec<Swap> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    vec![Swap { key: bytes(key), expected: expected.map(bytes), new: new.map(bytes) }]
}

#[tokio::test]
async fn a_swap_happens_only_when_what_is_there_is_expected() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let swapped = async |swaps| pool.omap_swap(b"journal", swaps, LIMIT).await.unwrap();
    assert!(!swapped(swap("k", Some("a"), Some("b"))).await);
    assert!(swapped(swap("k", None, None)).await);
    assert_eq!(pool.object_stat(b"journal", LIMIT).await, Ok(None));
    assert!(swapped(swap("k", None, Some("a"))).await);
    assert!(!swapped(swap("k", None, Some("b"))).await);
    assert!(!swapped(swap("k", Some("b"), None)).await);
    assert!(swapped(swap("k", Some("a"), Some("b"))).await);
    // All or none.
    let mut both = swap("k", Some("b"), Some("c"));
    both.extend(swap("other", Some("x"), Some("y")));
    assert!(!swapped(both).await);
    assert_eq!(pool.omap(b"journal", b"", LIMIT).await.unwrap(), [(b"k".to_vec(), b"b".to_vec())]);
    assert!(swapped(swap("k", Some("b"), None)).await);
    assert_eq!(pool.omap(b"journal", b"", LIMIT).await.unwrap(), []);
    assert_eq!(pool.omap(b"absent", b"", LIMIT).await.unwrap(), []);
    let empty = pool.omap_swap(b"journal", swap("k", None, Some("")), LIMIT).await;
    assert_eq!(empty, Err(Error::Nul { what: "a value" }));
}

#[tokio::test]
async fn of_racing_swaps_exactly_one_wins_each_round() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    for round in 0..20 {
        let racers = (0..8).map(|racer| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let expected = (round > 0).then(|| (round - 1).to_string());
                let swap = Swap {
                    key: b"k".to_vec(),
                    expected: expected.map(String::into_bytes),
                    new: Some(round.to_string().into_bytes()),
                };
                let other = Swap {
                    key: format!("{round}-{racer}").into_bytes(),
                    expected: None,
                    new: Some(b"x".to_vec()),
                };
                pool.omap_swap(b"journal", vec![swap, other], LIMIT).await.unwrap()
            })
        });
        let mut winners = 0;
        for racer in racers.collect::<Vec<_>>() {
            winners += usize::from(racer.await.unwrap());
        }
        assert_eq!(winners, 1, "round {round}");
    }
    assert_eq!(pool.omap(b"journal", b"", LIMIT).await.unwrap().len(), 21);
}

#[tokio::test]
async fn a_map_is_read_page_by_page_and_by_prefix() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    let some = |prefix: &str, count: u32| -> Vec<Swap> {
        (0..count).flat_map(|at| swap(&format!("{prefix}{at:05}"), None, Some("v"))).collect()
    };
    assert!(pool.omap_swap(b"o", some("a", 1500), LIMIT).await.unwrap());
    assert!(pool.omap_swap(b"o", some("b", 3), LIMIT).await.unwrap());
    assert_eq!(pool.omap(b"o", b"", LIMIT).await.unwrap().len(), 1503);
    assert_eq!(pool.omap(b"o", b"b", LIMIT).await.unwrap().len(), 3);
    let page = pool.omap_page(b"o", b"a00009", b"a", 5, LIMIT).await.unwrap();
    assert!(page.more);
    assert_eq!((page.entries.len(), page.entries[0].0.as_slice()), (5, b"a00010".as_slice()));
}

#[tokio::test]
async fn an_object_goes_only_with_the_content_it_is_taken_for() {
    let cluster = connect().await;
    let pool = own_pool(&cluster).await;
    pool.create(b"web", 1 << 20, &rbd::ImageOptions::default(), LIMIT).await.unwrap();
    let content = pool.object_read(b"rbd_id.web", 100, LIMIT).await.unwrap().unwrap();
    let removed =
        async |content: &[u8]| pool.object_remove_if(b"rbd_id.web", content.to_vec(), LIMIT).await.unwrap();
    assert!(!removed(&[&content[..content.len() - 1], b"."].concat()).await);
    assert!(!removed(&[&content[..], b"."].concat()).await);
    assert!(pool.object_stat(b"rbd_id.web", LIMIT).await.unwrap().is_some());
    assert!(removed(&content).await);
    assert_eq!(pool.object_stat(b"rbd_id.web", LIMIT).await, Ok(None));
    assert!(!removed(&content).await);
}

#[tokio::test]
async fn who_has_an_image_open_to_write_is_heard_of() {
    let (cluster, other) = (connect().await, connect().await);
    let namespace = own_namespace(&cluster).await;
    let pool = cluster.pool(b"rbd", &namespace, LIMIT).await.unwrap();
    pool.create(b"web", 1 << 20, &rbd::ImageOptions::default(), LIMIT).await.unwrap();
    let id = pool.object_read(b"rbd_id.web", 100, LIMIT).await.unwrap().unwrap();
    let header = [b"rbd_header.", &id[4..]].concat();
    let watched = async || pool.object_is_watched(&header, LIMIT, LIMIT).await;
    assert_eq!(watched().await, Ok(false));
    let elsewhere = other.pool(b"rbd", &namespace, LIMIT).await.unwrap();
    let reader = elsewhere.open_read_only(b"web", None, LIMIT).await.unwrap();
    assert_eq!(watched().await, Ok(false));
    let writer = elsewhere.open(b"web", None, LIMIT).await.unwrap();
    assert_eq!(watched().await, Ok(true));
    writer.close(LIMIT).await.unwrap();
    reader.close(LIMIT).await.unwrap();
    assert_eq!(watched().await, Ok(false));
    assert!(pool.object_is_watched(b"none", LIMIT, LIMIT).await.is_err());
}
