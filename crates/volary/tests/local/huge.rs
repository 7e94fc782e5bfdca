//! Volumes of hundreds of tebibytes, most of which are holes.

use crate::store::scene::Scene;
use bytes::Bytes;
use volary::engine::OpenOptions;

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

#[tokio::test(flavor = "multi_thread")]
async fn s05_what_a_volume_of_900_tebibytes_takes_up_is_counted_without_its_holes() {
    let scene = Scene::new().await;
    let spec = scene.spec("huge");
    scene.store.create(&spec, 900 * TIB, &scene.ctl).await.unwrap();
    let volume =
        scene.engine.open(&spec.namespace, &spec.volume, &OpenOptions::write(), &scene.ctl).await.unwrap();
    for offset in [0, 450 * TIB, 900 * TIB - MIB] {
        volume.write(offset, Bytes::from(vec![1; MIB as usize]), &scene.ctl).await.unwrap();
    }
    volume.flush(&scene.ctl).await.unwrap();
    let snapshot = volary::Name::new("s").unwrap();
    volume.create_snapshot(&snapshot, &scene.ctl).await.unwrap();
    volume.write(450 * TIB, Bytes::from(vec![2; MIB as usize]), &scene.ctl).await.unwrap();
    volume.close(&scene.ctl).await.unwrap();
    let used = scene.store.info(&spec, &scene.ctl).await.unwrap().used_bytes;
    assert!((3 * MIB..13 * MIB).contains(&used), "{used}");
}
