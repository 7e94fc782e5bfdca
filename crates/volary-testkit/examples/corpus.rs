//! Writes the fuzz targets' seeds: `corpus DIR` makes a folder of each target's name in `DIR`, with what that target takes: a file, or
//! what it makes a file of.

use std::{env, fs, io, path::Path};
use volary_testkit::images::{
    HostileCase, Sample, gpt, hostile, iso, magics, mbr, sample, valid, vdi, vhd, vmdk,
};

/// Larger seeds slow the fuzzer more than they teach it; a VHD has blocks of half a MiB at least.
const LARGEST: usize = 600 << 10;

/// A seed's name and bytes.
type Seed = (String, Vec<u8>);

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: corpus DIR"))?;
    let targets = [
        ("checksum", texts(CHECKSUMS)),
        ("detect", detect()),
        ("qcow2", qcow2()),
        ("raw", raw()),
        ("spec", texts(SPECS)),
        (
            "vdi",
            files(vdi::valid(), vdi::hostile()).map(|(name, file)| (name, without_blocks(file))).collect(),
        ),
        ("vhd", files(vhd::valid(), vhd::hostile()).collect()),
        ("vhdx", edits()),
        ("vmdk", files(vmdk::valid(), vmdk::hostile()).flat_map(bare_and_dressed).collect()),
    ];
    for (target, seeds) in targets {
        let folder = Path::new(&directory).join(target);
        fs::create_dir_all(&folder)?;
        for (number, (name, bytes)) in seeds.into_iter().enumerate() {
            if bytes.len() > LARGEST {
                continue;
            }
            // Some names are sentences, and two may be alike but for their punctuation.
            let words = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(80);
            let file = format!("{number:03}-{}", words.collect::<String>());
            fs::write(folder.join(file), bytes)?;
        }
    }
    Ok(())
}

fn files(good: Vec<Sample>, bad: Vec<HostileCase>) -> impl Iterator<Item = Seed> {
    let good = good.into_iter().map(|sample| (format!("valid-{}", sample.name), sample.file));
    good.chain(bad.into_iter().map(|case| (format!("{}-{}", case.reason, case.name), case.bytes)))
}

fn qcow2() -> Vec<Seed> {
    let good = valid().into_iter().chain([("sample".to_owned(), sample())]);
    let good = good.map(|(name, image)| (format!("valid-{name}"), image.build().bytes));
    good.chain(files(Vec::new(), hostile())).filter(|(_, file)| file.starts_with(b"QFI\xfb")).collect()
}

/// One of each kind: what is special about a format is its own target's.
fn detect() -> Vec<Seed> {
    let kinds = magics().into_iter().map(|(name, file)| (name.to_owned(), file));
    let images = [("sample", sample().build().bytes), ("iso", iso(20)), ("empty", Vec::new())];
    let images = images.into_iter().chain([("gpt", gpt(512)), ("gpt4096", gpt(4096))]);
    let all = kinds.chain(images.map(|(name, file)| (name.to_owned(), file)));
    all.enumerate().map(|(number, (name, file))| (format!("{name}-{number}"), file)).collect()
}

fn raw() -> Vec<Seed> {
    let table = mbr(64, &[(0x83, 1, 30), (0x0f, 31, 33), (0xee, 1, u32::MAX)]);
    // Behind its entries a disk with sectors of 4 KiB only has more zeros.
    let large = gpt(4096)[..6 * 4096].to_vec();
    let disks =
        [("mbr", table), ("gpt", gpt(512)), ("gpt4096", large), ("iso", iso(20)), ("zeros", vec![0; 4096])];
    disks.map(|(name, disk)| (name.to_owned(), disk)).into()
}

/// The target of VDI adds the blocks that the header counts.
fn without_blocks(mut file: Vec<u8>) -> Vec<u8> {
    let data =
        file.get(344..348).and_then(|field| field.first_chunk()).map_or(0, |at| u32::from_le_bytes(*at));
    if data >= 512 {
        file.truncate(data as usize);
    }
    file
}

/// The first byte of the target of VMDK says whether a header and a descriptor are put in front of the rest: of three sectors.
fn bare_and_dressed((name, file): Seed) -> Vec<Seed> {
    let with = |kind: u8, rest: &[u8]| [&[kind][..], rest].concat();
    let behind = file.get(3 * 512..).unwrap_or_default();
    let mut seeds = vec![(name.clone(), with(0, &file))];
    if name.starts_with("valid") {
        seeds.extend((8..16).map(|kind| (format!("{name}-{kind}"), with(kind, behind))));
    }
    seeds
}

/// The target of VHDX takes flags and a list of edits of a valid image: place, offset, length, bytes.
fn edits() -> Vec<Seed> {
    let edit = |number: usize| {
        let (place, at) = (number % 5, number / 5 * 8);
        let bytes = [0, place as u8, at as u8, 8, 1, 0, 0, 0, 0, 0, 0, 0];
        (format!("edit-{number}"), bytes.to_vec())
    };
    (0..5 * 8).map(edit).chain([("none".to_owned(), vec![0]), ("cut".to_owned(), vec![3])]).collect()
}

fn texts(all: &[&str]) -> Vec<Seed> {
    all.iter().enumerate().map(|(number, text)| (number.to_string(), text.as_bytes().to_vec())).collect()
}

const SPECS: &[&str] = &[
    "web",
    "ssd/web",
    "ssd/tenant-7/web@golden",
    "id:10ab6e1f0c3d",
    "ssd/tenant-7/id:10ab6e1f0c3d@golden",
    "rbd/id\\x3a10ab",
    "a\\\\b@c\\x40d",
    "größe@\\xff\\x00",
    "a@b@c",
    "a/b/c/d",
    "/a",
    "p/",
    "id:",
    "a\\q",
];

const CHECKSUMS: &[&str] = &[
    "a.img\nd41d8cd98f00b204e9800998ecf8427e  a.img\n",
    "a.img\nd41d8cd98f00b204e9800998ecf8427e *dir/a.img\r\n",
    "/srv/a (1).img\n# list\nSHA256 (a (1).img) = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    "a\nMD5 (a) = D41D8CD98F00B204E9800998ECF8427E\nMD5 (a) = d41d8cd98f00b204e9800998ecf8427e\n",
    "a\nd41d8cd98f00b204e9800998ecf8427e  a\n00000000000000000000000000000000  a\n",
    "a\ncf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e  a\nd41d8cd98f00b204e9800998ecf8427e  a\n",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];
