//! What is noted of a volume that is read: what is not in its content, what the store was told to do with it, and that it is
//! encrypted.

use super::handle::closing;
use crate::engine::{Caveat, CaveatKind, Volume};
use crate::{Ctl, ErrorKind, Result, Store, VolumeSpec};
use bytes::Bytes;
use std::time::Duration;

/// How many bytes tell an encrypted volume: a magic and a version.
pub(super) const HEADER_BYTES: usize = 8;

/// How long they are waited for where nothing else of the content is asked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The note on a volume whose first bytes did not come.
pub(super) const UNREAD: &str =
    "its first bytes did not come within 5 s: `volary doctor` says how the store is";

/// The notes on writes that are not in an open volume's content.
pub(super) async fn of_content(volume: &dyn Volume, ctl: &Ctl) -> Result<Vec<String>> {
    let caveats = volume.caveats(ctl).await?.into_iter();
    Ok(caveats.filter(|of| of.kind != CaveatKind::Task).map(|of| of.to_string()).collect())
}

/// The note on a volume that begins so, when that is the header of an encryption: of `cryptsetup`, which librbd, guests and Cinder use
/// alike, or of librbd for a clone (`librbd::crypto::luks::Magic`).
pub(super) fn of_encryption(first: &[u8]) -> Option<String> {
    let (magic, rest) = first.split_at_checked(6)?;
    match magic {
        b"LUKS\xba\xbe" => {
            let version = u16::from_be_bytes(*rest.first_chunk()?);
            Some(format!(
                "begins with a LUKS header (version {version}): its content is encrypted, by librbd, the guest or Cinder"
            ))
        }
        b"RBDL\xba\xbe" => Some(
            "begins with librbd's header of an encrypted clone (RBDL): its content is encrypted".to_owned(),
        ),
        _ => None,
    }
}

/// The first bytes of an open volume, none where they cannot be read: they are told beside what was asked for.
///
/// # Errors
/// `Deadline` when they do not come in [`PATIENCE`]; `Interrupted`.
pub(super) async fn first_bytes(volume: &dyn Volume, size_bytes: u64, ctl: &Ctl) -> Result<Bytes> {
    let len = usize::try_from(size_bytes).unwrap_or(usize::MAX).min(HEADER_BYTES);
    if len == 0 {
        return Ok(Bytes::new());
    }
    let soon = ctl.clone().stall(ctl.stall_limit().min(PATIENCE));
    match volume.read(0, len, &soon).await {
        Err(error) if !matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Interrupted) => {
            tracing::debug!(error = error.report(), "the first bytes are not read");
            Ok(Bytes::new())
        }
        read => read,
    }
}

impl Store {
    /// What the store was told to do with a volume; nothing, where it cannot be opened.
    pub(super) async fn tasks_of(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Vec<Caveat>> {
        use ErrorKind::{Mismatch, NotFound, Permission, Unsupported};
        let volume = match self.open_to_read(spec, ctl).await {
            Err(error) if matches!(error.kind(), Mismatch | NotFound | Permission | Unsupported) => {
                return Ok(Vec::new());
            }
            volume => volume?,
        };
        let caveats = volume.caveats(ctl).await;
        let mut tasks = closing(&volume, caveats, ctl).await?;
        tasks.retain(|of| of.kind == CaveatKind::Task);
        Ok(tasks)
    }
}

#[cfg(test)]
mod tests {
    use super::of_encryption;

    #[test]
    fn both_headers_are_told_whole_and_nothing_else() {
        assert!(of_encryption(b"LUKS\xba\xbe\0\x02").unwrap().contains("LUKS header (version 2)"));
        assert!(of_encryption(b"RBDL\xba\xbe\0\x01").unwrap().contains("RBDL"));
        for other in [&b""[..], b"LUKS\xba", b"LUKS\xba\xbe\0", b"LUKS\0\0\0\0", b"\xebR\x90NTFS ", &[0; 8]] {
            assert_eq!(of_encryption(other), None, "{other:?}");
        }
    }
}
