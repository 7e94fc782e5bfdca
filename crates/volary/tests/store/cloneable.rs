//! Locations: whether they can be cloned, and why not.

use super::scene::Scene;
use volary::{ErrorKind, ImageFormat, Location, NotCloneable};

#[tokio::test]
async fn a_location_can_be_cloned_or_the_reason_is_told() {
    let f = Scene::new().await;
    // Glance knows no namespaces, so the parent is in a pool's default one.
    let pool = f.place.elsewhere(&f.store).await.pool;
    let golden = format!("{pool}/{}", f.place.name("golden"));
    f.create(&golden).await;
    f.snapshot(&format!("{golden}@snap"), true).await;
    f.snapshot(&format!("{golden}@open"), false).await;
    let id = f.store.describe(&f.ctl).await.unwrap().id;
    let at = |store: &str, volume: &str, snapshot: &str| -> Location {
        format!("rbd://{store}/{volume}/{snapshot}").parse().unwrap()
    };
    let asked = async |location: &Location, format| {
        let report = f.store.cloneable(location, format, &f.ctl).await.unwrap();
        assert_eq!(
            (report.cloneable, report.detail.is_none()),
            (report.reason.is_none(), report.reason.is_none())
        );
        report.reason
    };
    let here = at(&id, &golden, "snap");
    assert_eq!(asked(&here, ImageFormat::Raw).await, None);
    assert_eq!(asked(&here, ImageFormat::Qcow2).await, Some(NotCloneable::NotRaw));
    let elsewhere = at("0f0f", &golden, "snap");
    assert_eq!(asked(&elsewhere, ImageFormat::Raw).await, Some(NotCloneable::OtherStore));
    for (volume, snapshot) in [(golden.as_str(), "none"), ("rbd/none", "snap"), ("none/none", "snap")] {
        let location = at(&id, volume, snapshot);
        assert_eq!(asked(&location, ImageFormat::Raw).await, Some(NotCloneable::NotFound), "{location}");
    }
    let open = at(&id, &golden, "open");
    assert_eq!(asked(&open, ImageFormat::Raw).await, Some(NotCloneable::NotProtected));

    let web = f.spec("web");
    let refused = f.store.clone_location(&elsewhere, &web, &f.ctl).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    let report = f.store.clone_location(&here, &web, &f.ctl).await.unwrap();
    assert_eq!(report.parent.to_string(), format!("{golden}@snap"));
    let parent = f.store.parent(&web, &f.ctl).await.unwrap().unwrap();
    assert_eq!(parent.volume.to_string(), golden);
}
