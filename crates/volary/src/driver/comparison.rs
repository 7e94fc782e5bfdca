//! What is read, compared with the digest that was recorded of it.

use super::content_record::DigestRecord;
use crate::digest::ContentDigest;
use crate::engine::{Stat, Volume};
use crate::{Ctl, Error, ErrorKind, Result};

/// The record of what is about to be read.
pub(crate) struct Recorded {
    record: Option<DigestRecord>,
    /// As it was before the first read.
    stat: Stat,
}

/// How what was read compares with the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    /// The digest that was recorded.
    pub(crate) expected: Option<ContentDigest>,
    /// Whether what was read has it.
    pub(crate) matches: Option<bool>,
    /// How many bytes did not match what the store knows of them, and were read all the same.
    pub(crate) mismatched_bytes: u64,
    /// Whether something was taken that would have been refused.
    pub(crate) accepted: bool,
}

impl Recorded {
    /// Reads the record, if there is one.
    pub(crate) async fn of(volume: &dyn Volume, stat: &Stat, ctl: &Ctl) -> Result<Self> {
        let record = DigestRecord::read(volume, stat, ctl).await?;
        Ok(Recorded { record, stat: stat.clone() })
    }

    /// Compares the digest of what was read, when reading has ended.
    ///
    /// # Errors
    /// `Mismatch` where the record holds for certain and the digest is another one, unless that is accepted.
    pub(crate) async fn compare(
        &self,
        actual: ContentDigest,
        mismatched_bytes: u64,
        accept: bool,
        volume: &dyn Volume,
        ctl: &Ctl,
    ) -> Result<Compared> {
        let expected = self.record.as_ref().map(|record| record.digest);
        let matches = expected.map(|expected| expected == actual);
        let mut compared = Compared { expected, matches, mismatched_bytes, accepted: mismatched_bytes > 0 };
        let (Some(record), Some(false)) = (&self.record, matches) else { return Ok(compared) };
        if !self.is_certain(record, volume, ctl).await? {
            tracing::warn!(id = %self.stat.id, "the content is not what was recorded: the volume may have been written since");
            return Ok(compared);
        }
        if !accept {
            return Err(Error::new(ErrorKind::Mismatch, "the content is not what was recorded")
                .context("expected", record.digest)
                .context("actual", actual)
                .hint("restore the volume from a copy, or take it as it is with --accept-mismatch"));
        }
        tracing::warn!(id = %self.stat.id, "the content is not what was recorded, and is taken all the same");
        compared.accepted = true;
        Ok(compared)
    }

    /// A snapshot never changes. A head is as it was recorded as long as the time of its last change says so, before and after reading,
    /// where the store notes that time before the first byte changes.
    async fn is_certain(&self, record: &DigestRecord, volume: &dyn Volume, ctl: &Ctl) -> Result<bool> {
        if self.stat.snapshot.is_some() {
            return Ok(true);
        }
        let as_recorded =
            |stat: &Stat| stat.modified == record.modified && stat.size_bytes == record.size_bytes;
        Ok(self.stat.modified_is_exact && as_recorded(&self.stat) && as_recorded(&volume.stat(ctl).await?))
    }
}
