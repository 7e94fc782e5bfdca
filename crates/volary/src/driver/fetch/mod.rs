//! Sources of web servers: fetched into an unnamed file by HTTP, over connections that are made here and nowhere else.
//!
//! No proxy, cookie, credential or content coding is used, and no variable of the environment is read. Every address is checked before it
//! is connected to, every redirect as the first URL was.

mod address;
mod answer;
mod connect;
mod location;
mod request;
mod resume;
mod spooling;
mod trust;

use self::location::Location;
use crate::{Ctl, Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use volary_image::{FileSource, Limits, ReadAt};

/// A file of a web server.
///
/// ```
/// use volary::UrlSource;
/// let source = UrlSource::new("https://images.example/disk.qcow2?token=secret", "/var/tmp").unwrap();
/// assert_eq!(source.shown(), "https://images.example/disk.qcow2?…");
/// assert!(UrlSource::new("https://user:secret@images.example/disk.qcow2", "/var/tmp").is_err());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UrlSource {
    location: Location,
    /// The directory for the unnamed file it is kept in meanwhile.
    pub spool_dir: PathBuf,
    /// The most bytes to fetch; the largest container an image may be, unless told otherwise.
    pub max_bytes: u64,
    /// Whether it may lead to addresses that are not public: loopback, private, link-local and the like.
    pub allow_private_addresses: bool,
    /// The certificate authorities to trust, in PEM form; the system's unless told otherwise.
    pub ca_file: Option<PathBuf>,
    /// Where a test's server is that stands for every address that may be gone to.
    #[cfg(test)]
    stand_in: Option<std::net::SocketAddr>,
}

impl UrlSource {
    /// A source by its `http` or `https` URL.
    ///
    /// # Errors
    /// `Usage` for a URL with a user or password, an unusual spelling of an address, or no sense; `Unsupported` for another scheme. They
    /// do not repeat the URL, which may hold a secret.
    pub fn new(url: &str, spool_dir: impl Into<PathBuf>) -> Result<UrlSource> {
        Ok(UrlSource {
            location: Location::parse(url)?,
            spool_dir: spool_dir.into(),
            max_bytes: Limits::default().max_container_bytes,
            allow_private_addresses: false,
            ca_file: None,
            #[cfg(test)]
            stand_in: None,
        })
    }

    /// Whether an argument is meant as a URL, not as a path: it begins with a scheme and `://`.
    pub fn is_meant(argument: &Path) -> bool {
        Location::is_meant(argument.as_os_str().as_encoded_bytes())
    }

    /// The URL as it is shown and recorded: `?…` stands for a query, which may hold a token.
    pub fn shown(&self) -> String {
        self.location.to_string()
    }

    /// The last segment of its path, decoded: what a list of checksums calls it.
    pub fn file_name(&self) -> String {
        self.location.file_name()
    }

    /// Fetches it as text, such as a list of checksums; what is not UTF-8 is replaced.
    ///
    /// # Errors
    /// As importing from it.
    pub async fn text(&self, ctl: &Ctl) -> Result<String> {
        let failed = |error| Error::io("reading the spool", error);
        let file = self.fetch(false, ctl).await.map_err(|error| error.context("path", self.shown()))?;
        super::transfer::on_thread("reading the spool", move || {
            let mut bytes = vec![0; usize::try_from(file.len()).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, 0).map_err(failed)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
        .await
    }

    /// Fetches it into an unnamed file of the spool directory. `refuse_pages` refuses what the server itself calls a page or structured
    /// text.
    pub(crate) async fn fetch(&self, refuse_pages: bool, ctl: &Ctl) -> Result<FileSource> {
        ctl.transfer("fetch", resume::fetch(self, refuse_pages, ctl)).await
    }
}

/// Why a part did not come.
enum Trouble {
    /// The connection: asking once more may help.
    Broken(Error),
    /// Anything that asking once more does not change.
    Final(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Final(error)
    }
}

/// A refusal with its stable reason, as images have one.
pub(super) fn refused(reason: &'static str, what: &'static str) -> Error {
    Error::new(ErrorKind::Refused, what).context("reason", reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volary_testkit::web::{Reply, WebServer};

    #[tokio::test]
    async fn s06_a_public_server_redirects_to_no_other_address() {
        for to in [
            "http://127.0.0.1/x",
            "http://[::ffff:10.0.0.1]/x",
            "http://169.254.169.254/latest",
            "http://localhost/x",
        ] {
            let server = WebServer::new(move |_, asked| match asked.target.as_str() {
                "/disk" => Reply::redirect("http://8.8.8.8/moved"),
                _ => Reply::redirect(to),
            });
            let dir = tempfile::tempdir().unwrap();
            let mut source = UrlSource::new("http://1.1.1.1/disk", dir.path()).unwrap();
            source.stand_in = Some(server.address());
            let error = source.fetch(true, &Ctl::new()).await.unwrap_err();
            assert!(error.contexts().any(|pair| pair == ("reason", "address")), "{to}: {}", error.report());
            let hosts: Vec<_> =
                server.asked().iter().map(|asked| asked.header("host").unwrap().to_owned()).collect();
            assert_eq!(hosts, ["1.1.1.1", "8.8.8.8"], "{to}");
        }
    }

    #[tokio::test]
    async fn a_list_is_fetched_as_text() {
        let server = WebServer::new(|_, _| Reply::whole(b"abc  x\xff\n"));
        let dir = tempfile::tempdir().unwrap();
        let mut source = UrlSource::new("http://1.1.1.1/SHA256SUMS", dir.path()).unwrap();
        source.stand_in = Some(server.address());
        assert_eq!(source.text(&Ctl::new()).await.unwrap(), "abc  x\u{fffd}\n");
    }
}
