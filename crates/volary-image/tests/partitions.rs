//! What is told of partition tables and ISO volumes on raw content: tables in notes, never a refusal.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::sync::Arc;
use volary_image::{Check, Format, Image, Inspection, Limits, ReadAt, Verdict, inspect};
use volary_testkit::images::{gpt, iso, mbr, seal_gpt};

/// Inspects a disk that must be accepted, and read back as it is, whatever its tables say.
fn seen(disk: &[u8], format: Format) -> Inspection {
    let source: Arc<dyn ReadAt> = Arc::new(disk.to_vec());
    let seen = inspect(&source, None, &Limits::default()).unwrap();
    assert!(seen.safe && seen.format == format, "{seen:?}");
    assert_eq!(seen.virtual_size_bytes, Some(disk.len().next_multiple_of(512) as u64));
    let image = Image::open(source, Some(Format::Raw), &Limits::default()).unwrap();
    let mut bytes = vec![0; disk.len()];
    image.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes == disk);
    seen
}

fn named<'a>(seen: &'a Inspection, name: &str) -> Vec<&'a Check> {
    seen.checks.iter().filter(|check| check.name == name).collect()
}

/// The verdicts and details of the checks with a name.
fn told(disk: &[u8], format: Format, name: &str) -> Vec<(Verdict, String)> {
    let seen = seen(disk, format);
    named(&seen, name).iter().map(|check| (check.verdict, check.detail.clone())).collect()
}

/// The one note of a name, which must contain a text.
fn assert_note(disk: &[u8], name: &str, text: &str) {
    let told = told(disk, Format::Gpt, name);
    assert!(
        matches!(told.as_slice(), [(Verdict::Note, detail)] if detail.contains(text)),
        "wanted a note of {name:?} with {text:?}, got {told:?}"
    );
}

fn put(disk: &mut [u8], at: usize, value: u64, len: usize) {
    disk[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
}

#[test]
fn a_sound_gpt_passes_in_both_sector_sizes() {
    for sector in [512, 4096] {
        let seen = seen(&gpt(sector), Format::Gpt);
        for name in ["gpt.header", "gpt.entries"] {
            let checks = named(&seen, name);
            assert!(checks.len() == 1 && checks[0].verdict == Verdict::Pass, "{sector}, {name}: {checks:?}");
        }
        assert!(named(&seen, "gpt.header")[0].detail.contains(&format!("sectors of {sector}")));
    }
}

#[test]
fn what_is_wrong_with_a_gpt_is_one_note() {
    for sector in [512_usize, 4096] {
        // Offset in the header, length of the field, value, what the note says; the checksum is made to agree.
        let table: &[(usize, usize, u64, &str)] = &[
            (24, 8, 0, "at sector 0, not 1"),
            (24, 8, 2, "at sector 2, not 1"),
            (24, 8, u64::MAX, "not 1"),
            (32, 8, 128, "backup header at sector 128"),
            (32, 8, u64::MAX, "backup header"),
            (40, 8, 127, "usable sectors 127 to 126"),
            (40, 8, u64::MAX, "usable sectors"),
            (48, 8, 128, "to 128 are not in the disk of 128"),
            (48, 8, u64::MAX, "usable sectors"),
            (48, 8, 0, "to 0 are not"),
            (72, 8, 0, "at sector 0"),
            (72, 8, 1, "at sector 1"),
            (72, 8, 128, "not in the disk"),
            (72, 8, u64::MAX, "not in the disk"),
            (72, 8, u64::MAX / 512 + 1, "not in the disk"),
            (80, 4, 0, "0 entries of 128"),
            (80, 4, 0xffff_ffff, "not in the disk"),
            (84, 4, 0, "128 entries of 0"),
            (84, 4, 64, "128 entries of 64"),
            (84, 4, 129, "128 entries of 129"),
            (84, 4, 192, "128 entries of 192"),
            (84, 4, 1 << 31, "not in the disk"),
            (84, 4, 0xffff_ffff, "128 entries of 4294967295"),
        ];
        for &(at, len, value, text) in table {
            let mut disk = gpt(sector);
            put(&mut disk, sector + at, value, len);
            seal_gpt(&mut disk, sector);
            assert_note(&disk, "gpt.header", text);
            // The entries of a header that is wrong are not looked at.
            assert_eq!(told(&disk, Format::Gpt, "gpt.entries"), []);
        }
        for length in [0, 1, 91, sector as u64 + 1, 0xffff_ffff] {
            let mut disk = gpt(sector);
            put(&mut disk, sector + 12, length, 4);
            seal_gpt(&mut disk, sector);
            assert_note(&disk, "gpt.header", &format!("a header of {length} bytes"));
        }
        for at in [sector + 16, sector + 60, sector + 91] {
            let mut disk = gpt(sector);
            disk[at] ^= 1;
            assert_note(&disk, "gpt.header", "checksum is wrong");
        }
        for at in [2 * sector, 2 * sector + 128 * 128 - 1] {
            let mut disk = gpt(sector);
            disk[at] ^= 1;
            assert_note(&disk, "gpt.entries", "checksum is wrong");
        }
    }
}

#[test]
fn headers_of_every_length_are_summed_as_long_as_they_are() {
    for sector in [512_usize, 4096] {
        for length in [92, 93, sector - 1, sector] {
            let mut disk = gpt(sector);
            put(&mut disk, sector + 12, length as u64, 4);
            seal_gpt(&mut disk, sector);
            assert_eq!(told(&disk, Format::Gpt, "gpt.header")[0].0, Verdict::Pass, "{length}");
            disk[sector + length - 1] ^= 1;
            assert_note(&disk, "gpt.header", "checksum is wrong");
            disk[sector + length - 1] ^= 1;
            if length < sector {
                disk[sector + length] ^= 1;
                assert_eq!(told(&disk, Format::Gpt, "gpt.header")[0].0, Verdict::Pass, "{length}");
            }
        }
    }
}

#[test]
fn a_cut_disk_is_noted_and_a_grown_one_passes() {
    for sector in [512, 4096] {
        let disk = gpt(sector);
        let mut grown = disk.clone();
        grown.resize(disk.len() + 100 * sector, 0);
        assert_eq!(told(&grown, Format::Gpt, "gpt.header")[0].0, Verdict::Pass);
        assert_note(&disk[..127 * sector], "gpt.header", "backup header at sector 127");
        assert_note(&disk[..2 * sector], "gpt.header", "not in the disk");
        // The header itself is cut, at any byte behind the signature.
        for cut in [8, 9, 91, 92, 511] {
            assert_note(&disk[..sector + cut], "gpt.header", "");
        }
    }
}

#[test]
fn too_many_entries_are_told_and_not_read() {
    let sector = 512;
    let mut disk = gpt(sector);
    disk.resize(3 << 20, 0);
    for (count, name, verdict) in [(8192, "gpt.entries", Verdict::Pass), (8193, "gpt.entries", Verdict::Note)]
    {
        put(&mut disk, sector + 80, count, 4);
        seal_gpt(&mut disk, sector);
        assert_eq!(told(&disk, Format::Gpt, name)[0].0, verdict, "{count}");
    }
}

#[test]
fn dos_partitions_are_counted_and_those_outside_told() {
    let max = u32::MAX;
    // The partitions, how many count, and the numbers of those that leave the disk of 64 sectors.
    type Case<'a> = (&'a [(u8, u32, u32)], usize, &'a [usize]);
    let table: &[Case<'_>] = &[
        (&[(0x83, 1, 63)], 1, &[]),
        (&[(0x83, 1, 64)], 1, &[1]),
        (&[(0x83, 64, 1)], 1, &[1]),
        (&[(0x83, max, max), (0, max, max), (7, 0, 0), (0x0c, 8, 8)], 2, &[1]),
        (&[(0x83, 1, 1), (0x82, 2, 1), (0x05, 3, 1), (0x0b, 60, 5)], 4, &[4]),
    ];
    for (partitions, count, outside) in table {
        let disk = mbr(64, partitions);
        assert_eq!(told(&disk, Format::Mbr, "mbr.partitions"), [(Verdict::Note, count.to_string())]);
        let bounds = told(&disk, Format::Mbr, "mbr.bounds");
        assert_eq!(bounds.len(), outside.len(), "{bounds:?}");
        for ((verdict, detail), number) in bounds.iter().zip(*outside) {
            assert!(
                *verdict == Verdict::Note && detail.starts_with(&format!("partition {number} ")),
                "{detail}"
            );
        }
    }
}

#[test]
fn a_sound_iso_passes_and_so_does_one_behind_partition_tables() {
    let mut hybrid = iso(20);
    hybrid[..512].copy_from_slice(&mbr(1, &[(0x17, 0, 80)]));
    for disk in [iso(20), iso(19), iso(40), hybrid] {
        let seen = seen(&disk, Format::Iso);
        for name in ["iso.descriptor", "iso.root_directory"] {
            assert_eq!(named(&seen, name).len(), 1, "{name}");
        }
    }
}

#[test]
fn descriptors_between_the_primary_and_the_terminator_are_left_alone() {
    let mut disk = iso(40);
    let terminator = disk[17 * 2048..18 * 2048].to_vec();
    // The boot record of El Torito, a second primary, a supplementary and a partition descriptor; the root is behind them.
    let primary = disk[16 * 2048..17 * 2048].to_vec();
    for (sector, kind) in [(17, 0), (18, 1), (19, 2), (20, 3)] {
        let descriptor = &mut disk[sector * 2048..][..2048];
        descriptor.copy_from_slice(&primary);
        descriptor[0] = kind;
        if kind != 1 {
            descriptor[80..190].fill(0xff);
        }
    }
    disk[21 * 2048..22 * 2048].copy_from_slice(&terminator);
    seen(&disk, Format::Iso);
    // The sixteenth is the last that may be the terminator.
    let mut long = iso(40);
    for sector in 17..31 {
        long[sector * 2048..][..7].copy_from_slice(b"\x02CD001\x01");
    }
    long[31 * 2048..32 * 2048].copy_from_slice(&terminator);
    seen(&long, Format::Iso);
}

#[test]
fn what_sgdisk_and_sfdisk_write_passes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    std::fs::write(&path, vec![0; 8 << 20]).unwrap();
    let arguments = ["-n", "1:2048:4095", "-n", "2:0:0"];
    // Only where it is installed; the disks of the generator above are always there.
    if Command::new("sgdisk").args(arguments).arg(&path).output().is_ok_and(|output| output.status.success())
    {
        let disk = std::fs::read(&path).unwrap();
        for name in ["gpt.header", "gpt.entries"] {
            assert_eq!(told(&disk, Format::Gpt, name)[0].0, Verdict::Pass, "{name}");
        }
    }
    let script = dir.path().join("script");
    std::fs::write(&script, "label: dos\n2048,2048,83\n,,83\n").unwrap();
    std::fs::write(&path, vec![0; 8 << 20]).unwrap();
    let input = std::fs::File::open(&script).unwrap();
    if Command::new("sfdisk").arg("-q").arg(&path).stdin(input).output().is_ok_and(|o| o.status.success()) {
        let disk = std::fs::read(&path).unwrap();
        assert_eq!(told(&disk, Format::Mbr, "mbr.partitions"), [(Verdict::Note, "2".to_owned())]);
        assert_eq!(told(&disk, Format::Mbr, "mbr.bounds"), []);
    }
}
