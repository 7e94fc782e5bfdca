//! Sources that are fetched, and sources that are compressed.

mod compressed;
mod fetched;
mod lies;

use super::scene::Scene;
use std::path::PathBuf;
use volary::{Error, ErrorKind, ImportRequest, ImportSource, Unwrap, UrlSource};
use volary_testkit::web::WebServer;

const MIB: u64 = 1 << 20;

/// A directory for spools, of which nothing may ever be seen.
fn spool_dir(scene: &Scene) -> PathBuf {
    let dir = scene.path("spools");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A URL of a test's server, which is on the loopback.
fn url(scene: &Scene, server: &WebServer, path: &str) -> UrlSource {
    let mut url = UrlSource::new(&server.url(path), spool_dir(scene)).unwrap();
    url.allow_private_addresses = true;
    url
}

fn no_more_than(max_bytes: u64, mut url: UrlSource) -> UrlSource {
    url.max_bytes = max_bytes;
    url
}

fn from_url(scene: &Scene, url: UrlSource) -> ImportRequest {
    ImportRequest::new(ImportSource::Url(url), scene.spec("web"))
}

fn unwrapped(scene: &Scene, source: ImportSource) -> ImportRequest {
    ImportRequest::new(ImportSource::Unwrapped(Unwrap::new(source, spool_dir(scene))), scene.spec("web"))
}

/// Imports, which must fail, and leave nothing anywhere.
async fn refused(scene: &Scene, request: &ImportRequest) -> Error {
    let error = scene.store.import(request, &scene.ctl).await.unwrap_err();
    scene.assert_nothing_left().await;
    assert_eq!(std::fs::read_dir(spool_dir(scene)).unwrap().count(), 0, "{error}");
    error
}

/// The stable reason of a refusal.
fn reason(error: &Error) -> &str {
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.report());
    error.contexts().find(|(key, _)| *key == "reason").unwrap().1
}
