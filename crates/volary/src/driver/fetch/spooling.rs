//! The unnamed file that what comes is kept in.

use super::super::image_error::image_error;
use super::super::spool::unnamed;
use super::super::transfer::on_thread;
use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use volary_image::FileSource;

/// So much is gathered before a thread writes it.
const PIECE_BYTES: usize = 1 << 20;

/// A spool being filled.
pub(super) struct Spooling {
    file: Arc<File>,
    written: u64,
    gathered: Vec<u8>,
}

impl Spooling {
    pub(super) async fn begin(directory: PathBuf) -> Result<Self> {
        let file = on_thread("making the spool", move || unnamed(&directory)).await?;
        Ok(Spooling { file: Arc::new(file), written: 0, gathered: Vec::new() })
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Keeps bytes.
    pub(super) async fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES { self.write().await } else { Ok(()) }
    }

    /// Forgets all that has come.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.gathered.clear();
        self.written = 0;
        let file = self.file.clone();
        on_thread("emptying the spool", move || {
            file.set_len(0).map_err(|error| Error::io("emptying the spool", error))
        })
        .await
    }

    async fn write(&mut self) -> Result<()> {
        let (file, at, bytes) = (self.file.clone(), self.written, std::mem::take(&mut self.gathered));
        self.written += bytes.len() as u64;
        self.gathered = on_thread("writing the spool", move || {
            file.write_all_at(&bytes, at).map_err(|error| Error::io("writing the spool", error))?;
            let mut emptied = bytes;
            emptied.clear();
            Ok(emptied)
        })
        .await?;
        Ok(())
    }

    /// The file, when all has come.
    pub(super) async fn finish(mut self) -> Result<FileSource> {
        self.write().await?;
        let file = self.file;
        on_thread("opening the spool", move || {
            let file = file.try_clone().map_err(|error| Error::io("opening the spool", error))?;
            FileSource::from_file(file).map_err(image_error)
        })
        .await
    }
}
