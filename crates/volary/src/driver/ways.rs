//! What to do about a source that is refused: whole commands, with the name that the user gave it.

use volary_image::{Format, ReadAt, Reason, detect, disk_in_tar};

/// The way out of a refusal for `reason` by `check`; `shown` is the source's path, URL or `-`, and `unwraps` whether compression was
/// asked to be taken off already. `None` where there is nothing to do but look.
pub(crate) fn way(
    reason: Reason,
    check: &str,
    file: &dyn ReadAt,
    shown: &str,
    unwraps: bool,
) -> Option<String> {
    let format = detect(file).ok().and_then(|seen| seen.single());
    let text = match (reason, format) {
        (Reason::NestedHeader, _) => {
            "--allow-nested accepts it, if nothing ever probes the volume for its format".to_owned()
        }
        (Reason::BannedFormat | Reason::FormatMismatch, Some(format)) => match format.unread() {
            Some(_) if unwraps && is_compression(format) => return None,
            Some(unread) => named(unread.way, format, file),
            None => format!("`-f {format}` declares what it is, if that is what was meant"),
        },
        (Reason::BackingFile, Some(Format::Vdi)) => {
            "`VBoxManage clonemedium FILE whole.vdi`, where its parent is, makes it one file".to_owned()
        }
        (Reason::BackingFile, Some(Format::Vhd | Format::Vhdx)) => {
            "`Convert-VHD` of Hyper-V, where its parent is, makes it one file".to_owned()
        }
        (Reason::BackingFile | Reason::DataFile, Some(format)) => format!(
            "`qemu-img convert -f {format} -O qcow2 FILE whole.qcow2`, where the files are that it names, makes it one file"
        ),
        (Reason::Encrypted, Some(Format::Qcow2)) => {
            "`qemu-img convert` with its key (`--object secret,…`) makes one that is not encrypted".to_owned()
        }
        (Reason::UnknownFeature, Some(Format::Vhdx)) if check == "vhdx.log" => {
            "`qemu-img check -r all FILE` replays its log, and so does Hyper-V when it opens and closes the disk".to_owned()
        }
        (Reason::UnknownFeature, Some(Format::Qcow2)) if check == "qcow2.features" => {
            "`qemu-img check -r all FILE` repairs one that is marked corrupt, as far as it can be".to_owned()
        }
        (Reason::Unrecognised, _) => {
            "`-f raw` takes it as it is, filled up with zeros to a whole sector, if it is a disk all the same".to_owned()
        }
        (Reason::Truncated, _) => "it is not all of it: copy it, or fetch it, again".to_owned(),
        _ => return None,
    };
    Some(text.replace("FILE", path(shown)))
}

fn is_compression(format: Format) -> bool {
    matches!(format, Format::Gzip | Format::Xz | Format::Zstd | Format::Bzip2)
}

/// The way of a format that is not read, with the name of the disk in an archive.
fn named(way: &str, format: Format, file: &dyn ReadAt) -> String {
    let disk = match format {
        Format::Ova | Format::Tar => disk_in_tar(file).ok().flatten().filter(|name| is_plain(name)),
        _ => None,
    };
    let Some(disk) = disk else { return way.to_owned() };
    let lower = disk.to_ascii_lowercase();
    let readable = ["vmdk", "vhdx", "vhd", "vdi", "qcow2"]
        .into_iter()
        .find(|ending| lower.ends_with(&format!(".{ending}")));
    let declared = readable.map_or_else(String::new, |format| format!(" -f {format}"));
    let rest = if format == Format::Ova { "; `tar -tf FILE` lists all of them" } else { "" };
    format!("`tar -xOf FILE {disk} | volary import{declared} - NAME` imports a disk in it{rest}")
}

/// The path where it can stand in a command as it is, else a word that stands for it.
fn path(shown: &str) -> &str {
    if is_plain(shown) && !shown.contains("://") { shown } else { "FILE" }
}

/// Whether a shell takes a text for one word that is itself, and no command for a flag.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=,@%/:".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

/// What a file's name says of its format, where that is not what is in it: told in a note. `compression` is what was taken off, and its
/// ending is passed over.
pub(crate) fn misnamed(name: &str, compression: Option<Format>, found: Format) -> Option<String> {
    const ENDINGS: [(&str, &[Format]); 21] = [
        ("raw", &[Format::Raw, Format::Iso, Format::Gpt, Format::Mbr]),
        ("iso", &[Format::Iso]),
        ("qcow2", &[Format::Qcow2]),
        ("qcow", &[Format::Qcow1, Format::Qcow2]),
        ("qed", &[Format::Qed]),
        ("vmdk", &[Format::Vmdk, Format::Cowd, Format::SeSparse]),
        ("vhd", &[Format::Vhd]),
        ("vpc", &[Format::Vhd]),
        ("vhdx", &[Format::Vhdx]),
        ("vdi", &[Format::Vdi]),
        ("hdd", &[Format::Parallels]),
        ("dmg", &[Format::Dmg]),
        ("ova", &[Format::Ova]),
        ("tar", &[Format::Tar, Format::Ova]),
        ("zip", &[Format::Zip]),
        ("7z", &[Format::SevenZip]),
        ("gz", &[Format::Gzip]),
        ("xz", &[Format::Xz]),
        ("zst", &[Format::Zstd]),
        ("bz2", &[Format::Bzip2]),
        ("lz4", &[Format::Lz4]),
    ];
    let of = |name: &str| {
        let (rest, ending) = name.rsplit_once('.')?;
        let ending = ending.to_ascii_lowercase();
        let known = ENDINGS.iter().find(|(known, _)| *known == ending)?;
        Some((rest.to_owned(), known.0, known.1))
    };
    let name = match (compression, of(name)) {
        (Some(compression), Some((rest, _, formats))) if formats.contains(&compression) => rest,
        _ => name.to_owned(),
    };
    let (_, ending, formats) = of(&name)?;
    (!formats.contains(&found)).then(|| format!("the name ends in .{ending}, the content is {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_in_a_command_only_where_a_shell_takes_it_as_it_is() {
        let qed = b"QED\0".to_vec();
        let way = |shown| way(Reason::BannedFormat, "format.readable", &qed, shown, false).unwrap();
        assert!(way("/var/a.qed").contains("qcow2 /var/a.qed disk.qcow2"), "{}", way("/var/a.qed"));
        for shown in ["a b", "$(reboot)", "-rf", "-", "https://x/y", "a\\x0a", ""] {
            assert!(way(shown).contains(" FILE "), "{shown}: {}", way(shown));
        }
    }

    #[test]
    fn a_name_is_compared_with_what_is_in_the_file() {
        let table = [
            ("disk.qcow2", None, Format::Qcow2, None),
            ("disk.VMDK", None, Format::Qcow2, Some("vmdk")),
            ("disk.img", None, Format::Qcow2, None),
            ("disk.raw", None, Format::Mbr, None),
            ("disk.raw", None, Format::Qcow2, Some("raw")),
            ("disk.iso", None, Format::Raw, Some("iso")),
            ("disk.vmdk.gz", Some(Format::Gzip), Format::Vmdk, None),
            ("disk.vmdk.gz", Some(Format::Gzip), Format::Raw, Some("vmdk")),
            ("disk.gz", Some(Format::Gzip), Format::Raw, None),
            ("disk.gz", Some(Format::Xz), Format::Raw, Some("gz")),
            ("vmdk", None, Format::Qcow2, None),
            ("-", None, Format::Qcow2, None),
        ];
        for (name, compression, found, told) in table {
            let seen = misnamed(name, compression, found);
            assert_eq!(seen.is_some(), told.is_some(), "{name}: {seen:?}");
            assert!(told.is_none_or(|ending| seen.unwrap().contains(&format!(".{ending},"))), "{name}");
        }
    }
}
