//! What commands that read a disk image share: the source and its declared format.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use volary::{Error, ErrorKind, ImageFormat, ImportSource, Result, escape};

/// The source an argument means; a piped one is kept in the user's directory for temporary files.
pub(crate) fn parse(argument: PathBuf) -> Result<ImportSource> {
    ImportSource::from_argument(argument, || {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        let file = File::from(stdin.map_err(|error| Error::io("taking over standard input", error))?);
        Ok(ImportSource::Stream { file, spool_dir: spool_dir() })
    })
}

/// The user's directory for temporary files; not /tmp, which is often memory: an image can be larger than that.
pub(crate) fn spool_dir() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// The source, opened now when it is a file. `None` when it cannot be: using it then says why.
pub(crate) fn open(argument: &Path) -> Option<ImportSource> {
    match parse(argument.to_owned()).ok()? {
        ImportSource::Path(path) => ImportSource::opened(&path).ok(),
        source => Some(source),
    }
}

/// The source that was opened before, or else what the argument means.
pub(crate) fn opened_or(opened: Option<ImportSource>, argument: PathBuf) -> Result<ImportSource> {
    opened.map_or_else(|| parse(argument), Ok)
}

/// A declared format; `auto` declares none.
pub(crate) fn format(text: &str) -> Result<Option<ImageFormat>> {
    if text == "auto" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let shown = escape(text.as_bytes()).into_owned();
        Error::new(ErrorKind::Usage, format!("`{shown}` is not a format"))
            .hint(format!("write auto, {}", ImageFormat::readable_names()))
    })
}
