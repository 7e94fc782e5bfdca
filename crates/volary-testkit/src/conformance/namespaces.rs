//! Pools, namespaces, the store itself.

use super::stage::*;
use volary::engine::{CreateOptions, TrashOptions};
use volary::{ErrorKind, Name, Namespace};

pub(super) async fn they_keep_names_apart(s: &Stage) {
    let other = s.second_namespace().await;
    let here = s.volume("a", MIB).await;
    let there = s.volume_in(&other, "a", 2 * MIB).await;
    assert_ne!(here.id, there.id);
    assert_eq!((s.listed(&s.ns).await, s.listed(&other).await), (vec![here.clone()], vec![there.clone()]));
    s.remove(&s.ns, &here, &CTL).await.unwrap();
    assert_eq!(s.listed(&other).await, [there.clone()]);
    refused(s.remove(&s.ns, &there, &CTL).await, ErrorKind::NotFound);
    s.trash_move(&other, &there, &TrashOptions::keep(HOUR), &CTL).await.unwrap();
    assert_eq!(s.trash(&s.ns, &CTL).await.unwrap(), []);
    assert_eq!(s.trash(&other, &CTL).await.unwrap().len(), 1);
}

pub(super) async fn they_are_listed_sorted(s: &Stage) {
    let other = s.second_namespace().await;
    refused(s.create_namespace(&other, &CTL).await, ErrorKind::AlreadyExists);
    let all = s.namespaces(&s.ns.pool, &CTL).await.unwrap();
    assert!(all.is_sorted() && all.contains(&s.ns.name) && all.contains(&other.name));
    assert!(!all.contains(&Name::default()), "the default one is not listed");
}

pub(super) async fn only_empty_ones_go(s: &Stage) {
    let other = s.second_namespace().await;
    let a = s.volume_in(&other, "a", MIB).await;
    refused(s.remove_namespace(&other, &CTL).await, ErrorKind::Blocked);
    s.trash_move(&other, &a, &TrashOptions::keep(HOUR), &CTL).await.unwrap();
    refused(s.remove_namespace(&other, &CTL).await, ErrorKind::Blocked);
    assert_eq!(s.trash(&other, &CTL).await.unwrap().len(), 1);
    s.trash_remove(&other, &a.id, true, &CTL).await.unwrap();
    s.remove_namespace(&other, &CTL).await.unwrap();
    assert!(!s.namespaces(&s.ns.pool, &CTL).await.unwrap().contains(&other.name));
    refused(s.remove_namespace(&other, &CTL).await, ErrorKind::NotFound);
    s.create_namespace(&other, &CTL).await.unwrap();
    assert_eq!(s.listed(&other).await, []);
}

pub(super) async fn missing_ones_are_not_found(s: &Stage) {
    use futures::TryStreamExt;
    use volary::engine::{OpenOptions, VolumeEntry};
    use volary::{Target, VolumeId};
    let no_namespace = Namespace { name: n("nowhere"), ..s.ns.clone() };
    let no_pool = Namespace { pool: n("no-such-pool"), name: Name::default() };
    let id = VolumeId::new("123456789abc").unwrap();
    let entry = VolumeEntry { name: n("a"), id: id.clone() };
    for ns in [no_namespace, no_pool.clone()] {
        let listed: Result<Vec<_>, _> = s.volumes(&ns, &CTL).try_collect().await;
        refused(listed, ErrorKind::NotFound);
        refused(s.find(&ns, &Target::Name(n("a")), &CTL).await, ErrorKind::NotFound);
        refused(s.create(&ns, &n("a"), &CreateOptions::new(1), &CTL).await, ErrorKind::NotFound);
        refused(
            s.open(&ns, &Target::Name(n("a")), &OpenOptions::read(None), &CTL).await,
            ErrorKind::NotFound,
        );
        refused(s.rename(&ns, &entry, &n("b"), &CTL).await, ErrorKind::NotFound);
        refused(s.remove(&ns, &entry, &CTL).await, ErrorKind::NotFound);
        refused(s.trash(&ns, &CTL).await, ErrorKind::NotFound);
        refused(s.trash_move(&ns, &entry, &TrashOptions::keep(HOUR), &CTL).await, ErrorKind::NotFound);
        refused(s.trash_restore(&ns, &id, &n("a"), &CTL).await, ErrorKind::NotFound);
        refused(s.trash_remove(&ns, &id, true, &CTL).await, ErrorKind::NotFound);
        refused(s.records(&ns, "", b"", 9, &CTL).await, ErrorKind::NotFound);
        refused(s.swap_record(&ns, "k", None, Some(b"v"), &CTL).await, ErrorKind::NotFound);
    }
    refused(s.namespaces(&no_pool.pool, &CTL).await, ErrorKind::NotFound);
    refused(s.pool_info(&no_pool.pool, &CTL).await, ErrorKind::NotFound);
    let inside = Namespace { name: n("n"), ..no_pool };
    refused(s.create_namespace(&inside, &CTL).await, ErrorKind::NotFound);
    refused(s.remove_namespace(&inside, &CTL).await, ErrorKind::NotFound);
}

pub(super) async fn the_default_one_stays(s: &Stage) {
    let default = Namespace { name: Name::default(), ..s.ns.clone() };
    refused(s.create_namespace(&default, &CTL).await, ErrorKind::Usage);
    refused(s.remove_namespace(&default, &CTL).await, ErrorKind::Usage);
    let name = Name::from_bytes([s.ns.name.as_bytes(), b"-probe"].concat());
    let id = s.create(&default, &name, &CreateOptions::new(1), &CTL).await.unwrap();
    assert_eq!(s.found(&name).await, None, "the default namespace is one of its own");
    s.remove(&default, &volary::engine::VolumeEntry { name, id }, &CTL).await.unwrap();
}

pub(super) async fn pools_are_known(s: &Stage) {
    let pools = s.pools(&CTL).await.unwrap();
    assert!(pools.is_sorted() && pools.contains(&s.ns.pool));
    let info = s.pool_info(&s.ns.pool, &CTL).await.unwrap().unwrap();
    assert_eq!(info.pool, s.ns.pool);
    assert!(info.total_bytes > 0 && info.available_bytes <= info.total_bytes, "{info:?}");
    let taken = s.create_pool(&s.ns.pool, &CTL).await.unwrap_err().kind();
    assert!(matches!(taken, ErrorKind::AlreadyExists | ErrorKind::Unsupported), "{taken}");
    assert_eq!(s.pools(&CTL).await.unwrap(), pools);
}

pub(super) async fn the_store_describes_itself(s: &Stage) {
    let told = s.describe(&CTL).await.unwrap();
    assert!(!told.engine.is_empty() && !told.id.is_empty() && !told.version.is_empty());
    // A cluster's health may change in between.
    let again = s.describe(&CTL).await.unwrap();
    assert_eq!((&again.engine, &again.id, &again.version), (&told.engine, &told.id, &told.version));
    assert_eq!((&again.user, &again.monitors), (&told.user, &told.monitors));
    assert_eq!(told.engine == "ceph", told.health.is_some() && !told.monitors.is_empty());
    assert!(s.to_string().starts_with(&format!("{}:", told.engine)), "{}", s.to_string());
}
