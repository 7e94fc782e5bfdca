//! The formats that are recognised, and which of them are read.

use crate::names::named;
use std::str::FromStr;

named! {
    /// A disk-image format, an archive or a stream that is known by its magic.
    ///
    /// ```
    /// use volary_image::Format;
    /// assert_eq!("qcow2".parse(), Ok(Format::Qcow2));
    /// assert!(Format::Gpt.is_raw_content());
    /// ```
    pub enum Format {
        /// Bytes of a disk as they are; also everything nothing else claims.
        Raw = "raw",
        /// ISO 9660 file system.
        Iso = "iso",
        /// A disk with a GUID partition table.
        Gpt = "gpt",
        /// A disk with a DOS partition table.
        Mbr = "mbr",
        /// QEMU copy-on-write, versions 2 and 3.
        Qcow2 = "qcow2",
        /// QEMU copy-on-write, version 1.
        Qcow1 = "qcow1",
        /// QEMU enhanced disk.
        Qed = "qed",
        /// VMware disk, sparse or a text descriptor.
        Vmdk = "vmdk",
        /// VMware ESX copy-on-write.
        Cowd = "cowd",
        /// VMware space-efficient sparse.
        SeSparse = "sesparse",
        /// Virtual PC disk.
        Vhd = "vhd",
        /// Hyper-V disk.
        Vhdx = "vhdx",
        /// VirtualBox disk.
        Vdi = "vdi",
        /// Parallels disk.
        Parallels = "parallels",
        /// Bochs growing disk.
        Bochs = "bochs",
        /// Compressed loop image.
        Cloop = "cloop",
        /// Apple disk image.
        Dmg = "dmg",
        /// Apple sparse image, of macOS 26 and later.
        Asif = "asif",
        /// Apple sparse image, of earlier releases (`.sparseimage`).
        AppleSparse = "apple_sparse",
        /// Android sparse image.
        AndroidSparse = "android_sparse",
        /// User Mode Linux copy-on-write file.
        UmlCow = "uml_cow",
        /// Nero disc image.
        Nrg = "nrg",
        /// Partclone image of a file system.
        Partclone = "partclone",
        /// Windows imaging file.
        Wim = "wim",
        /// Squashfs file system.
        Squashfs = "squashfs",
        /// LUKS container.
        Luks = "luks",
        /// EnCase evidence file.
        E01 = "e01",
        /// Advanced forensic format.
        Aff = "aff",
        /// `rbd export --export-format 2` stream.
        RbdImage = "rbd_image",
        /// `rbd export-diff` stream.
        RbdDiff = "rbd_diff",
        /// Proxmox VE backup of a virtual machine.
        Vma = "vma",
        /// Description of a virtual machine in OVF, which names its disks.
        Ovf = "ovf",
        /// Description of a virtual machine by VMware, which names its disks.
        Vmx = "vmx",
        /// Zip archive.
        Zip = "zip",
        /// Tar archive.
        Tar = "tar",
        /// OVA: a tar archive that begins with the description of a virtual machine.
        Ova = "ova",
        /// 7z archive.
        SevenZip = "7z",
        /// RAR archive.
        Rar = "rar",
        /// Ar archive, Debian's packages included.
        Ar = "ar",
        /// Cpio archive.
        Cpio = "cpio",
        /// Gzip stream.
        Gzip = "gzip",
        /// Xz stream.
        Xz = "xz",
        /// Zstandard stream.
        Zstd = "zstd",
        /// Bzip2 stream.
        Bzip2 = "bzip2",
        /// LZ4 stream.
        Lz4 = "lz4",
        /// Lzip stream.
        Lzip = "lzip",
        /// Stream of `lzop`.
        Lzo = "lzo",
        /// Stream of `compress` (`.Z`).
        Compress = "compress",
        /// Zchunk file.
        Zchunk = "zchunk",
        /// PDF document.
        Pdf = "pdf",
        /// ELF program or library.
        Elf = "elf",
        /// MP4 or QuickTime video.
        Mp4 = "mp4",
    }
}

/// The text is no format's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown image format")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().copied().find(|format| format.as_str() == text).ok_or(UnknownFormat)
    }
}

impl Format {
    /// Whether the file's bytes are the disk's bytes: raw, ISO, GPT, MBR.
    #[must_use]
    pub fn is_raw_content(self) -> bool {
        matches!(self, Self::Raw | Self::Iso | Self::Gpt | Self::Mbr)
    }

    /// Whether [`crate::Image`] reads it.
    #[must_use]
    pub fn is_readable(self) -> bool {
        self.is_raw_content() || matches!(self, Self::Qcow2 | Self::Vmdk | Self::Vhd | Self::Vhdx | Self::Vdi)
    }

    /// The names of those that are read, for a message: `raw, iso, … or vdi`.
    #[must_use]
    pub fn readable_names() -> String {
        let mut names: Vec<_> = Self::ALL.iter().filter(|f| f.is_readable()).map(|f| f.as_str()).collect();
        let last = names.pop().unwrap_or_default();
        format!("{} or {last}", names.join(", "))
    }
}
