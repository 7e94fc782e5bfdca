//! What lies on what must not be shared: each structure of the file, and grains.

use super::super::pattern;
use super::hostile::{Cases, sector};
use super::{Built, Grain, SECTOR, Vmdk};

/// Where a part of an image is.
type Place = fn(&Built) -> u64;

/// Images in which something lies on a structure, or two grains on each other.
pub(super) fn cases(c: &mut Cases) {
    c.sparse("directory on its copy", "overlap", |b| {
        let copy = b.copy.unwrap_or(0) / SECTOR;
        b.place(56, copy);
    });
    c.sparse("directory on a table", "overlap", |b| {
        // The table becomes a directory of one table, the other one.
        let (at, other) = (b.tables[&0], b.tables[&1]);
        b.place(56, at / SECTOR).put32(at, sector(at)).put32(at + 4, sector(other));
    });
    c.sparse("one table twice", "overlap", |b| _ = b.put32(b.directory, sector(b.tables[&1])));
    c.stream("one table twice, stream", "overlap", |b| _ = b.put32(b.directory, sector(b.tables[&1])));
    c.sparse("tables that share a sector", "overlap", |b| _ = b.put32(b.directory, sector(b.tables[&1]) - 3));
    let places: [(&str, Place); 7] = [
        ("the descriptor", |_| SECTOR * 5),
        ("the directory", |b| b.directory),
        ("its own table", |b| b.tables[&0]),
        ("a later table", |b| b.tables[&1]),
        ("the redundant directory", |b| b.copy.unwrap_or(SECTOR)),
        ("a redundant table", |b| b.copies.get(&1).copied().unwrap_or(SECTOR)),
        ("an earlier grain", |b| b.hosts[&0]),
    ];
    // Nothing is kept for tables, so that they speak for themselves.
    for (name, place) in places {
        c.sparse(&format!("grain on {name}"), "overlap", |b| {
            let at = sector(place(b));
            b.place(64, 0).set_entry(520, at);
        });
    }
    for (name, place) in &places[..5] {
        if *name == "a later table" {
            continue;
        }
        c.sparse(&format!("table on {name}"), "overlap", |b| {
            let at = place(b);
            _ = b.put32(b.directory + 4, sector(at));
        });
        c.sparse(&format!("redundant table on {name}"), "overlap", |b| {
            let (at, copy) = (place(b), b.copy.unwrap_or(0));
            _ = b.put32(copy + 4, sector(at));
        });
    }
    c.sparse("grains that share a sector", "overlap", |b| {
        let at = sector(b.hosts[&520]) - 7;
        b.set_entry(5, at);
    });
    c.sparse("redundant directory on a table", "overlap", |b| _ = b.place(48, b.tables[&0] / SECTOR));
    let mut empty = Vmdk { grain: 8, ..Vmdk::new(16) }.build();
    empty.field(36, &[22]);
    c.add("descriptor on an empty directory", "overlap", empty.bytes);
    c.sparse("grain in what is kept for tables", "overlap", |b| _ = b.place(64, b.hosts[&0] / SECTOR + 1));
    // The second grain has four sectors of the disk, and in the other four of its own lies the first.
    let data = |bytes| Grain::Data(pattern(1, bytes));
    let mut cut = Vmdk { grain: 8, ..Vmdk::new(12) }.with(0, data(4096)).with(1, data(2048)).build();
    let first = sector(cut.hosts[&0]);
    cut.set_entry(1, first).set_entry(0, first + 4);
    c.add("grain in what another has beyond the disk", "overlap", cut.bytes);
    c.sparse("one grain everywhere", "overlap", |b| {
        let at = sector(b.hosts[&0]);
        for grain in 0..512 {
            b.set_entry(grain, at);
        }
    });
    c.sparse("every table the same", "overlap", |b| {
        let (at, table) = (b.directory, sector(b.tables[&0]));
        b.put32(at, table).put32(at + 4, table);
    });
    streams(c);
}

/// Puts a stream of a grain at the end, before the footer, and behind it a copy of a part of the image, into which the stream runs by ten
/// bytes. Returns where the copy begins.
fn overrun(b: &mut Built, part: std::ops::Range<u64>) -> u64 {
    let end = b.footer.unwrap_or(0) - SECTOR;
    b.set_entry(4, sector(end));
    let copy = b.bytes[part.start as usize..part.end as usize].to_vec();
    let footer = b.bytes.split_off(end as usize);
    b.put(end, &32_u64.to_le_bytes()).put32(end + 8, 510).put(end + SECTOR, &copy);
    let at = b.bytes.len() as u64;
    b.put(at, &footer).footer = Some(at + SECTOR);
    end + SECTOR
}

fn streams(c: &mut Cases) {
    let places: [(&str, Place); 10] = [
        ("the descriptor", |_| SECTOR * 5),
        ("the directory", |b| b.directory),
        ("the directory's marker", |b| b.directory - SECTOR),
        ("its own table", |b| b.tables[&0]),
        ("its own table's marker", |b| b.tables[&0] - SECTOR),
        ("a later table", |b| b.tables[&1] + SECTOR),
        ("the footer's marker", |b| b.footer.unwrap_or(0) - SECTOR),
        ("the footer", |b| b.footer.unwrap_or(0)),
        ("the end of the stream", |b| b.footer.unwrap_or(0) + SECTOR),
        ("an earlier stream", |b| b.hosts[&1]),
    ];
    for (name, place) in places {
        c.stream(&format!("stream on {name}"), "overlap", |b| {
            let at = sector(place(b));
            b.place(64, 0).set_entry(4, at);
        });
    }
    for (whose, marker) in [("", 0), ("'s marker", SECTOR)] {
        c.stream(&format!("stream running into a table{whose}"), "overlap", |b| {
            let table = b.tables[&0];
            let at = overrun(b, table - marker..table + 2048) + marker;
            b.put32(b.directory, sector(at));
        });
        c.stream(&format!("stream running into the directory{whose}"), "overlap", |b| {
            let directory = b.directory;
            let at = overrun(b, directory - marker..directory + SECTOR) + marker;
            b.place(56, at / SECTOR);
        });
    }
    c.stream("stream running into the footer", "overlap", |b| _ = overrun(b, 0..0));
    c.stream("stream in what is kept for tables", "overlap", |b| _ = b.place(64, b.hosts[&0] / SECTOR + 1));
    // A stream that runs into the next grain, and one in a stream that looks like it.
    c.stream("stream running into another", "overlap", |b| _ = b.put32(b.hosts[&0] + 8, 4096));
    c.stream("stream inside another", "overlap", |b| {
        let at = b.hosts[&5] + SECTOR;
        b.put(at, &8_u64.to_le_bytes()).put32(at + 8, 20).set_entry(1, sector(at));
    });
}
