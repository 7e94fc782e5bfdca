//! CRC-32C as \[MS-VHDX\] 2.2.2 and 2.2.3.1 use it: over a whole structure, its own field (bytes 4 to 8) taken as zero.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0x82f6_3b78 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

fn checksum(bytes: impl Iterator<Item = u8>) -> u32 {
    let step = |crc: u32, byte: u8| crc >> 8 ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)];
    !bytes.fold(!0, step)
}

/// Whether a structure carries its own checksum.
pub(super) fn holds(structure: &[u8]) -> bool {
    let field = 4..8;
    let zeroed = structure.iter().enumerate().map(|(at, &byte)| if field.contains(&at) { 0 } else { byte });
    super::u32_at(structure, field.start) == checksum(zeroed)
}

#[test]
fn the_check_value_of_the_algorithm_comes_out() {
    assert_eq!(checksum(b"123456789".iter().copied()), 0xe306_9283);
}
