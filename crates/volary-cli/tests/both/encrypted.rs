//! A volume whose content is encrypted: `export` and `cp` take its bytes as they are, and their reports note it.

use crate::bench;
use crate::harness::Bench;
use serde_json::json;

/// Writes the first bytes of a volume, as a guest does.
fn write(bench: &Bench, volume: &str, bytes: &'static [u8]) {
    let (ctl, url): (_, volary::StoreUrl) = (volary::Ctl::new(), bench.url.parse().unwrap());
    let spec: volary::VolumeSpec = volume.parse().unwrap();
    let work = async {
        let store = volary::Store::connect(&url, &ctl).await.unwrap();
        let options = volary::engine::OpenOptions::write();
        let volume = store.engine().open(&spec.namespace, &spec.volume, &options, &ctl).await.unwrap();
        volume.write(0, bytes.into(), &ctl).await.unwrap();
        volume.flush(&ctl).await.unwrap();
        volume.close(&ctl).await.unwrap();
        store.shutdown().await.unwrap();
    };
    tokio::runtime::Runtime::new().unwrap().block_on(work);
}

#[test]
fn an_encrypted_volume_is_told_and_its_bytes_are_taken_as_they_are() {
    const HEADERS: [(&[u8], &str); 2] = [
        (b"LUKS\xba\xbe\0\x02", "begins with a LUKS header (version 2)"),
        (b"RBDL\xba\xbe\0\x01", "begins with librbd's header of an encrypted clone (RBDL)"),
    ];
    let bench = bench();
    let [web, snapshot, copy] = ["web", "web@s", "copy"].map(|name| bench.at(name));
    let file = bench.path("web.raw");
    let file = file.to_str().unwrap();
    for (header, told) in HEADERS {
        bench.ok(&["create", "--size", "1M", &web]);
        assert_eq!(bench.json(&["info", &web])["notes"], json!([]));
        write(&bench, &web, header);
        bench.ok(&["snap", "create", &snapshot]);
        for args in [&["info", &web][..], &["info", &snapshot], &["verify", "--record", &snapshot]] {
            let shown = bench.ok(args);
            assert!(shown.contains(&format!("note: {told}")), "{args:?}: {shown}");
        }
        for (args, taken) in
            [(&["export", "--force", &web, file][..], "written"), (&["cp", &web, &copy][..], "copied")]
        {
            let notes = bench.json(args)["notes"].clone();
            let [note] = notes.as_array().unwrap().as_slice() else { panic!("{args:?}: {notes}") };
            let note = note.as_str().unwrap();
            assert!(note.starts_with(told) && note.ends_with(&format!("{taken} as they are")), "{note}");
        }
        assert!(std::fs::read(file).unwrap().starts_with(header));
        assert!(bench.ok(&["info", &copy]).contains(told));
        for volume in [&web, &copy] {
            bench.ok(&["rm", "--purge-snapshots", volume]);
        }
    }
    bench.assert_empty();
}
