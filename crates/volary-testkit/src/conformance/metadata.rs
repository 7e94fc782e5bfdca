//! Metadata of a volume.

use super::stage::*;
use std::time::Duration;
use volary::ErrorKind;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) async fn keys_and_values_of_any_bytes(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    assert_eq!(w.metadata(&CTL).await.unwrap(), Pairs::new());
    let odd: [&[u8]; 6] = [b"\x01\n", b" ", b"/@:", b"\x1b[0m", b"\xc3\xa4", b"\xff\xfe"];
    for key in odd {
        w.set_metadata(key, b"first", &CTL).await.unwrap();
        w.set_metadata(key, key, &CTL).await.unwrap();
    }
    w.set_metadata(b"empty", b"", &CTL).await.unwrap();
    let mut expected: Pairs = odd.iter().map(|key| (key.to_vec(), key.to_vec())).collect();
    expected.push((b"empty".to_vec(), Vec::new()));
    expected.sort();
    assert_eq!(w.metadata(&CTL).await.unwrap(), expected);
    w.shut().await;
    assert_eq!(s.reader(&a).await.metadata(&CTL).await.unwrap(), expected);
}

pub(super) async fn limits_are_usage(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    let (key, value) = (vec![b'k'; 4096], vec![b'v'; 65536]);
    w.set_metadata(&key, &value, &CTL).await.unwrap();
    let expected = [(key.clone(), value.clone())];
    let (long_key, long_value) = ([&key[..], b"k"].concat(), [&value[..], b"v"].concat());
    let bad: [(&[u8], &[u8]); 5] =
        [(b"", b"v"), (&long_key, b"v"), (b"k", &long_value), (b"a\0b", b"v"), (b"k", b"a\0b")];
    for (key, value) in bad {
        refused(w.set_metadata(key, value, &CTL).await, ErrorKind::Usage);
    }
    assert_eq!(w.metadata(&CTL).await.unwrap(), expected);
}

pub(super) async fn it_is_inherited_and_then_apart(s: &Stage) {
    let p = s.parent("p", MIB, 1).await;
    let w = s.writer(&p).await;
    w.set_metadata(b"k", b"p", &CTL).await.unwrap();
    let c = s.clone_of(&p, "s", "c").await;
    w.set_metadata(b"k", b"changed", &CTL).await.unwrap();
    let child = s.writer(&c).await;
    assert_eq!(child.metadata(&CTL).await.unwrap(), [(b"k".to_vec(), b"p".to_vec())]);
    child.remove_metadata(b"k", &CTL).await.unwrap();
    assert_eq!(w.metadata(&CTL).await.unwrap(), [(b"k".to_vec(), b"changed".to_vec())]);
}

pub(super) async fn missing_keys_are_not_found(s: &Stage) {
    let a = s.volume("a", MIB).await;
    let w = s.writer(&a).await;
    refused(w.remove_metadata(b"k", &CTL).await, ErrorKind::NotFound);
    w.set_metadata(b"k", b"v", &CTL).await.unwrap();
    w.remove_metadata(b"k", &CTL).await.unwrap();
    refused(w.remove_metadata(b"k", &CTL).await, ErrorKind::NotFound);
    assert_eq!(w.metadata(&CTL).await.unwrap(), Pairs::new());
}

pub(super) async fn it_survives_everything(s: &Stage) {
    let a = s.parent("a", BLOCK, 1).await;
    let w = s.writer(&a).await;
    w.set_metadata(b"k", b"v", &CTL).await.unwrap();
    w.set_size(BLOCK / 2).await;
    w.rollback(&n("s"), &CTL).await.unwrap();
    w.shut().await;
    s.rename(&s.ns, &a, &n("b"), &CTL).await.unwrap();
    let b = volary::engine::VolumeEntry { name: n("b"), id: a.id };
    s.to_trash(&b, Duration::ZERO).await;
    s.trash_restore(&s.ns, &b.id, &n("c"), &CTL).await.unwrap();
    assert_eq!(s.reader(&b).await.metadata(&CTL).await.unwrap(), [(b"k".to_vec(), b"v".to_vec())]);
}
