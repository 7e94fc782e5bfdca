//! Keeping a stream in an unnamed file, because image formats must seek.

use super::image_error::image_error;
use super::patient::{Patient, read_error};
use super::transfer::on_thread;
use crate::{Ctl, Error, ErrorKind, Phase, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;
use volary_image::FileSource;

/// The stream itself when it is a file, else an unnamed file of mode 0600 with its bytes, gone when closed.
pub(crate) async fn spool(stream: &File, directory: &Path, ctl: &Ctl) -> Result<FileSource> {
    let cloned = stream.try_clone().map_err(|error| Error::io("taking over the stream", error))?;
    let kind = cloned.metadata().map_err(|error| Error::io("looking at the stream", error))?.file_type();
    // All but a stream is judged as if it had been named: a device that never ends would fill the disk.
    if !kind.is_fifo() && !kind.is_socket() {
        return FileSource::from_file(cloned).map_err(image_error);
    }
    ctl.phase(Phase::Spool, None);
    let (directory, thread_ctl) = (Arc::<Path>::from(directory), ctl.clone());
    let work = on_thread("spooling", move || {
        let file =
            fill(cloned, &directory, &thread_ctl).map_err(|e| e.context("directory", directory.display()))?;
        FileSource::from_file(file).map_err(image_error)
    });
    ctl.transfer("spool", work).await
}

/// An unnamed file of mode 0600 in the directory, gone when it is closed.
pub(super) fn unnamed(directory: &Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            Err(Error::new(ErrorKind::Unsupported, "the file system has no unnamed files for the spool"))
        }
        Err(errno) => Err(Error::io("making the spool", errno.into())),
    }
}

fn fill(stream: File, directory: &Path, ctl: &Ctl) -> Result<File> {
    let mut file = unnamed(directory)?;
    let mut stream = Patient::new(stream, "spool", ctl);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = match stream.read(&mut buffer).map_err(read_error)? {
            0 => return Ok(file),
            read => read,
        };
        file.write_all(&buffer[..read]).map_err(|error| Error::io("writing the spool", error))?;
        ctl.advance(read as u64);
    }
}
