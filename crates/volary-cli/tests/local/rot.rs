//! Rot in the files of a store: each command that reads whole blocks ends 7, names what is damaged, and publishes nothing.

use crate::harness::Bench;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const BLOCK: usize = 4 << 20;

fn objects(store: &Path) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(store.join("objects")).unwrap();
    let files = dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

/// The file of a block of an image.
fn object(bench: &Bench, image: &Path, block: usize) -> PathBuf {
    let whole = std::fs::read(image).unwrap();
    let holds = |file: &PathBuf| std::fs::read(file).unwrap() == whole[block * BLOCK..][..BLOCK];
    objects(&bench.store).into_iter().find(holds).unwrap()
}

fn flip(file: &Path) {
    let file = std::fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1_000_000).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], 1_000_000).unwrap();
}

type Damage = (&'static str, fn(&Path, &Path));

/// What may happen to the file of a block, beside that of another.
const DAMAGES: [Damage; 4] = [
    ("flipped", |file, _| flip(file)),
    ("short", |file, _| {
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_len(BLOCK as u64 - 4096).unwrap();
    }),
    ("missing", |file, _| std::fs::remove_file(file).unwrap()),
    ("swapped", |file, other| {
        let aside = file.with_extension("aside");
        std::fs::rename(file, &aside).unwrap();
        std::fs::rename(other, file).unwrap();
        std::fs::rename(aside, other).unwrap();
    }),
];

#[test]
fn s13_rot_ends_7_and_is_named_with_volume_block_and_file() {
    for (how, damage) in DAMAGES {
        let bench = Bench::new();
        let image = bench.image("disk.raw", 3);
        bench.ok(&["import", image.to_str().unwrap(), "web", "--snapshot", "base", "--protect"]);
        bench.ok(&["clone", "web@base", "child"]);
        // The only one of these blocks that is read before the other of the swapped two.
        let damaged = object(&bench, &image, 1);
        damage(&damaged, &object(&bench, &image, 2));
        let out = bench.path("out");
        let out = out.to_str().unwrap();
        let commands: [(&str, &[&str]); 8] = [
            ("web@base", &["export", "web@base", out]),
            ("web@base", &["export", "-f", "qcow2", "web@base", out]),
            ("web", &["export", "web", out]),
            ("child", &["export", "child", out]),
            ("web@base", &["cp", "web@base", "copy"]),
            ("child", &["flatten", "child"]),
            ("web@base", &["verify", "web@base"]),
            ("child", &["verify", "--record", "child"]),
        ];
        for (volume, command) in commands {
            let ended = bench.run(command);
            let told = format!("{how}: {command:?}: {}", ended.stderr);
            assert_eq!(ended.code, Some(7), "{told}");
            for named in [bench.shown(volume), "block 1".to_owned(), damaged.display().to_string()] {
                assert!(ended.stderr.contains(&named), "{named}: {told}");
            }
            assert!(!Path::new(out).exists(), "{told}");
        }
        let volumes = bench.json(&["ls"]);
        let names: Vec<_> =
            volumes.as_array().unwrap().iter().map(|of| of["volume"].as_str().unwrap()).collect();
        assert_eq!(names, ["rbd/child", "rbd/web"], "{how}");
        let rescue = bench.json(&["export", "--accept-mismatch", "web@base", out]);
        assert_eq!(rescue["mismatch_accepted"], true, "{how}");
        let (rescued, whole) = (std::fs::read(out).unwrap(), std::fs::read(&image).unwrap());
        assert!(rescued[..BLOCK] == whole[..BLOCK] && rescued != whole, "{how}");
    }
}
