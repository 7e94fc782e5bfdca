//! The source of an import: opened once, read through one descriptor, compared with itself at the end.

use super::block::{Block, Examiner};
use super::fetch::UrlSource;
use super::image_error::{image_error, image_error_with};
use super::spool::spool;
use super::transfer::{BlockSource, on_thread};
use super::unwrap::{self, Unwrap};
use super::ways;
use crate::buffer::Buffer;
use crate::{Ctl, Error, ErrorKind, Result, escape};
use async_trait::async_trait;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use volary_image::{FileSource, Fingerprint, Format, Image, Limits, ReadAt};

/// Where a disk image comes from.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImportSource {
    /// A regular file or block device; a symbolic link is refused.
    Path(PathBuf),
    /// A file that is open already, by [`ImportSource::opened`].
    Opened(OpenedSource),
    /// A descriptor such as standard input. What cannot seek is first kept in an unnamed file.
    Stream {
        /// The descriptor.
        file: File,
        /// The directory for the unnamed file.
        spool_dir: PathBuf,
    },
    /// A file of a web server, fetched into an unnamed file first.
    Url(UrlSource),
    /// Another source that may be compressed as a whole; what is in it is imported.
    Unwrapped(Unwrap),
}

/// A regular file or block device that was opened before anything else was done, and how it was then.
#[derive(Debug, Clone)]
pub struct OpenedSource {
    file: Arc<FileSource>,
    before: Fingerprint,
}

impl OpenedSource {
    fn open(path: &Path) -> Result<Self> {
        let shown = || escape(path.as_os_str().as_bytes()).into_owned();
        let file = FileSource::open(path).map_err(|error| image_error(error).context("path", shown()))?;
        OpenedSource::of(file)
    }

    fn of(file: FileSource) -> Result<Self> {
        let before = file.fingerprint().map_err(|error| Error::io("looking at the source", error))?;
        Ok(OpenedSource { file: Arc::new(file), before })
    }
}

impl ImportSource {
    /// Opens a file now, as [`ImportSource::Path`] is opened when it is used, and with the same checks: a process that is about to
    /// give up opening files has it then. What happens to the file from here on is noticed as a change. Blocks as opening does.
    ///
    /// # Errors
    /// `NotFound`, `Permission`; `Refused` for what is neither a regular file nor a block device.
    pub fn opened(path: &Path) -> Result<Self> {
        OpenedSource::open(path).map(ImportSource::Opened)
    }

    /// What a command line means: `-` is standard input, handed in as `stream`, what begins with a scheme and `://` a URL, everything
    /// else a path. What must be kept meanwhile is kept in `spool_dir`.
    ///
    /// # Errors
    /// Those of `stream` and of [`UrlSource::new`].
    pub fn from_argument(
        argument: PathBuf,
        spool_dir: &Path,
        stream: impl FnOnce() -> Result<File>,
    ) -> Result<Self> {
        if argument.as_os_str().as_bytes() == b"-" {
            return Ok(ImportSource::Stream { file: stream()?, spool_dir: spool_dir.to_owned() });
        }
        if UrlSource::is_meant(&argument) {
            return UrlSource::new(&argument.to_string_lossy(), spool_dir).map(ImportSource::Url);
        }
        Ok(ImportSource::Path(argument))
    }

    /// What a list of checksums may call it: the path as given, `-`, or the last segment of a URL's path.
    pub fn listed_name(&self) -> String {
        match self {
            ImportSource::Path(path) => path.to_string_lossy().into_owned(),
            ImportSource::Opened(opened) => opened.file.path().to_string_lossy().into_owned(),
            ImportSource::Stream { .. } => "-".to_owned(),
            ImportSource::Url(url) => url.file_name(),
            ImportSource::Unwrapped(unwrap) => unwrap.source.listed_name(),
        }
    }

    /// The path or URL as shown; `-` for a stream.
    pub(crate) fn shown(&self) -> String {
        match self {
            ImportSource::Path(path) => escape(path.as_os_str().as_bytes()).into_owned(),
            ImportSource::Opened(opened) => escape(opened.file.path().as_os_str().as_bytes()).into_owned(),
            ImportSource::Stream { .. } => "-".to_owned(),
            ImportSource::Url(url) => url.shown(),
            ImportSource::Unwrapped(unwrap) => unwrap.source.shown(),
        }
    }

    /// Opens it, spooling when it cannot seek, and takes its compression off when that was asked for. A page of a server is refused
    /// unless a format is declared.
    pub(crate) async fn open(&self, declared: Option<Format>, ctl: &Ctl) -> Result<OpenSource> {
        let shown = self.shown();
        let (outer, unwrap) = match self {
            ImportSource::Unwrapped(unwrap) => (&*unwrap.source, Some(unwrap)),
            outer => (outer, None),
        };
        let located = |error: Error| error.context("path", &shown);
        let opened = match outer {
            ImportSource::Path(path) => {
                let path = path.clone();
                on_thread("opening the source", move || OpenedSource::open(&path)).await?
            }
            ImportSource::Opened(opened) => opened.clone(),
            ImportSource::Stream { file, spool_dir } => {
                let spooled = spool(file, spool_dir, ctl).await;
                OpenedSource::of(spooled.map_err(|error| error.context("path", &shown))?)?
            }
            ImportSource::Url(url) => {
                OpenedSource::of(url.fetch(declared.is_none(), ctl).await.map_err(located)?)?
            }
            ImportSource::Unwrapped(_) => {
                return Err(located(Error::new(
                    ErrorKind::Usage,
                    "of a source one layer of compression is taken off, not several",
                )));
            }
        };
        let OpenedSource { file, before } = opened;
        let spooled = matches!(outer, ImportSource::Stream { .. } | ImportSource::Url(_));
        let mut source = OpenSource {
            content: file.clone(),
            file,
            before,
            shown,
            name: outer.listed_name(),
            spooled,
            compression: None,
            unwraps: unwrap.is_some(),
        };
        if let Some(unwrap) = unwrap {
            let unwrapped = unwrap::unwrap(&source.file, unwrap, ctl).await;
            if let Some((format, content)) = unwrapped.map_err(|error| source.explain(error))? {
                (source.content, source.compression) = (Arc::new(content), Some(format));
            }
        }
        Ok(source)
    }
}

/// A source that is open.
pub(crate) struct OpenSource {
    /// The file as it is, compressed or not: what its length and its digests are of.
    pub(crate) file: Arc<FileSource>,
    /// What is read as an image: the file, or what was in it.
    pub(crate) content: Arc<FileSource>,
    before: Fingerprint,
    pub(crate) shown: String,
    /// What it is called: a path, `-`, or the last segment of a URL.
    name: String,
    /// Whether it came as a stream or from a server, so that nobody can read the same again.
    pub(crate) spooled: bool,
    /// The compression that was taken off.
    pub(crate) compression: Option<Format>,
    /// Whether compression was to be taken off.
    pub(crate) unwraps: bool,
}

impl OpenSource {
    /// What its name says of its content, where that is of another format.
    pub(crate) fn misnamed(&self, found: Format) -> Option<String> {
        ways::misnamed(&self.name, self.compression, found)
    }

    /// What somebody should know about the image in it.
    pub(crate) fn notes(&self, image: &Image) -> Vec<String> {
        let told = image.notes().iter().map(|note| escape(note.detail.as_bytes()).into_owned());
        self.misnamed(image.format()).into_iter().chain(told).collect()
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file.len()
    }

    /// Detects and validates the image in it.
    pub(crate) async fn image(&self, declared: Option<Format>, limits: Limits) -> Result<Image> {
        let file: Arc<dyn ReadAt> = self.content.clone();
        let (unwraps, shown) = (self.unwraps, self.shown.clone());
        let validate = move || {
            Image::open(file.clone(), declared, &limits).map_err(|error| {
                image_error_with(error, |refusal| {
                    ways::way(refusal.reason, refusal.check, &*file, &shown, unwraps)
                })
            })
        };
        let image = on_thread("validating the source", validate).await;
        image.map_err(|error| self.explain(error))
    }

    /// Fails if the file is not as it was when it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        let now = self.file.fingerprint().map_err(|error| Error::io("looking at the source", error))?;
        // Its length was taken a moment before its fingerprint.
        if now == self.before && now.len == self.file.len() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::SourceChanged, "the source changed while it was read")
            .context("path", &self.shown)
            .hint("import it again when nobody writes to it"))
    }

    /// Why reading failed: often only because the source changed underneath.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match self.check_unchanged() {
            Err(changed) if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Refused) => {
                changed.because(error)
            }
            _ => error.context("path", &self.shown),
        }
    }
}

/// The content of a validated image.
pub(crate) struct ImageBlocks(pub(crate) Arc<Image>);

#[async_trait]
impl BlockSource for ImageBlocks {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    async fn data(&self, window: Range<u64>, _ctl: &Ctl) -> Result<Vec<Range<u64>>> {
        let image = self.0.clone();
        on_thread("mapping the source", move || {
            let extents = image.extents(window.start, window.end - window.start).map_err(image_error)?;
            let data = extents.into_iter().filter(|extent| extent.data);
            Ok(data.map(|extent| extent.offset..extent.offset + extent.len).collect())
        })
        .await
    }

    async fn read(&self, start: u64, data: Vec<Range<u64>>, _ctl: &Ctl) -> Result<Block> {
        let image = self.0.clone();
        on_thread("reading the source", move || {
            let end = data.last().map_or(start, |range| range.end);
            let mut buffer = Buffer::take((end - start) as usize);
            let (mut filled, piece, mut examiner) = (0, image.piece_bytes(), Examiner::default());
            for range in data {
                let (from, to) = ((range.start - start) as usize, (range.end - start) as usize);
                buffer[filled..from].fill(0);
                // Hashed while what was read is still at hand.
                for at in (from..to).step_by(piece) {
                    let end = to.min(at + piece);
                    let offset = start + at as u64;
                    image.read_exact_at(offset, &mut buffer[at..end]).map_err(image_error)?;
                    examiner.look(&buffer[..end]);
                }
                filled = to;
            }
            Ok(examiner.finish(buffer.into_bytes()))
        })
        .await
    }
}
