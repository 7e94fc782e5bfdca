//! The content digest `volary-v1`: what a volume holds, whatever its layout.
//!
//! Let B = 4,194,304 and S the size in bytes. Leaf Lᵢ is BLAKE3 of block i, zero-padded to B bytes. The root is
//! BLAKE3 in derive-key mode over S, B (u64, little endian), then for every block that is not all zero, in rising
//! i: i (u64, little endian) and Lᵢ. The cost follows the data, and leaves can be computed in parallel.

use std::fmt;

/// B: the length of a block in bytes.
pub const BLOCK_BYTES: u64 = 4 << 20;

const CONTEXT: &str = "volary 2026-11 volume content digest v1";

/// A content digest; text: `volary-v1:` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest([u8; 32]);

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "volary-v1:{}", hex::encode(self.0))
    }
}

impl std::str::FromStr for ContentDigest {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        let bad = || {
            let shown = crate::escape(text.as_bytes()).into_owned();
            crate::Error::new(crate::ErrorKind::Usage, format!("`{shown}` is not a content digest"))
                .hint("a content digest is `volary-v1:` and 64 lower-case hex digits")
        };
        let digits = text.strip_prefix("volary-v1:").filter(|d| !d.bytes().any(|b| b.is_ascii_uppercase()));
        let mut digest = [0; 32];
        hex::decode_to_slice(digits.ok_or_else(bad)?, &mut digest).map_err(|_| bad())?;
        Ok(ContentDigest(digest))
    }
}

impl serde::Serialize for ContentDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ContentDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for ContentDigest {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ContentDigest".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^volary-v1:[0-9a-f]{64}$"})
    }
}

/// The leaf of one block: of at most [`BLOCK_BYTES`] bytes, zero-padded; `None` when every byte is zero.
///
/// Pure computation, a millisecond for a full block: run it on a thread for such work.
pub fn leaf(block: &[u8]) -> Option<[u8; 32]> {
    debug_assert!(block.len() as u64 <= BLOCK_BYTES, "a block is at most 4 MiB");
    if is_zero(block) {
        return None;
    }
    let mut leaf = Leaf::default();
    leaf.data(block);
    leaf.finish()
}

/// A leaf that is put together piece by piece.
#[derive(Default)]
pub(crate) struct Leaf {
    hasher: blake3::Hasher,
    len: usize,
    /// How many bytes of zeros are still to be hashed: a block that has nothing else has no leaf.
    zeros: usize,
}

impl Leaf {
    /// Adds bytes that are not all zero.
    pub(crate) fn data(&mut self, bytes: &[u8]) {
        self.hash_zeros();
        self.hasher.update(bytes);
        self.len += bytes.len();
    }

    /// Adds so many bytes of zeros.
    pub(crate) fn zeros(&mut self, len: usize) {
        self.zeros += len;
    }

    fn hash_zeros(&mut self) {
        static ZEROS: [u8; 65536] = [0; 65536];
        while self.zeros > 0 {
            let part = self.zeros.min(ZEROS.len());
            self.hasher.update(&ZEROS[..part]);
            self.len += part;
            self.zeros -= part;
        }
    }

    /// The leaf, zero-padded to a whole block.
    pub(crate) fn finish(mut self) -> Option<[u8; 32]> {
        if self.len == 0 {
            return None;
        }
        self.zeros = (BLOCK_BYTES as usize).saturating_sub(self.len);
        self.hash_zeros();
        Some(*self.hasher.finalize().as_bytes())
    }
}

/// Whether every byte is zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Slices are compared by memcmp, which looks at many bytes at once, in builds without optimisation too.
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}

/// Puts leaves together into a digest, in rising order of their blocks.
///
/// ```
/// let digest = volary::ContentHasher::new(512).finish();
/// assert_eq!(digest.to_string(), "volary-v1:d795c76cbcc82a582e762bba04f72c5f3bcaef90e4b7c9f15ef38582675bb95f");
/// ```
#[derive(Clone)]
pub struct ContentHasher {
    root: blake3::Hasher,
    next: u64,
}

impl ContentHasher {
    /// Begins the digest of a volume of so many bytes.
    pub fn new(size_bytes: u64) -> Self {
        let mut root = blake3::Hasher::new_derive_key(CONTEXT);
        root.update(&size_bytes.to_le_bytes());
        root.update(&BLOCK_BYTES.to_le_bytes());
        ContentHasher { root, next: 0 }
    }

    /// Adds the leaf of block `index`; blocks of zeros are left out.
    ///
    /// # Panics
    /// If the blocks do not come in rising order.
    pub fn add(&mut self, index: u64, leaf: &[u8; 32]) {
        assert!(index >= self.next, "blocks come in rising order");
        self.next = index + 1;
        self.root.update(&index.to_le_bytes());
        self.root.update(leaf);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> ContentDigest {
        ContentDigest(*self.root.finalize().as_bytes())
    }
}

impl fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentHasher").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s09_the_digest_has_the_published_vectors() {
        let empty = ContentHasher::new(0).finish();
        assert_eq!(
            empty.to_string(),
            "volary-v1:7fe0b08e3c671821303e0ef8b0c306af2d4f722344ef72aaff4640d4950021d3"
        );
        let zeros = ContentHasher::new(512).finish();
        assert_eq!(
            zeros.to_string(),
            "volary-v1:d795c76cbcc82a582e762bba04f72c5f3bcaef90e4b7c9f15ef38582675bb95f"
        );
        let mut hasher = ContentHasher::new(512);
        hasher.add(0, &leaf(&[1; 512]).unwrap());
        let ones = hasher.finish();
        assert_eq!(
            ones.to_string(),
            "volary-v1:77546801a25a83e74f3429117c7a5a310cda94c23128e2a7da49512f272bef1a"
        );
        assert_eq!(ones.to_string().parse::<ContentDigest>().unwrap(), ones);
        assert_eq!(leaf(&[0; 4096]), None);
    }
}
