//! URLs: fetched whole over connections that break, and recorded without their secrets.

use super::super::import::sha256;
use super::super::scene::{Meanwhile, Scene};
use super::{MIB, from_url, reason, refused, unwrapped, url};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use volary::{ErrorKind, ImportSource, Phase, Progress};
use volary_testkit::web::{AUTHORITY, Behaviour, Reply, WebServer, serve};

#[tokio::test(flavor = "multi_thread")]
async fn s09_an_image_from_a_url_is_the_one_of_its_file() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 9 * MIB + 512);
    let image = scene.qcow2(&raw, "disk.qcow2", &["-c"]);
    let file = std::fs::read(&image).unwrap();
    let from_file = scene.store.import(&scene.request(&image, "file"), &scene.ctl).await.unwrap();
    let len = file.len() as u64;
    let server = WebServer::new(move |number, asked| serve(&file, &Behaviour::default(), number, asked));
    let mut request = from_url(&scene, url(&scene, &server, "/a/disk.qcow2?token=s3cret#part"));
    request.checksum = Some(format!("sha256:{}", sha256(&image)).parse().unwrap());
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    assert_eq!((report.digest, report.verified), (from_file.digest, true));
    assert_eq!(report.source.path, server.url("/a/disk.qcow2?…"));
    assert_eq!((report.source.file_bytes, report.source.sha256), (len, Some(sha256(&image))));
    let asked = &server.asked()[0];
    assert_eq!(asked.target, "/a/disk.qcow2?token=s3cret");
    assert_eq!((asked.header("accept-encoding"), asked.header("range")), (Some("identity"), None));
    assert_eq!(asked.header("host"), Some(server.address().to_string().as_str()));
    let kept = scene.store.metadata(&scene.spec("web"), &scene.ctl).await.unwrap();
    assert!(!format!("{kept:?}").contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_page_of_a_server_is_no_disk_unless_a_format_is_declared() {
    let scene = Scene::new().await;
    let body = vec![b'x'; MIB as usize];
    for (kind, refuses) in [
        ("text/html", true),
        ("Text/HTML; charset=utf-8", true),
        ("application/json", true),
        ("application/problem+json", true),
        ("text/xml", true),
        ("application/atom+xml;x=1", true),
        ("application/octet-stream", false),
        ("text/plain", false),
        ("", false),
    ] {
        let (len, sent) = (body.len().to_string(), body.clone());
        let server = WebServer::new(move |_, _| {
            Reply::new("200 OK", &[("Content-Length", &len), ("Content-Type", kind)], &sent)
        });
        let mut request = from_url(&scene, url(&scene, &server, "/disk"));
        if refuses {
            let error = refused(&scene, &request).await;
            assert_eq!(reason(&error), "content_type", "{kind}");
            assert!(error.remedy().unwrap().contains("-f "), "{:?}", error.remedy());
            let options = volary::InspectOptions::default();
            assert!(volary::inspect(&request.source, &options, &scene.ctl).await.is_err(), "{kind}");
        } else {
            scene.store.plan_import(&request, &scene.ctl).await.unwrap();
        }
        request.format = Some(volary::ImageFormat::Raw);
        scene.store.plan_import(&request, &scene.ctl).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_gone_on_from() {
    let scene = Scene::new().await;
    let raw = scene.raw("disk.raw", 5 * MIB);
    let file = std::fs::read(&raw).unwrap();
    let cut = 1_000_001;
    let behaviour = Behaviour { cut, cuts: 4, ..Behaviour::default() };
    let whole = file.clone();
    let server = WebServer::new(move |number, asked| serve(&whole, &behaviour, number, asked));
    scene.store.import(&from_url(&scene, url(&scene, &server, "/disk")), &scene.ctl).await.unwrap();
    assert!(scene.content("web").await == file);
    let asked = server.asked();
    let from: Vec<_> = asked.iter().map(|asked| asked.from()).collect();
    assert_eq!(from, [None, Some(cut), Some(2 * cut), Some(3 * cut), Some(4 * cut)]);
    assert!(asked[1..].iter().all(|asked| asked.header("if-range") == Some("\"v1\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_part_can_be_had_all_of_it_is_fetched_anew() {
    for (tag, ranges) in [("\"v1\"", false), ("", true), ("W/\"v1\"", true)] {
        let scene = Scene::new().await;
        let raw = scene.raw("disk.raw", 3 * MIB);
        let file = std::fs::read(&raw).unwrap();
        let behaviour = Behaviour { tag, ranges, cut: 2_000_000, cuts: 2 };
        let whole = file.clone();
        let server = WebServer::new(move |number, asked| serve(&whole, &behaviour, number, asked));
        scene.store.import(&from_url(&scene, url(&scene, &server, "/disk")), &scene.ctl).await.unwrap();
        assert!(scene.content("web").await == file, "{tag} {ranges}");
        assert_eq!(server.asked().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s09_an_object_that_changes_between_two_parts_is_never_patched_together() {
    for (tag, ranges) in [("\"v2\"", true), ("\"v2\"", false), ("", true)] {
        let scene = Scene::new().await;
        let file = std::fs::read(scene.raw("disk.raw", 3 * MIB)).unwrap();
        // As long as the first one: nothing but its tag tells.
        let other: Vec<u8> = file.iter().rev().copied().collect();
        let server = WebServer::new(move |number, asked| match number {
            0 => serve(&file, &Behaviour { cut: 1_000_000, cuts: 1, ..Behaviour::default() }, number, asked),
            _ => serve(&other, &Behaviour { tag, ranges, ..Behaviour::default() }, number, asked),
        });
        let error = refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await;
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{}", error.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_and_parts_come_from_where_they_led() {
    let scene = Scene::new().await;
    let file = std::fs::read(scene.raw("disk.raw", 2 * MIB)).unwrap();
    let whole = file.clone();
    let server = WebServer::new(move |number, asked| match asked.target.as_str() {
        "/a/first" => Reply::redirect("../second?x"),
        "/second?x" => Reply::redirect("/third"),
        "/third" => {
            serve(&whole, &Behaviour { cut: 700_000, cuts: 4, ..Behaviour::default() }, number, asked)
        }
        _ => Reply::new("404 Not Found", &[("Content-Length", "0")], b""),
    });
    let request = from_url(&scene, url(&scene, &server, "/a/first"));
    let report = scene.store.import(&request, &scene.ctl).await.unwrap();
    assert!(scene.content("web").await == file);
    assert_eq!(report.source.path, server.url("/a/first"), "the URL that was given is the one recorded");
    let targets: Vec<_> = server.asked().iter().map(|asked| asked.target.clone()).collect();
    assert_eq!(targets, ["/a/first", "/second?x", "/third", "/third", "/third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s08_tls_is_checked_and_not_left() {
    let scene = Scene::new().await;
    let file = std::fs::read(scene.raw("disk.raw", MIB)).unwrap();
    let plain = WebServer::new(|_, _| Reply::whole(b"never"));
    let (whole, elsewhere) = (file.clone(), plain.url("/x?s3cret"));
    let server = WebServer::tls(move |number, asked| match asked.target.as_str() {
        "/disk" => serve(&whole, &Behaviour::default(), number, asked),
        _ => Reply::redirect(&elsewhere),
    });
    let untrusted = refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await;
    assert_eq!(reason(&untrusted), "certificate");
    let authority = scene.path("authority.pem");
    std::fs::write(&authority, AUTHORITY).unwrap();
    let trusted = |path| {
        let mut url = url(&scene, &server, path);
        url.ca_file = Some(authority.clone());
        url
    };
    let error = refused(&scene, &from_url(&scene, trusted("/downgrade"))).await;
    assert_eq!(reason(&error), "redirect");
    assert!(!error.report().contains("s3cret") && plain.asked().is_empty());
    scene.store.import(&from_url(&scene, trusted("/disk")), &scene.ctl).await.unwrap();
    assert!(scene.content("web").await == file);
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_a_silent_server_is_left_by_cancel_and_by_the_stall_limit() {
    let head = Reply::new("200 OK", &[("Content-Length", "9000000")], &[7; 100_000]).then_silence();
    let heads = [head.clone(), head.clone().cut(30), head.cut(0)];
    for reply in heads.clone() {
        let scene = Scene::new().await;
        let cancel = CancellationToken::new();
        let asked = cancel.clone();
        let server = WebServer::new(move |_, _| {
            asked.cancel();
            reply.clone()
        });
        let ctl = scene.ctl.clone().cancelled_by(cancel);
        let error = scene.store.import(&from_url(&scene, url(&scene, &server, "/")), &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", error.report());
        scene.assert_nothing_left().await;
    }
    for reply in heads {
        let scene = Scene::new().await;
        let server = WebServer::new(move |_, _| reply.clone());
        let ctl = scene.ctl.clone().stall(std::time::Duration::from_millis(100));
        let error = scene.store.import(&from_url(&scene, url(&scene, &server, "/")), &ctl).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{}", error.report());
        scene.assert_nothing_left().await;
    }
}

#[derive(Default)]
struct Phases(Mutex<Vec<(Phase, Option<u64>, u64)>>);

impl Progress for Phases {
    fn phase(&self, phase: Phase, total_bytes: Option<u64>) {
        self.0.lock().unwrap().push((phase, total_bytes, 0));
    }
    fn advance(&self, bytes: u64) {
        self.0.lock().unwrap().last_mut().unwrap().2 += bytes;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_knows_how_much_will_come() {
    let scene = Scene::new().await;
    let file = std::fs::read(scene.raw("disk.raw", MIB)).unwrap();
    let server = WebServer::new(move |number, asked| serve(&file, &Behaviour::default(), number, asked));
    let phases = Arc::new(Phases::default());
    let ctl = scene.ctl.clone().watched_by(phases.clone());
    let source = ImportSource::Url(url(&scene, &server, "/disk"));
    scene.store.import(&unwrapped(&scene, source), &ctl).await.unwrap();
    assert_eq!(phases.0.lock().unwrap()[0], (Phase::Spool, Some(MIB), MIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn s05_an_interrupted_fetch_leaves_nothing() {
    let scene = Scene::new().await;
    let server = WebServer::new(|_, _| {
        Reply::new("200 OK", &[("Transfer-Encoding", "chunked")], b"").then_repeat(b"4\r\nabcd\r\n")
    });
    let cancel = CancellationToken::new();
    let act = cancel.clone();
    let ctl =
        scene.ctl.clone().cancelled_by(cancel).watched_by(Meanwhile::new(Phase::Spool, move || act.cancel()));
    let error = scene.store.import(&from_url(&scene, url(&scene, &server, "/")), &ctl).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{}", error.report());
    scene.assert_nothing_left().await;
}
