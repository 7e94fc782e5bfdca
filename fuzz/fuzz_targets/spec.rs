//! Specs of volumes and namespaces: never a panic, and what is printed of one that is accepted is accepted as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use volary::{Namespace, VolumeSpec};

fuzz_target!(|text: &str| {
    if let Ok(namespace) = text.parse::<Namespace>() {
        let printed = namespace.to_string();
        assert!(!printed.contains(char::is_control), "{printed:?}");
        assert_eq!(printed.parse::<Namespace>().expect("printed"), namespace);
    }
    let Ok(spec) = text.parse::<VolumeSpec>() else { return };
    let printed = spec.to_string();
    assert!(!printed.contains(char::is_control), "{printed:?}");
    assert_eq!(printed.parse::<VolumeSpec>().expect("printed"), spec);
    // Of the two, one is always refused: a snapshot is no name for a new volume.
    assert!(spec.required_snapshot().is_err() || spec.new_name().is_err());
    assert!(spec.head().require_head().is_ok());
    if let Ok(name) = spec.new_name() {
        assert_eq!(spec.namespace.volume(name), spec);
    }
});
