//! Servers that lie, and places that nothing is fetched from.

use super::super::scene::Scene;
use super::{MIB, from_url, no_more_than, reason, refused, url};
use volary::{ErrorKind, UrlSource};
use volary_testkit::web::{Behaviour, Reply, WebServer, serve};

async fn against(reply: Reply) -> volary::Error {
    let scene = Scene::new().await;
    let server = WebServer::new(move |_, _| reply.clone());
    refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_length_that_is_a_lie_is_found_out() {
    let body = vec![7; 100_000];
    let longer = Reply::new("200 OK", &[("Content-Length", "99000")], &body);
    assert_eq!(reason(&against(longer).await), "length");
    let shorter = Reply::new("200 OK", &[("Content-Length", "100001")], &body);
    let error = against(shorter).await;
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.report());
    let untold = Reply::new("200 OK", &[], &body);
    assert_eq!(reason(&against(untold).await), "length");
    let two = Reply::new("200 OK", &[("Content-Length", "99000"), ("Content-Length", "100000")], &body);
    assert!(matches!(against(two).await.kind(), ErrorKind::Unreachable | ErrorKind::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_a_server_that_has_less_than_it_said_is_found_out_when_asked_for_the_rest() {
    let scene = Scene::new().await;
    let file = vec![7; 100_000];
    let server = WebServer::new(move |number, _| match number {
        0 => Reply::new("200 OK", &[("Content-Length", "100001"), ("ETag", "\"v1\"")], &file),
        _ => Reply::new(
            "416 Range Not Satisfiable",
            &[("Content-Range", "bytes */100000"), ("Content-Length", "0")],
            b"",
        ),
    });
    let error = refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await;
    assert_eq!(reason(&error), "length");
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_another_part_than_asked_for_is_not_taken() {
    for range in [
        "bytes 999999-2097151/2097152",
        "bytes 1000001-2097151/2097152",
        "bytes 1000000-2097152/2097153",
        "bytes */2097152",
        "lines 1-2/3",
    ] {
        let scene = Scene::new().await;
        let file = std::fs::read(scene.raw("disk.raw", 2 * MIB)).unwrap();
        let server = WebServer::new(move |number, asked| match number {
            0 => serve(&file, &Behaviour { cut: 1_000_000, cuts: 1, ..Behaviour::default() }, 0, asked),
            _ => {
                let rest = &file[1_000_000..];
                let len = rest.len().to_string();
                Reply::new(
                    "206 Partial Content",
                    &[("Content-Range", range), ("Content-Length", &len), ("ETag", "\"v1\"")],
                    rest,
                )
            }
        });
        let error = refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await;
        assert_eq!(reason(&error), "range", "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_no_more_comes_than_is_allowed() {
    let scene = Scene::new().await;
    let endless = Reply::new("200 OK", &[("Transfer-Encoding", "chunked")], b"")
        .then_repeat(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes());
    let told = Reply::new("200 OK", &[("Content-Length", "3000321")], b"").then_silence();
    for reply in [endless, told] {
        let server = WebServer::new(move |_, _| reply.clone());
        let source = no_more_than(3_000_320, url(&scene, &server, "/disk"));
        let error = refused(&scene, &from_url(&scene, source)).await;
        assert_eq!(reason(&error), "limit");
        assert!(error.remedy().unwrap().contains("--max-download"));
    }
    let server = WebServer::new(|_, _| Reply::whole(&[7; 3_000_320]));
    let source = no_more_than(3_000_320, url(&scene, &server, "/disk"));
    scene.store.import(&from_url(&scene, source), &scene.ctl).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_answers_that_are_not_the_file_are_no_files() {
    let body: &[u8] = &[7; 1000];
    let len = ("Content-Length", "1000");
    for (status, kind) in [
        ("404 Not Found", ErrorKind::NotFound),
        ("410 Gone", ErrorKind::NotFound),
        ("401 Unauthorized", ErrorKind::Permission),
        ("403 Forbidden", ErrorKind::Permission),
        ("500 Internal Server Error", ErrorKind::Unreachable),
        ("503 Service Unavailable", ErrorKind::Unreachable),
        ("429 Too Many Requests", ErrorKind::Unreachable),
        ("204 No Content", ErrorKind::Refused),
        ("203 Other", ErrorKind::Refused),
        ("206 Partial Content", ErrorKind::Refused),
        ("300 Multiple Choices", ErrorKind::Refused),
        ("304 Not Modified", ErrorKind::Refused),
        ("418 Teapot", ErrorKind::Refused),
    ] {
        let error = against(Reply::new(status, &[len], body)).await;
        assert_eq!(error.kind(), kind, "{status}: {}", error.report());
    }
    for coding in ["gzip", "x-gzip", "br"] {
        let error = against(Reply::new("200 OK", &[len, ("Content-Encoding", coding)], body)).await;
        assert_eq!(reason(&error), "encoding");
    }
    for nonsense in [&b"SSH-2.0-OpenSSH_9.6\r\n"[..], b"\0\x01\x02", b""] {
        let error = against(Reply::whole(b"").cut(0).then_bytes(nonsense)).await;
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.report());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_redirects_lead_nowhere_else() {
    for to in [
        "ftp://images.example/x",
        "file:///etc/passwd",
        "http://user:s3cret@images.example/x",
        "http://127.1/s3cret",
        "http://2130706433/",
        "http://localhost./",
        "http://host:0/",
        "http://exa mple/",
        "//[::1/",
    ] {
        let error = against(Reply::redirect(to)).await;
        assert_eq!(reason(&error), "redirect", "{to}");
        assert!(!format!("{} {error:?}", error.report()).contains("s3cret"), "{to}");
    }
    assert_eq!(reason(&against(Reply::new("302 Found", &[("Content-Length", "0")], b"")).await), "redirect");
    let scene = Scene::new().await;
    let server = WebServer::new(|_, _| Reply::redirect("/again"));
    assert_eq!(reason(&refused(&scene, &from_url(&scene, url(&scene, &server, "/disk"))).await), "redirect");
    assert_eq!(server.asked().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn s06_addresses_that_are_not_public_are_not_gone_to() {
    let scene = Scene::new().await;
    let server = WebServer::new(|_, _| Reply::whole(&[7; 1000]));
    let port = server.address().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
    ] {
        let source = UrlSource::new(&format!("http://{host}:{port}/disk"), super::spool_dir(&scene)).unwrap();
        let error = refused(&scene, &from_url(&scene, source)).await;
        assert_eq!(reason(&error), "address", "{host}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unreachable() {
    let scene = Scene::new().await;
    let server = WebServer::new(|_, _| Reply::whole(b""));
    let source = url(&scene, &server, "/disk");
    drop(server);
    assert_eq!(refused(&scene, &from_url(&scene, source)).await.kind(), ErrorKind::Unreachable);
}
