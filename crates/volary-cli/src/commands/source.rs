//! What commands that read a disk image share: the source, how it is fetched and unwrapped, and its declared format.

use crate::arguments::size;
use crate::session::Session;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use volary::{Checksum, Error, ErrorKind, ImageFormat, ImportSource, Result, Unwrap, UrlSource, escape};

/// A list of checksums is text of some kilobytes; what is larger is something else.
const LARGEST_LIST: u64 = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct Source {
    /// The disk image: a file, a block device, an http or https URL, or `-` for standard input
    source: PathBuf,
    /// Format that the source must have, or `auto` for any accepted format
    #[arg(short, long, default_value = "auto")]
    format: String,
    /// Decompress a source that as a whole is gzip, xz, zstd or bzip2, recognised by its first bytes: `auto`, or `none` to
    /// refuse it
    #[arg(long, value_enum, default_value_t = Decompress::None, hide_possible_values = true, value_name = "HOW")]
    decompress: Decompress,
    /// Largest download from a URL [default: 16T]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_download: Option<u64>,
    /// Allow URLs that lead to addresses that are not public: loopback, private, link-local and others
    #[arg(long)]
    allow_private_addresses: bool,
    /// PEM file of certificate authorities to trust for https instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[arg(skip)]
    opened: Option<ImportSource>,
}

#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Decompress {
    Auto,
    None,
}

impl Source {
    /// The source that is meant; what must be kept meanwhile is kept in the user's directory for temporary files.
    pub(crate) fn open(&mut self) -> Result<ImportSource> {
        self.opened.take().map_or_else(|| self.meant(Ok), Ok)
    }

    /// The source, opened now when it is a file. `None` when it cannot be: using it then says why.
    pub(crate) fn open_early(&mut self) -> Option<&ImportSource> {
        let now = |source| match source {
            ImportSource::Path(path) => ImportSource::opened(&path),
            source => Ok(source),
        };
        self.opened = self.meant(now).ok();
        self.opened.as_ref()
    }

    /// What the argument means, after `prepare` has had it as it is.
    fn meant(&self, prepare: impl FnOnce(ImportSource) -> Result<ImportSource>) -> Result<ImportSource> {
        let mut source = ImportSource::from_argument(self.source.clone(), &spool_dir(), || {
            let stdin = std::io::stdin().as_fd().try_clone_to_owned();
            stdin.map(File::from).map_err(|error| Error::io("taking over standard input", error))
        })?;
        if let ImportSource::Url(url) = &mut source {
            self.allow(url);
            url.max_bytes = self.max_download.unwrap_or(url.max_bytes);
        }
        let source = prepare(source)?;
        Ok(match self.decompress {
            Decompress::Auto => ImportSource::Unwrapped(Unwrap::new(source, spool_dir())),
            Decompress::None => source,
        })
    }

    /// The file of certificate authorities, if one is given.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    fn allow(&self, url: &mut UrlSource) {
        url.allow_private_addresses = self.allow_private_addresses;
        url.ca_file.clone_from(&self.ca_file);
    }

    /// The declared format; `auto` declares none.
    pub(crate) fn format(&self) -> Result<Option<ImageFormat>> {
        if self.format == "auto" {
            return Ok(None);
        }
        self.format.parse().map(Some).map_err(|_| {
            let shown = escape(self.format.as_bytes()).into_owned();
            Error::new(ErrorKind::Usage, format!("`{shown}` is not a format"))
                .hint(format!("write auto, {}", ImageFormat::readable_names()))
        })
    }

    /// The checksum that a list, a file or a URL, has of the source.
    pub(crate) async fn look_up(
        &self,
        list: &Path,
        source: &ImportSource,
        session: &Session,
    ) -> Result<Checksum> {
        let text = if UrlSource::is_meant(list) {
            let mut url = UrlSource::new(&list.to_string_lossy(), spool_dir())?;
            self.allow(&mut url);
            url.max_bytes = LARGEST_LIST;
            url.text(&session.ctl).await.map_err(|error| error.context("checksum_file", url.shown()))?
        } else {
            read(list)?
        };
        Checksum::find_in(&text, &source.listed_name())
    }
}

/// The user's directory for temporary files; not /tmp, which is often memory: an image can be larger than that.
pub(crate) fn spool_dir() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

fn read(list: &Path) -> Result<String> {
    let failed = |error| Error::io("reading the checksum file", error).context("path", list.display());
    if std::fs::metadata(list).map_err(failed)?.len() > LARGEST_LIST {
        return Err(
            Error::new(ErrorKind::Usage, "the checksum file is too large").context("path", list.display())
        );
    }
    Ok(String::from_utf8_lossy(&std::fs::read(list).map_err(failed)?).into_owned())
}
