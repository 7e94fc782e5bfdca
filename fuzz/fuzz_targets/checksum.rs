//! Checksum files: never a panic, and the digest found is in the text, whatever the line ends and however the
//! file's name begins. The first line of the input is the name that is looked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use volary::Checksum;

fuzz_target!(|text: &str| {
    let _ = text.parse::<Checksum>();
    let Some((name, list)) = text.split_once('\n') else { return };
    let Ok(found) = Checksum::find_in(list, name) else { return };
    assert!(list.to_ascii_lowercase().contains(found.hex()));
    assert_eq!(found.to_string().parse::<Checksum>().expect("printed"), found);
    let same = |list: &str, name: &str| Checksum::find_in(list, name).is_ok_and(|again| again == found);
    if !name.starts_with("./") {
        assert!(same(list, &format!("./{name}")));
    }
    // A lone carriage return before the end of the text would become part of a line's end.
    if !list.ends_with('\r') {
        assert!(same(&format!("{list}\n# comment\n"), name));
    }
    assert!(same(&list.replace("\r\n", "\n").replace('\n', "\r\n"), name));
});
