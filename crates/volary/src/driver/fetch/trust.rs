//! Whom a connection trusts: the certificate authorities of the system, or of a file.

use super::super::transfer::on_thread;
use crate::{Error, ErrorKind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where Debian, Red Hat, SUSE and Alpine keep their authorities; no variable of the environment moves it.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a TLS connection is made with: TLS 1.2 and 1.3, HTTP/1.1, the given authorities or the system's.
pub(super) async fn tls(ca_file: Option<PathBuf>) -> Result<Arc<ClientConfig>> {
    on_thread("reading certificate authorities", move || {
        let roots = match ca_file {
            Some(file) => roots(&file)?,
            None => {
                let bundle = BUNDLES.iter().map(Path::new).find(|bundle| bundle.exists());
                roots(bundle.ok_or_else(|| {
                    Error::new(ErrorKind::NotFound, "the system has no certificate authorities")
                        .hint("install the package ca-certificates, or name a file with --ca-file")
                })?)?
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let failed = |error| Error::new(ErrorKind::Internal, "preparing TLS").because(error);
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = versions.map_err(failed)?.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    })
    .await
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let pem = std::fs::read(file).map_err(|error| {
        Error::io("reading certificate authorities", error).context("path", file.display())
    })?;
    let mut roots = RootCertStore::empty();
    // An authority that cannot be read is not trusted; the others still are.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(std::result::Result::ok));
    if roots.is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the file has no certificates of authorities in PEM form")
            .context("path", file.display()));
    }
    Ok(roots)
}
