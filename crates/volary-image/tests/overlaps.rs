//! The structures of each format, and for each the hostile images in which something lies on it.
//!
//! `hostile.rs` sees that all of them are refused with `overlap`; what is seen here is that no structure was forgotten. What has no row
//! cannot be written down in its format, or is refused as something else before it could lie anywhere:
//!
//! - qcow2 and VMDK: an entry of 0 names no cluster, table or grain, so plain data cannot lie on the header.
//! - VHD: a header on the footer's copy is none, since that begins otherwise. A fixed disk is its bytes and the footer: its length tells.
//! - VHDX: type identifier, headers and region tables share the first MiB. Log and regions in it are misplaced (`malformed`), and so are
//!   metadata items on their table. Sector bitmaps are a differencing disk's; without a parent there are none, whatever their entries say.
//! - VDI: header, map and blocks come in this order, and blocks are counted in their own length, so two of them are one or apart.

use volary_testkit::images::hostile;

/// Format, structure, and the names of its cases, or how the names of several begin. A row goes on in lines that begin with spaces.
const TABLE: &str = "
qcow2 | header | stream in the header; stream at the file's first byte; snapshots, an L1 table on the header
qcow2 | L1 table | data on L1; stream in L1; L2 table on L1; refcount block on L1; snapshots, an L1 table on the disk's
qcow2 | L2 table | data on its own L2 table; data on a later L2 table; stream in an L2 table; one L2 table twice;
    every L1 entry the same table; refcount table on an L2 table
qcow2 | refcount table | data on the refcount table; stream in the refcount table; L1 on the refcount table;
    L2 table on the refcount table; refcount block on its table
qcow2 | refcount block | data on a refcount block; stream on a refcount block; one refcount block twice
qcow2 | table of snapshots | data on a table of snapshots; stream on a table of snapshots; snapshots, more of them than their table has
qcow2 | L1 table of a snapshot | data on a L1 table of a snapshot; stream on a L1 table of a snapshot
qcow2 | cluster | one data cluster twice; one data cluster in two tables; data on a kept zero cluster; stream in a later data cluster;
    stream running into an earlier data cluster; refcount table on data; refcount block on data; snapshots on data;
    snapshots, an L1 table on data
vmdk | header | directory in the header; redundant directory in the header; redundant flag without a directory
vmdk | descriptor | grain on the descriptor; zero grain without its flag; stream on the descriptor; directory in the descriptor;
    redundant directory in the descriptor; table on the descriptor; redundant table on the descriptor
vmdk | overhead | grain in what is kept for tables; stream in what is kept for tables
vmdk | directory | grain on the directory; stream on the directory; stream running into the directory; table on the directory;
    redundant table on the directory; descriptor on an empty directory
vmdk | redundant directory | grain on the redundant directory; directory on its copy; table on the redundant directory;
    redundant table on the redundant directory
vmdk | table | grain on its own table; grain on a later table; stream on its own table; stream on a later table;
    stream running into a table; directory on a table; redundant directory on a table; table on its own table; one table twice;
    tables that share a sector; every table the same
vmdk | redundant table | grain on a redundant table; redundant table on its own table; redundant table is the table;
    one redundant table twice
vmdk | marker | stream on its own table's marker; stream on the directory's marker; stream on the footer's marker;
    stream running into a table's marker; stream running into the directory's marker
vmdk | footer | stream on the footer; stream on the end of the stream; stream running into the footer; directory on the footer;
    table on the footer
vmdk | grain | grain on an earlier grain; grains that share a sector; grain in what another has beyond the disk; one grain everywhere;
    stream on an earlier stream; stream running into another; stream inside another; one stream in two places
vhd | footer's copy | block on the footer's copy; table on the footer's copy; first entry zero; all entries zero;
    a zero entry in the table's second piece
vhd | header | block on the header; block on the header's second half; header in a block; table on the header
vhd | table | block on the table; table in a block
vhd | footer | block into the footer; table on the footer; table into the footer; header into the footer
vhd | bitmap | one block twice; an entry behind the disk twice; every entry the same block; block's last sector in
vhd | block | block one sector into another; block four sectors into another; block's first sector in another
vhdx | type identifier, headers, region tables | block on another part at 0
vhdx | log | block on another part at 100000; block allocation table on another part at 100000; metadata on another part at 100000;
    unknown region on another part at 100000
vhdx | metadata | block on another part at 200000; log on a region at 200000; log over a region;
    block allocation table on another part at 200000; unknown region on another part at 200000
vhdx | metadata item | size on another item; unknown item on others
vhdx | block allocation table | block on another part at 300000; log on a region at 300000; metadata on another part at 300000;
    unknown region on another part at 300000
vhdx | unknown region | unknown region on a block
vhdx | block | one block twice; block into another; block into the one before; log on a block; region in what a block has beyond the disk
vdi | header | block on the header; header on the map
vdi | map | block on the map; map in a block; data on the map; data before the map; map on or behind
vdi | block | a block named twice; a map of zeros; 64 TiB of blocks allocated
";

#[test]
fn every_structure_has_its_cases_and_every_case_its_structure() {
    let cases: Vec<String> =
        hostile().into_iter().filter(|case| case.reason == "overlap").map(|case| case.name).collect();
    let mut beginnings = Vec::new();
    for row in TABLE.replace("\n    ", " ").lines().filter(|row| !row.is_empty()) {
        let [format, structure, names] = row.split(" | ").collect::<Vec<_>>()[..] else {
            panic!("not three columns: {row}")
        };
        let format = if format == "qcow2" { String::new() } else { format!("{format}, ") };
        for name in names.split("; ") {
            let start = format!("{format}{name}");
            assert!(cases.iter().any(|case| case.starts_with(&start)), "{structure}: no case {start}");
            beginnings.push(start);
        }
    }
    let unlisted: Vec<_> =
        cases.iter().filter(|case| !beginnings.iter().any(|start| case.starts_with(start))).collect();
    assert!(unlisted.is_empty(), "not in the table: {unlisted:#?}");
}
