//! What is said of the formats that are recognised and not read: what they are, and what opens them.

use crate::format::Format;

/// A format that is never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The name of the format with its article, such as "a zip archive".
    pub what: &'static str,
    /// How a user gets at the disk: a command with `FILE` for the file and `NAME` for the volume, or advice.
    pub way: &'static str,
}

impl Format {
    /// What a format is that is not read, and what opens it; `None` of one that is read.
    ///
    /// ```
    /// use volary_image::Format;
    /// assert!(Format::Qed.unread().is_some_and(|unread| unread.way.contains("qemu-img convert")));
    /// assert!(Format::Qcow2.unread().is_none());
    /// ```
    #[must_use]
    pub fn unread(self) -> Option<Unread> {
        let (what, way) = match self {
            Self::Raw | Self::Iso | Self::Gpt | Self::Mbr => return None,
            Self::Qcow2 | Self::Vmdk | Self::Vhd | Self::Vhdx | Self::Vdi => return None,
            Self::Qcow1 => (
                "a qcow image of version 1",
                "`qemu-img convert -f qcow -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::Qed => {
                ("a QED image", "`qemu-img convert -f qed -O qcow2 FILE disk.qcow2` makes one that is read")
            }
            Self::Cowd => (
                "a copy-on-write disk of VMware ESX",
                "`qemu-img convert -f vmdk -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::SeSparse => (
                "a space-efficient sparse disk of VMware",
                "`qemu-img convert -O qcow2 DESCRIPTOR disk.qcow2`, with the disk's descriptor file, makes one that is read",
            ),
            Self::Parallels => (
                "a Parallels image",
                "`qemu-img convert -f parallels -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::Bochs => (
                "a Bochs image",
                "`qemu-img convert -f bochs -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::Cloop => (
                "a compressed loop image",
                "`qemu-img convert -f cloop -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::Dmg => (
                "an Apple disk image",
                "`qemu-img convert -f dmg -O qcow2 FILE disk.qcow2` makes one that is read",
            ),
            Self::Asif => (
                "an Apple sparse image",
                "attach it on a Mac by `diskutil image attach FILE`, and copy the disk that appears",
            ),
            Self::AppleSparse => (
                "an Apple sparse image",
                "`hdiutil convert FILE -format UDTO -o disk`, on a Mac, makes the raw disk.cdr",
            ),
            Self::AndroidSparse => {
                ("an Android sparse image", "`simg2img FILE disk.raw` makes one that is read")
            }
            Self::UmlCow => (
                "a copy-on-write file of User Mode Linux, without the disk that it changes",
                "`uml_moo FILE disk.raw` makes one disk of both",
            ),
            Self::Nrg => ("a Nero disc image", "`nrg2iso FILE disc.iso` makes one that is read"),
            Self::Partclone => (
                "a partclone image of one file system",
                "`partclone.restore -C -s FILE -O disk.raw` makes one that is read",
            ),
            Self::Wim => (
                "a Windows imaging file, which holds files and no disk",
                "`wimapply FILE 1 DIR` unpacks it into a file system",
            ),
            Self::Squashfs => {
                ("a squashfs file system, which holds files and no disk", "`unsquashfs FILE` unpacks it")
            }
            Self::Luks => (
                "a LUKS container",
                "`cryptsetup open FILE disk` and then `volary import -f raw /dev/mapper/disk NAME` import what is in it",
            ),
            Self::E01 => (
                "an EnCase evidence file",
                "`ewfexport -u -f raw -t disk FILE` makes disk.raw, which is read",
            ),
            Self::Aff => (
                "a file of the advanced forensic format",
                "`affconvert -r FILE` makes a raw disk, which is read",
            ),
            Self::RbdImage => (
                "a stream of `rbd export --export-format 2`",
                "`rbd import --export-format 2 FILE NAME` reads it",
            ),
            Self::RbdDiff => (
                "a stream of `rbd export-diff`, which holds differences and no disk",
                "`rbd import-diff FILE NAME` applies it to the image it was made for",
            ),
            Self::Vma => {
                ("a Proxmox VE backup", "`vma extract FILE DIR` takes the disks out of it; they are raw")
            }
            Self::Ovf => (
                "an OVF description of a virtual machine, which names its disks and holds none",
                "import each disk that it names: `volary import disk.vmdk NAME`",
            ),
            Self::Vmx => (
                "a VMware description of a virtual machine, which names its disks and holds none",
                "import each disk that it names: `volary import disk.vmdk NAME`",
            ),
            Self::Zip => {
                ("a zip archive", "`unzip -p FILE disk.raw | volary import - NAME` imports a disk in it")
            }
            Self::Tar => {
                ("a tar archive", "`tar -xOf FILE disk.raw | volary import - NAME` imports a disk in it")
            }
            Self::Ova => (
                "an OVA",
                "`tar -xOf FILE disk.vmdk | volary import -f vmdk - NAME` imports a disk in it; `tar -tf FILE` lists them",
            ),
            Self::SevenZip => {
                ("a 7z archive", "`7z x -so FILE disk.raw | volary import - NAME` imports a disk in it")
            }
            Self::Rar => {
                ("a RAR archive", "`unrar p -inul FILE disk.raw | volary import - NAME` imports a disk in it")
            }
            Self::Ar => ("an ar archive", "`ar p FILE disk.raw | volary import - NAME` imports a disk in it"),
            Self::Cpio => (
                "a cpio archive",
                "`cpio -i --to-stdout disk.raw < FILE | volary import - NAME` imports a disk in it",
            ),
            Self::Gzip => ("a gzip stream", DECOMPRESS),
            Self::Xz => ("an xz stream", DECOMPRESS),
            Self::Zstd => ("a zstd stream", DECOMPRESS),
            Self::Bzip2 => ("a bzip2 stream", DECOMPRESS),
            Self::Lz4 => ("an LZ4 stream", "`lz4 -dc FILE | volary import - NAME` imports what is in it"),
            Self::Lzip => ("an lzip stream", "`lzip -dc FILE | volary import - NAME` imports what is in it"),
            Self::Lzo => ("a stream of lzop", "`lzop -dc FILE | volary import - NAME` imports what is in it"),
            Self::Compress => {
                ("a stream of compress", "`gzip -dc < FILE | volary import - NAME` imports what is in it")
            }
            Self::Zchunk => ("a zchunk file", "`unzck FILE` unpacks it"),
            Self::Pdf => ("a PDF document", "it holds no disk: see whether it is the file that was meant"),
            Self::Elf => {
                ("an ELF program or library", "it holds no disk: see whether it is the file that was meant")
            }
            Self::Mp4 => ("a video", "it holds no disk: see whether it is the file that was meant"),
        };
        Some(Unread { what, way })
    }
}

const DECOMPRESS: &str = "`--decompress auto` takes compression off, and looks at what is in it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_that_is_not_read_has_a_way_and_no_other_has() {
        for format in Format::ALL {
            assert_eq!(format.unread().is_none(), format.is_readable(), "{format}");
            let Some(Unread { what, way }) = format.unread() else { continue };
            assert!(what.starts_with("a ") || what.starts_with("an "), "{what}");
            assert!(way.len() > 15 && !way.ends_with('.') && way.matches('`').count() % 2 == 0, "{way}");
        }
    }
}
