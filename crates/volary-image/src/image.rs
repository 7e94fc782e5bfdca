//! One opened and fully validated image.

use crate::budget::Budget;
use crate::format::Format;
use crate::inspect::{Check, Report, Verdict};
use crate::limits::Limits;
use crate::refusal::{ImageError, Reason, require};
use crate::source::ReadAt;
use crate::{budget, detect, qcow2, raw, vdi, vhd, vhdx, vmdk};
use std::fmt;
use std::io;
use std::sync::Arc;

/// A run of the disk that is either data or zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts on the disk.
    pub offset: u64,
    /// How long it is, never 0.
    pub len: u64,
    /// Whether it may hold other bytes than zeros.
    pub data: bool,
}

/// An accepted image: its whole mapping was validated. Reading is positioned, from any number of threads.
///
/// ```
/// use std::sync::Arc;
/// use volary_image::{Format, Image, Limits};
/// let image = Image::open(Arc::new(vec![7_u8; 1024]), None, &Limits::default())?;
/// assert_eq!((image.format(), image.size_bytes()), (Format::Raw, 1024));
/// # Ok::<(), volary_image::ImageError>(())
/// ```
pub struct Image {
    pub(crate) source: Arc<dyn ReadAt>,
    format: Format,
    size: u64,
    data: u64,
    mapped: Box<dyn Mapped>,
    notes: Vec<Check>,
}

/// What a format's validated mapping answers, to any number of threads. It is given the source anew each time and checks every table
/// entry it uses, since the file may have changed after it was validated.
pub(crate) trait Mapped: Send + Sync {
    /// Notes every run of data the window of `runs` touches, in rising order.
    fn extents(&self, source: &dyn ReadAt, runs: &mut Runs) -> Result<(), ImageError>;

    /// Fills the buffer with the disk's bytes from `offset`; the range is inside the disk.
    fn read(&self, source: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError>;

    /// The bytes of the disk that are stored, and perhaps compressed, as one; 0 when there is no such unit.
    fn unit_bytes(&self) -> usize {
        0
    }
}

/// What a format's reader gives once everything the image maps is validated.
pub(crate) struct Opened {
    /// The size of the disk.
    pub(crate) size: u64,
    /// How many of its bytes are mapped to data.
    pub(crate) data: u64,
    pub(crate) mapped: Box<dyn Mapped>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("format", &self.format)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Image {
    /// Detects, compares with the declared format (`None`: whatever was detected), and validates everything the image maps.
    ///
    /// # Errors
    /// `Refused` with the first rule that is broken; `Io` when the source cannot be read.
    pub fn open(
        source: Arc<dyn ReadAt>,
        declared: Option<Format>,
        limits: &Limits,
    ) -> Result<Self, ImageError> {
        Self::assess(source, declared, limits, &mut Report::new())
    }

    /// The one path of [`Image::open`] and [`crate::inspect`].
    pub(crate) fn assess(
        source: Arc<dyn ReadAt>,
        declared: Option<Format>,
        limits: &Limits,
        report: &mut Report,
    ) -> Result<Self, ImageError> {
        let format = detect::decide(&*source, declared, report)?;
        let budget = Budget::new(&*source, limits);
        let opened = match format {
            Format::Qcow2 => qcow2::open(&budget, limits, report)?,
            Format::Vmdk => vmdk::open(&budget, limits, report)?,
            Format::Vhd => vhd::open(&budget, limits, report)?,
            Format::Vhdx => vhdx::open(&budget, limits, report)?,
            Format::Vdi => vdi::open(&budget, limits, report)?,
            _ => raw::open(&budget, format, limits, report)?,
        };
        if !format.is_raw_content() {
            budget::check_output(opened.data, source.len(), limits)?;
        }
        let Opened { size, data, mapped } = opened;
        let mut image = Self { source, format, size, data, mapped, notes: Vec::new() };
        image.check_content(limits, report)?;
        image.notes = report.checks.iter().filter(|check| check.verdict == Verdict::Note).cloned().collect();
        Ok(image)
    }

    /// The disk itself is looked at too: never to decide how it is read, but for those who would.
    fn check_content(&self, limits: &Limits, report: &mut Report) -> Result<(), ImageError> {
        const CHECK: &str = "content.nested";
        let Some(format) = detect::nested(self)? else {
            report.pass(CHECK, "the disk begins as no other format");
            return Ok(());
        };
        let detail = format!("the disk itself begins as {format}: whoever probes it would take it for that");
        require(limits.allow_nested, Reason::NestedHeader, CHECK, || detail.clone())?;
        report.note(CHECK, detail);
        Ok(())
    }

    /// What the file is: as detected, so raw content may also be `iso`, `gpt` or `mbr`.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The notes of [`crate::inspect`]: facts that are no reason to refuse the image, and that its user should know.
    #[must_use]
    pub fn notes(&self) -> &[Check] {
        &self.notes
    }

    /// The size of the disk.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    /// How many of them are mapped to data.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data
    }

    /// The runs of a window: in order, without gaps, neighbours merged. Memory follows the window: ask for at most 1 GiB at a time.
    ///
    /// # Errors
    /// `Io` when the window leaves the disk or the source cannot be read; `Refused` when the file changed into something invalid.
    pub fn extents(&self, offset: u64, len: u64) -> Result<Vec<Extent>, ImageError> {
        let end = self.inside(offset, len)?;
        let mut runs = Runs { at: offset, end, extents: Vec::new() };
        self.mapped.extents(&*self.source, &mut runs)?;
        runs.zeros_until(end);
        Ok(runs.extents)
    }

    /// How much is best read by one call of [`read_exact_at`](Image::read_exact_at), at a multiple of it: what is read stays in the
    /// processor's cache for whoever looks at it next, and no cluster is decompressed twice.
    #[must_use]
    pub fn piece_bytes(&self) -> usize {
        const IN_CACHE: usize = 256 << 10;
        IN_CACHE.max(self.mapped.unit_bytes())
    }

    /// Fills the buffer with the disk's bytes from `offset`. Each compressed cluster touched is decompressed once a call: read large
    /// aligned blocks.
    ///
    /// # Errors
    /// `Io` when the range leaves the disk or the source cannot be read; `Refused` when a compressed cluster is not exactly one cluster.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        self.inside(offset, buffer.len() as u64)?;
        self.mapped.read(&*self.source, offset, buffer)
    }

    fn inside(&self, offset: u64, len: u64) -> Result<u64, ImageError> {
        offset.checked_add(len).filter(|&end| end <= self.size).ok_or_else(|| ImageError::Io {
            doing: "reading beyond the end of the disk",
            source: io::ErrorKind::InvalidInput.into(),
        })
    }
}

/// Builds the extents of a window from the data ranges, which come in rising order.
pub(crate) struct Runs {
    pub(crate) at: u64,
    pub(crate) end: u64,
    extents: Vec<Extent>,
}

impl Runs {
    fn push(&mut self, end: u64, data: bool) {
        if end <= self.at {
            return;
        }
        let len = end - self.at;
        match self.extents.last_mut() {
            Some(last) if last.data == data => last.len += len,
            _ => self.extents.push(Extent { offset: self.at, len, data }),
        }
        self.at = end;
    }

    fn zeros_until(&mut self, offset: u64) {
        self.push(offset.min(self.end), false);
    }

    /// Notes data in `start..end`, clipped to the window; what was skipped is zeros.
    pub(crate) fn data(&mut self, start: u64, end: u64) {
        self.zeros_until(start);
        self.push(end.min(self.end), true);
    }
}
