//! Cases of descriptors: what they may not say, and descriptors without a disk.

use super::super::noise;
use super::hostile::{Cases, stream};
use super::{SECTOR, Vmdk};

pub(super) fn cases(c: &mut Cases) {
    descriptor(c);
    values(c);
    detached(c);
}

fn descriptor(c: &mut Cases) {
    for key in ["version", "CID", "parentCID", "createType"] {
        c.text(&format!("no {key}"), "malformed", |text| text.replace(&format!("\n{key}="), "\n#"));
        c.text(&format!("{key} twice"), "malformed", |text| {
            text.clone() + &text[22..].replace("RW 16", "# ")
        });
    }
    for line in ["version=1", "VERSION=1", "cid=1", "parentcid=ffffffff", "CREATETYPE=\"streamOptimized\""] {
        c.line(line, "malformed");
    }
    c.line("DDB.AdapterType = \"lsilogic\"", "malformed");
    for line in [
        "parentFileNameHint=\"/etc/shadow\"",
        "PARENTfilenamehint=\"x\"",
        "# parentFileNameHint",
        "ddb.x = \"parentFileNameHint\"",
    ] {
        c.line(line, "backing_file");
    }
    for line in [
        "ddb.uuid.parent=\"871a6044-c8ca-48ed-b7aa-e6fc49da3db4\"",
        "ddb.nativeParentHint = \"base.vmdk\"",
        "ddb.objectParentUri = \"vsan://1\"",
        "isNativeSnapshot=\"yes\"",
        "isNativeSnapshot=\"maybe\"",
    ] {
        c.line(line, "backing_file");
    }
    for line in ["encryption.keySafe = \"x\"", "ddb.iofilters = \"vmwarevmcrypt\"", "ddb.encryption = \"1\""]
    {
        c.line(line, "encrypted");
    }
    for line in ["unknown=1", "file.driver=\"nbd\"", "extents.0.file=\"x\"", "=", "ddb=\"1\"", "json:={}"] {
        c.line(line, "unknown_feature");
    }
    for line in [
        "word",
        "ddb. = \"1\"",
        "ddb.a b = \"1\"",
        "ddb.a\\b=\"1\"",
        "ddb.a=\"1",
        "ddb.a=1\"",
        "ddb.a=\"1\"2\"",
        "\"",
        "[x]",
    ] {
        c.line(line, "malformed");
    }
    for path in ["/etc/x-ctk.vmdk", "../x-ctk.vmdk", "nbd:x", "a\\\\b"] {
        c.line(&format!("changeTrackPath=\"{path}\""), "data_file");
    }
    c.line(&"x".repeat(4000), "malformed");
    c.text("257 keys", "limit", |text| (0..257).fold(text, |text, key| text + &format!("ddb.k{key}=\"\"\n")));
    for (name, piece) in [
        ("an escape", "\x1b[2J\x1b]0;x\x07"),
        ("a zero byte", "\0ddb.a=\"1\"\n"),
        ("other bytes than its last behind a zero byte", "\0ide\"\r"),
        ("its last bytes, but not at once", "\0\0\"\n"),
        ("more of its last bytes than a CID", "\0 \"ide\"\n"),
        ("a zero byte in a comment", "# a\0b\n"),
        ("UTF-8 outside of quotes", "ddb.x=\u{e4}\n"),
        ("a key in UTF-8", "ddb.\u{e4}=\"1\"\n"),
        ("UTF-8 behind quotes", "ddb.x=\"1\"\u{e4}\n"),
        ("a space that only some know", "\u{a0}ddb.x=\"1\"\n"),
        ("text that turns around", "\u{202e}ddb.x=\"1\"\n"),
        ("a lone carriage return", "# a\rRW 16 FLAT \"/etc/shadow\" 0\n"),
        ("a vertical tab", "# \x0b\n"),
        ("a backspace", "ddb.a=\"\x08\"\n"),
        ("a delete", "# \x7f\n"),
    ] {
        c.text(name, "malformed", |text| text + piece);
    }
    c.text("no text", "data_file", |_| String::new());
    c.text("only blanks", "malformed", |_| " \n".repeat(100));
    c.sparse("descriptor, bytes that are no UTF-8", "malformed", |b| _ = b.put(SECTOR + 24, &[0xff, 0xfe]));
    c.sparse("descriptor, a byte at its end", "malformed", |b| _ = b.put(21 * SECTOR - 1, b"x"));
}

fn values(c: &mut Cases) {
    let mut value = |name: &str, old: &str, new: &[&str], reason: &'static str| {
        for new in new {
            c.text(&format!("{name} {new:?}"), reason, |text| text.replace(old, new));
        }
    };
    value("version", "version=1", &["version=0", "version=4", "version=", "version=01"], "unknown_feature");
    value("id", "\nCID=5a3c0f12", &["\nCID=", "\nCID=x", "\nCID=+1", "\nCID=5a3c0f123"], "malformed");
    let parents = ["=0", "=", "=5a3c0f12", "=fffffffe", "=fffffffff", "=0xffffffff"];
    value("parent", "=ffffffff", &parents, "backing_file");
    let kinds = [
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat",
        "fullDevice",
        "partitionedDevice",
        "vmfs",
        "vmfsSparse",
        "vmfsRawDeviceMap",
        "seSparse",
        "custom",
        "MonolithicSparse",
        "",
    ];
    value("type", "monolithicSparse", &kinds, "data_file");
    value("type", "monolithicSparse", &["streamOptimized"], "malformed");
    let mut image = stream();
    image.descriptor = image.descriptor.replace("streamOptimized", "monolithicSparse");
    c.add("descriptor, a stream that is sparse", "malformed", image.build().bytes);

    for line in [
        "RW 16 FLAT \"/etc/shadow\" 0",
        "RW 16 FLAT \"disk-flat.vmdk\" 0",
        "RW 16 VMFS \"disk-flat.vmdk\"",
        "RW 16 VMFSSPARSE \"disk-delta.vmdk\"",
        "RW 16 SESPARSE \"disk-sesparse.vmdk\"",
        "RW 16 VMFSRDM \"disk-rdm.vmdk\"",
        "RW 16 FULLDEVICE \"/dev/sda\"",
        "RW 16 ZERO",
        "RW 16 sparse \"disk.vmdk\"",
        "rw 16 flat \"/etc/shadow\" 0",
        "RW 16",
        "RW",
        "RW 16 SPARSE",
        "RW 16 SPARSE \"\"",
        "RW 16 SPARSE \"/etc/shadow\"",
        "RW 16 SPARSE \"../disk.vmdk\"",
        "RW 16 SPARSE \"a/b.vmdk\"",
        "RW 16 SPARSE \"..\\\\disk.vmdk\"",
        "RW 16 SPARSE \"C:disk.vmdk\"",
        "RW 16 SPARSE \"nbd:localhost:10809\"",
        "RW 16 SPARSE \"json:{\"",
        "RW 16 SPARSE \"..\"",
        "RW 16 SPARSE \"disk.vmdk\"\nRW 16 FLAT \"/etc/shadow\" 0",
        "RW 16 SPARSE \"disk.vmdk\"\nRW 16 SPARSE \"disk2.vmdk\"",
        "RW 16 SPARSE \"disk.vmdk\"\n  rdonly 0 ZERO",
        "RW 8 SPARSE \"disk.vmdk\"\nRW 8 SPARSE \"disk.vmdk\"",
    ] {
        let split = line.starts_with("RW 8");
        c.extent(line, if split { "malformed" } else { "data_file" });
    }
    for line in [
        "",
        "RDONLY 16 SPARSE \"disk.vmdk\"",
        "NOACCESS 16 SPARSE \"disk.vmdk\"",
        "Rw 16 SPARSE \"disk.vmdk\"",
        "RW 0 SPARSE \"disk.vmdk\"",
        "RW 8 SPARSE \"disk.vmdk\"",
        "RW 17 SPARSE \"disk.vmdk\"",
        "RW -16 SPARSE \"disk.vmdk\"",
        "RW 0x10 SPARSE \"disk.vmdk\"",
        "RW 18446744073709551616 SPARSE \"disk.vmdk\"",
        "RW 16 SPARSE \"disk.vmdk\" 0",
        "RW 16 SPARSE x \"disk.vmdk\"",
        "RW 16 SPARSE \"disk.vmdk",
        "RW 16 SPARSE \"disk.vmdk\"\"",
    ] {
        c.extent(line, "malformed");
    }
}

/// A descriptor in a file of its own, as the attacks by extents that name a host's files were.
fn detached(c: &mut Cases) {
    let text = |kind: &str, rest: &str| {
        format!("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"{kind}\"\n{rest}")
    };
    for (kind, rest) in [
        ("monolithicFlat", "RW 16 FLAT \"/etc/shadow\" 0\n"),
        ("twoGbMaxExtentSparse", "RW 16 SPARSE \"disk-s001.vmdk\"\n"),
        ("twoGbMaxExtentFlat", "RW 16 FLAT \"disk-f001.vmdk\" 0"),
        ("vmfs", "  rw 16 VMFS \"disk-flat.vmdk\"\n"),
        ("vmfsSparse", "parentFileNameHint=\"a.vmdk\"\nRW 16 VMFSSPARSE \"disk-delta.vmdk\"\n"),
        ("seSparse", "RW 16 SESPARSE \"disk-sesparse.vmdk\"\n"),
        ("fullDevice", "RW 16 FLAT \"/dev/sda\" 0\r\n"),
        ("custom", "RDONLY 16 FLAT \"json:{}\" 0\n"),
        ("monolithicSparse", "\n\x1b[2J\nNOACCESS 16 ZERO\n"),
    ] {
        c.add(format_args!("a text descriptor, {kind}"), "data_file", text(kind, rest).into_bytes());
        let name = format!("a text descriptor declared raw, {kind}");
        c.declared(&name, "raw", "format_mismatch", text(kind, rest).into_bytes());
    }
    let hidden = text("monolithicFlat", "RW 16 FLAT \"/etc/shadow\" 0\n");
    let title = &hidden["# Disk DescriptorFile".len()..];
    c.add("a text descriptor without its title", "data_file", format!("#\n\n{title}").into_bytes());
    let far = format!("{}{}", text("monolithicFlat", &"#\n".repeat(100_000)), "RW 16 FLAT \"/etc/shadow\" 0");
    c.add("a text descriptor, its extent far behind", "data_file", far.into_bytes());
    let parent = text("custom", "parentFileNameHint=\"/etc/shadow\"\n");
    c.add("a text descriptor with a parent alone", "backing_file", parent.into_bytes());
    c.add("a text descriptor without extents", "malformed", text("custom", "").into_bytes());
    let mut bytes = text("monolithicFlat", "").into_bytes();
    bytes.extend([0, 0xff, b'\n']);
    bytes.extend(b"RW 16 FLAT \"/etc/shadow\" 0");
    c.add("a text descriptor with other bytes", "data_file", bytes);
    let mut tail = noise(3, 4096);
    tail[3072..3076].copy_from_slice(b"KDMV");
    c.add("a footer alone", "malformed", tail);
    // A header of no size, whose descriptor QEMU would follow.
    let mut embedded = Vmdk::new(0);
    embedded.descriptor = hidden;
    embedded.grain = 8;
    c.add("a header that points at a descriptor of extents", "malformed", embedded.build().bytes);
}
