//! Every hostile image of the generator is refused with its stable reason, and inspection says the same.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use volary_image::{Format, Image, ImageError, Limits, ReadAt, Reason, Verdict, inspect};
use volary_testkit::images::{Cluster, HostileCase, Qcow2, hostile, iso, magics, sample};

fn declared(case: &HostileCase) -> Option<Format> {
    case.declared.map(|name| name.parse().unwrap())
}

/// Opens and reads everything.
fn consume(bytes: Vec<u8>, declared: Option<Format>) -> Result<Vec<u8>, ImageError> {
    let image = Image::open(Arc::new(bytes), declared, &Limits::default())?;
    let mut out = vec![0; usize::try_from(image.size_bytes()).unwrap()];
    image.read_exact_at(0, &mut out)?;
    Ok(out)
}

/// **S6 Untrusted images.** Read by safe Rust; work and memory bounded by the file's length, never by what
/// its header claims; nothing outside the file is opened; exactly one format, equal to the declared one; the
/// whole mapping validated before a volume is created. Only public addresses are fetched from, and no more
/// comes out of a compressed file than is in proportion, unless an option allows it
/// ([sources.md](sources.md)).
#[test]
fn s06_every_hostile_image_is_refused_with_its_reason() {
    let cases = hostile();
    assert!(cases.len() >= 200, "{}", cases.len());
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|case| {
            let format = declared(&case);
            match consume(case.bytes, format) {
                Err(ImageError::Refused(r)) if r.reason.as_str() == case.reason => None,
                other => Some(format!("{}: wanted {}, got {other:?}", case.name, case.reason)),
            }
        })
        .map(|line| line.chars().take(200).collect())
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn inspection_agrees_with_opening_and_ends_with_the_failed_check() {
    for case in hostile() {
        let format = declared(&case);
        let source: Arc<dyn ReadAt> = Arc::new(case.bytes.clone());
        let seen = inspect(&source, format, &Limits::default()).unwrap();
        let opened = Image::open(source, format, &Limits::default());
        assert_eq!(seen.safe, opened.is_ok(), "{}", case.name);
        assert_eq!(seen.file_bytes, case.bytes.len() as u64);
        if let Err(ImageError::Refused(refusal)) = opened {
            assert_eq!(seen.reason, Some(refusal.reason), "{}", case.name);
            let last = seen.checks.last().unwrap();
            assert_eq!((last.verdict, last.name.as_str()), (Verdict::Fail, refusal.check));
        }
    }
}

#[test]
fn every_reason_of_a_content_has_a_case() {
    let cases = hostile();
    for reason in Reason::ALL.iter().filter(|&&r| r != Reason::NotAFile) {
        assert!(cases.iter().any(|case| case.reason == reason.as_str()), "{reason}");
    }
}

#[test]
fn every_reason_tells_its_own_consequence_in_one_sentence() {
    let all: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.consequence()).collect();
    assert_eq!(all.len(), Reason::ALL.len());
    for text in all {
        assert!((40..=110).contains(&text.len()) && !text.ends_with('.') && !text.contains(". "), "{text}");
    }
}

#[test]
fn every_unread_format_is_named() {
    for (name, bytes) in magics() {
        let source: Arc<dyn ReadAt> = Arc::new(bytes);
        let seen = inspect(&source, None, &Limits::default()).unwrap();
        assert_eq!((seen.format.as_str(), seen.safe), (name, false));
    }
    let named = magics();
    for format in Format::ALL.iter().filter(|f| !f.is_readable()) {
        assert!(named.iter().any(|(name, _)| *name == format.as_str()), "{format}");
    }
}

#[test]
fn a_refusal_calls_a_format_what_it_is() {
    for (name, bytes) in magics() {
        let format: Format = name.parse().unwrap();
        let Some(unread) = format.unread() else { continue };
        let error = Image::open(Arc::new(bytes), None, &Limits::default()).unwrap_err();
        assert!(error.refusal().unwrap().detail.starts_with(unread.what), "{name}: {error}");
    }
}

#[test]
fn a_disk_may_hold_a_file_system_that_is_refused_as_a_file() {
    let squashfs = magics().into_iter().find(|(name, _)| *name == "squashfs").unwrap().1;
    let image = Qcow2::new(1 << 20).with(0, Cluster::Plain(squashfs)).build().bytes;
    Image::open(Arc::new(image), None, &Limits::default()).unwrap();
}

#[test]
fn s06_every_truncation_is_refused() {
    let whole = sample().build().bytes;
    for len in (4..whole.len()).step_by(37) {
        let error = consume(whole[..len].to_vec(), None).map(|_| ()).unwrap_err();
        assert_eq!(error.refusal().map(|r| r.reason), Some(Reason::Truncated), "cut at {len}: {error}");
    }
}

#[test]
fn raw_content_is_accepted_as_raw_and_named() {
    let mut gpt = vec![0; 4096];
    gpt[512..520].copy_from_slice(b"EFI PART");
    gpt[446 + 4] = 0xee;
    gpt[446 + 12] = 1;
    gpt[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut mbr = gpt.clone();
    mbr[512..520].fill(0);
    let mut hybrid = iso(20);
    hybrid[..520].copy_from_slice(&gpt[..520]);
    let table = [
        (gpt, Format::Gpt),
        (mbr, Format::Mbr),
        (iso(20), Format::Iso),
        (hybrid, Format::Iso),
        (vec![7; 1024], Format::Raw),
    ];
    for (bytes, format) in table {
        for declared in [None, Some(Format::Raw), Some(format)] {
            let image = Image::open(Arc::new(bytes.clone()), declared, &Limits::default()).unwrap();
            assert_eq!((image.format(), image.size_bytes()), (format, bytes.len() as u64));
            assert_eq!(consume(bytes.clone(), declared).unwrap(), bytes);
        }
    }
}

#[test]
fn header_text_cannot_speak_to_a_terminal() {
    for case in hostile() {
        let format = declared(&case);
        let Err(error) = consume(case.bytes, format) else { continue };
        assert!(!error.to_string().contains(|c: char| c.is_control()), "{}", case.name);
    }
}

#[test]
fn snapshots_are_counted_in_a_note() {
    let mut built = sample().build();
    let at = built.bytes.len() as u64;
    // Two entries; the second names an id of five bytes and extra data of sixteen.
    built.put(at, &[0; 4096]).put32(60, 2).put64(64, at);
    built.put32(at + 40 + 12, 5 << 16).put32(at + 40 + 36, 16);
    let source: Arc<dyn ReadAt> = Arc::new(built.bytes);
    let seen = inspect(&source, None, &Limits::default()).unwrap();
    let note = seen.checks.iter().find(|c| c.name == "qcow2.snapshots").unwrap();
    assert!(seen.safe && note.verdict == Verdict::Note && note.detail.starts_with("2 internal"), "{note:?}");
}

/// A disk of so many bytes with a magic somewhere.
fn with(len: usize, at: usize, magic: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7; len];
    bytes[at..at + magic.len()].copy_from_slice(magic);
    bytes
}

#[test]
fn s06_what_is_raw_for_want_of_anything_else_must_be_as_long_as_a_disk() {
    let page = b"<!doctype html>\n<title>Log in</title>\n".repeat(100);
    // Letters of a text where a file system would have its magic.
    let letters = [with(70_001, 1024, b"H+"), with(70_001, 1030, b"44")];
    let others = [page, b"QFI".to_vec(), vec![7; 511], vec![7; 513], vec![0; 70_001]];
    for bytes in letters.into_iter().chain(others) {
        let open = |declared| Image::open(Arc::new(bytes.clone()), declared, &Limits::default());
        let refusal = open(None).unwrap_err();
        assert_eq!(refusal.refusal().unwrap().reason, Reason::Unrecognised, "{}", bytes.len());
        let image = open(Some(Format::Raw)).unwrap();
        let size = bytes.len().next_multiple_of(512);
        assert_eq!(image.size_bytes(), size as u64);
        assert!(image.notes().iter().any(|note| note.name == "raw.padding"), "{:?}", image.notes());
        let mut disk = vec![0xaa; size];
        image.read_exact_at(0, &mut disk).unwrap();
        assert!(disk[..bytes.len()] == bytes && disk[bytes.len()..].iter().all(|&byte| byte == 0));
        let mut last = [0xaa];
        image.read_exact_at(size as u64 - 1, &mut last).unwrap();
        assert_eq!((last, image.read_exact_at(size as u64, &mut last).is_err()), ([0], true));
    }
    let mut mbr = with(70_001, 450, &[0x83, 0, 0, 0, 1, 0, 0, 0, 9]);
    mbr[446] = 0;
    mbr[459..510].fill(0);
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (bytes, format) in [
        (mbr, Format::Mbr),
        (with(70_001, 1080, b"\x53\xef"), Format::Raw),
        (with(70_001, 0, b"XFSB"), Format::Raw),
        (with(70_001, 512, b"LABELONE"), Format::Raw),
        (with(70_001, 1024, b"H+\0\x04"), Format::Raw),
        (with(70_001, 65_600, b"_BHRfS_M"), Format::Raw),
        ([iso(40), vec![7; 5]].concat(), Format::Iso),
    ] {
        let image = Image::open(Arc::new(bytes.clone()), None, &Limits::default()).unwrap();
        assert_eq!((image.format(), image.size_bytes()), (format, bytes.len().next_multiple_of(512) as u64));
    }
}

#[test]
fn an_image_that_was_not_closed_is_told_of() {
    let mut built = sample().build();
    built.put64(72, 1);
    let image = Image::open(Arc::new(built.bytes), None, &Limits::default()).unwrap();
    assert!(image.notes().iter().any(|note| note.name == "qcow2.dirty"), "{:?}", image.notes());
}

#[test]
fn limits_hold() {
    let bytes = sample().build().bytes;
    for limits in [Limits::default().with_max_virtual_bytes((4 << 20) - 1)] {
        for bytes in [bytes.clone(), vec![1; 4 << 20]] {
            let error = Image::open(Arc::new(bytes), None, &limits).unwrap_err();
            assert_eq!(error.refusal().unwrap().reason, Reason::Limit);
        }
    }
}

#[test]
fn s06_a_spent_budget_is_a_refusal() {
    let (mut tables, mut time) = (Limits::default(), Limits::default());
    tables.max_metadata_bytes = 600;
    time.max_validation = std::time::Duration::ZERO;
    for limits in [tables, time] {
        let error = Image::open(Arc::new(sample().build().bytes), None, &limits).unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.reason, refusal.check), (Reason::Limit, "image.budget"));
    }
}

#[test]
fn only_the_last_cluster_of_the_file_may_be_short_and_what_it_lacks_is_zeros() {
    let mut built = sample().build();
    let (entry, host) = (built.l2_entry(0), built.bytes.len() as u64);
    built.put(host, &[7; 1000]).put64(entry, host);
    let image = Image::open(Arc::new(built.bytes), None, &Limits::default()).unwrap();
    let mut bytes = vec![0xaa; 4096];
    image.read_exact_at(0, &mut bytes).unwrap();
    assert!(bytes[..1000] == [7; 1000] && bytes[1000..] == [0; 3096]);
}

#[test]
fn a_nested_header_is_accepted_only_when_allowed_and_then_noted() {
    let mut disk = vec![0; 4096];
    disk[..4].copy_from_slice(b"KDMV");
    let image = Qcow2 { cluster_bits: 12, ..Qcow2::new(1 << 20) }.with(0, Cluster::Plain(disk)).build().bytes;
    let source: Arc<dyn ReadAt> = Arc::new(image);
    let seen = inspect(&source, None, &Limits::default()).unwrap();
    assert_eq!((seen.safe, seen.reason), (false, Some(Reason::NestedHeader)));
    let seen = inspect(&source, None, &Limits::default().with_nested(true)).unwrap();
    let note = seen.checks.last().unwrap();
    assert!(seen.safe && note.name == "content.nested" && note.verdict == Verdict::Note, "{note:?}");
}

#[test]
fn what_only_resembles_a_magic_is_raw() {
    let mut zip = vec![7; 4096];
    zip[3000..3004].copy_from_slice(b"PK\x05\x06");
    // A FAT volume: the boot signature behind code, not behind a partition table.
    let mut fat = vec![7; 4096];
    fat[510..512].copy_from_slice(&[0x55, 0xaa]);
    // Widths that `compress` does not have; a name of no text; a box that is none; text that only mentions a description.
    let compress = [b"\x1f\x9d\x08", b"\x1f\x9d\xf0", b"\x1f\x9d\x11"].map(|bytes| bytes.to_vec());
    let mut cpio = b"\xc7\x71".to_vec();
    cpio.resize(100, 0);
    cpio[20] = 5;
    let mut others =
        vec![zip, fat, cpio.clone(), b"QFI".to_vec(), b"#\nversion=9\n".to_vec(), b"BZhx".to_vec()];
    cpio[20..].fill(b'x');
    others.extend(compress);
    others.extend([cpio, b"\0\x10\0\0ftypisom".to_vec(), b"about config.version\nx\n".to_vec()]);
    others.extend([b"http://schemas.dmtf.org/ovf/envelope/1".to_vec(), b"\0\nconfig.version = 8\n".to_vec()]);
    for bytes in others {
        let image = Image::open(Arc::new(bytes.clone()), Some(Format::Raw), &Limits::default()).unwrap();
        assert_eq!(image.format(), Format::Raw, "{bytes:?}");
    }
}
