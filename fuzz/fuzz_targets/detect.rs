//! Detection and inspection of any bytes: never a panic, and inspection agrees with opening.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use volary_image::{Format, Image, Limits, ReadAt, detect, inspect};

fuzz_target!(|data: &[u8]| {
    let source: Arc<dyn ReadAt> = Arc::new(data.to_vec());
    let seen = detect(&*source).expect("memory reads do not fail");
    for declared in [None, Some(Format::Raw), Some(Format::Qcow2)] {
        let report = inspect(&source, declared, &Limits::default()).expect("memory reads do not fail");
        let opened = Image::open(Arc::clone(&source), declared, &Limits::default());
        assert_eq!(report.safe, opened.is_ok());
        // What is declared raw is never read as anything else.
        if let (Some(Format::Raw), Ok(image)) = (declared, &opened) {
            assert!(
                image.format().is_raw_content()
                    && image.size_bytes() == data.len().next_multiple_of(512) as u64
            );
        }
    }
    let _ = seen.single();
});
