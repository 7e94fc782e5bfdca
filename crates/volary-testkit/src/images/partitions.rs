//! Disks with partition tables.

use flate2::Crc;

/// A disk of `sectors` sectors with one DOS partition entry for each type, start and length in sectors of 512 bytes.
#[must_use]
pub fn mbr(sectors: usize, partitions: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut disk = vec![0; sectors * 512];
    for (entry, (kind, start, len)) in disk[446..510].chunks_exact_mut(16).zip(partitions) {
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&len.to_le_bytes());
    }
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// A disk of 128 sectors with a primary GUID partition table of one partition; `sector` is 512 or 4,096.
#[must_use]
pub fn gpt(sector: usize) -> Vec<u8> {
    let sectors = 128_u64;
    let mut disk = mbr(1, &[(0xee, 1, sectors as u32 - 1)]);
    disk.resize(sectors as usize * sector, 0);
    let first = 2 + (128 * 128_u64).div_ceil(sector as u64);
    let mut put = |at: usize, bytes: &[u8]| disk[sector + at..][..bytes.len()].copy_from_slice(bytes);
    put(0, b"EFI PART\0\0\x01\0\x5c\0\0\0");
    for (at, value) in [(24, 1), (32, sectors - 1), (40, first), (48, sectors - 2), (72, 2)] {
        put(at, &value.to_le_bytes());
    }
    put(80, &128_u32.to_le_bytes());
    put(84, &128_u32.to_le_bytes());
    // A type, an id, and the bounds of one partition.
    put(sector, &[[0x44; 16], [0x55; 16]].concat());
    put(sector + 32, &first.to_le_bytes());
    put(sector + 40, &(first + 7).to_le_bytes());
    seal_gpt(&mut disk, sector);
    disk
}

/// Writes the checksums of the entries and of the header anew, as far as their sizes allow.
pub fn seal_gpt(disk: &mut [u8], sector: usize) {
    let u32_at =
        |disk: &[u8], at: usize| u32::from_le_bytes(*disk[sector + at..].first_chunk().expect("4 bytes"));
    let sum = |bytes: &[u8]| {
        let mut crc = Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let entries = (u32_at(disk, 80) as usize).saturating_mul(u32_at(disk, 84) as usize);
    let start = (u32_at(disk, 72) as usize).saturating_mul(sector);
    if let Some(bytes) = disk.get(start..start.saturating_add(entries)) {
        let crc = sum(bytes);
        disk[sector + 88..sector + 92].copy_from_slice(&crc);
    }
    let length = u32_at(disk, 12) as usize;
    disk[sector + 16..sector + 20].fill(0);
    if let Some(header) = disk.get(sector..sector.saturating_add(length)) {
        let crc = sum(header);
        disk[sector + 16..sector + 20].copy_from_slice(&crc);
    }
}
