//! The names in a tar archive, to say which of them is a disk (POSIX.1, "ustar Interchange Format").

use crate::metadata::read_failed;
use crate::refusal::ImageError;
use crate::source::ReadAt;

const BLOCK: u64 = 512;
/// Most members that are looked at: an OVA has a description, a manifest, a certificate and its disks.
const MOST: usize = 64;
/// What a disk's name ends in.
const DISKS: [&str; 7] = [".vmdk", ".vhd", ".vhdx", ".vdi", ".qcow2", ".img", ".raw"];

/// The name of the first member of a tar archive that is a disk by its ending. Reads headers only, and trusts none: what makes no sense
/// ends the search.
///
/// # Errors
/// `Io` when the source cannot be read.
pub fn disk_in_tar(source: &dyn ReadAt) -> Result<Option<String>, ImageError> {
    let mut at = 0_u64;
    for _ in 0..MOST {
        if at.checked_add(BLOCK).is_none_or(|end| end > source.len()) {
            break;
        }
        let mut header = [0; BLOCK as usize];
        source.read_exact_at(&mut header, at).map_err(read_failed)?;
        let field = |from: usize, len: usize| {
            header[from..from + len].split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii()
        };
        let name = std::str::from_utf8(field(0, 100)).unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        if DISKS.iter().any(|ending| lower.ends_with(ending)) {
            return Ok(Some(name.to_owned()));
        }
        // Larger members than eleven octal digits can say have their size in another form; none is passed over.
        let size =
            std::str::from_utf8(field(124, 12)).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
        let next = size
            .and_then(|size| size.checked_next_multiple_of(BLOCK))
            .and_then(|size| at.checked_add(BLOCK)?.checked_add(size));
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; 512 + size.next_multiple_of(512)];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        bytes[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        bytes
    }

    #[test]
    fn the_first_disk_is_found_and_nothing_that_lies_is_followed() {
        let archive = [
            member("vm-1.ovf", 700),
            member("vm-1.mf", 3),
            member("vm-disk1.VMDK", 5),
            member("vm-disk2.vmdk", 1),
        ];
        assert_eq!(disk_in_tar(&archive.concat()).unwrap().as_deref(), Some("vm-disk1.VMDK"));
        assert_eq!(disk_in_tar(&archive[..2].concat()).unwrap(), None);
        let mut lying = archive.concat();
        lying[124..135].copy_from_slice(b"77777777777");
        assert_eq!(disk_in_tar(&lying).unwrap(), None);
        lying[124..136].copy_from_slice(&[0xff; 12]);
        assert_eq!(disk_in_tar(&lying).unwrap(), None);
        assert_eq!(disk_in_tar(&vec![0; 1 << 20]).unwrap(), None);
        assert_eq!(disk_in_tar(&vec![b'x'; 100]).unwrap(), None);
    }
}
