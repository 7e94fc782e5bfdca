//! Every file that once broke a reader, or what was held of one, as `regressions/README.md` says: opened and read, or refused, as its name tells.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use volary_image::{Format, Image, ImageError, Limits, ReadAt, inspect};

/// How the file is declared, and what must come of it: `read`, or a reason.
fn told(name: &str) -> (Option<Format>, &str) {
    let mut parts = name.split('.');
    let (format, outcome, what) = (parts.next().unwrap(), parts.next(), parts.next());
    let outcome = outcome.filter(|_| what.is_some() && parts.next().is_none());
    let outcome = outcome.unwrap_or_else(|| panic!("`{name}` is not FORMAT.OUTCOME.WHAT"));
    let declared =
        (format != "auto").then(|| format.parse().unwrap_or_else(|_| panic!("`{name}`: a format")));
    (declared, outcome)
}

/// Opens, and reads the disk's start, middle and end: as extents, in one go, and each run again.
fn consume(source: Arc<dyn ReadAt>, declared: Option<Format>) -> Result<(), ImageError> {
    let image = Image::open(source, declared, &Limits::default())?;
    let size = image.size_bytes();
    let mut buffer = vec![0xaa; 1 << 20];
    for start in [0, size / 2, size.saturating_sub(1 << 20)] {
        let len = (size - start).min(1 << 20);
        let extents = image.extents(start, len)?;
        let whole = &mut buffer[..len as usize];
        image.read_exact_at(start, whole)?;
        let mut at = start;
        for extent in extents {
            assert!(extent.offset == at && extent.len > 0, "a gap at {at}");
            let part = &whole[(at - start) as usize..][..extent.len as usize];
            assert!(extent.data || part.iter().all(|&byte| byte == 0), "{extent:?} is not zero");
            let mut again = vec![0x55; part.len()];
            image.read_exact_at(at, &mut again)?;
            assert!(again == part, "{extent:?} reads otherwise alone");
            at += extent.len;
        }
        assert_eq!(at, start + len);
    }
    Ok(())
}

#[test]
fn s06_every_file_that_once_broke_a_reader_ends_as_its_name_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        files += 1;
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() <= 64 << 10, "{name}: larger than a test needs");
        let source: Arc<dyn ReadAt> = Arc::new(bytes);
        let (declared, outcome) = told(name);
        match consume(Arc::clone(&source), declared) {
            Ok(()) => assert_eq!(outcome, "read", "{name}"),
            Err(ImageError::Refused(refusal)) => {
                assert_eq!(refusal.reason.as_str(), outcome, "{name}: {refusal}")
            }
            Err(error) => panic!("{name}: {error}"),
        }
        // Whatever else it is declared to be, it is told and never breaks anything.
        for format in Format::ALL {
            let seen = inspect(&source, Some(*format), &Limits::default()).unwrap();
            assert!(
                !seen.safe || *format == seen.format || seen.format.is_raw_content(),
                "{name} as {format}"
            );
        }
    }
    assert!(files > 0, "there are none");
}
