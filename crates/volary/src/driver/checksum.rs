//! Digests of whole files: what a catalogue says a download must have, and what provenance records.

use super::checksum_list;
use crate::{Ctl, Error, ErrorKind, Result, escape};
use sha2::Digest;
use std::fmt;
use std::str::FromStr;
use volary_image::ReadAt;

/// A digest over the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// MD5: only to compare with old catalogues, it proves nothing against an attacker.
    Md5,
}

impl Algorithm {
    pub(super) const ALL: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Md5];

    /// The name as written before the colon of a checksum.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Md5 => "md5",
        }
    }

    pub(super) fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
            Self::Md5 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(|| {
            let shown = escape(text.as_bytes()).into_owned();
            Error::new(ErrorKind::Usage, format!("`{shown}` is not a digest algorithm"))
                .hint("write sha256, sha512 or md5")
        })
    }
}

/// The digest a file must have: `sha256:HEX`, also `sha512:` and `md5:`.
///
/// ```
/// use volary::Checksum;
/// let list = "d41d8cd98f00b204e9800998ecf8427e *empty.img\n";
/// let checksum = Checksum::find_in(list, "empty.img").unwrap();
/// assert_eq!(checksum.to_string(), "md5:d41d8cd98f00b204e9800998ecf8427e");
/// assert!("sha256:abc".parse::<Checksum>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

impl Checksum {
    /// A checksum of so many hex digits, of either case.
    ///
    /// # Errors
    /// `Usage` for another number of digits, or for something else than hex digits.
    pub fn new(algorithm: Algorithm, hex: &str) -> Result<Checksum> {
        if hex.len() == algorithm.hex_len() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Checksum { algorithm, hex: hex.to_ascii_lowercase() });
        }
        let shown: String = escape(hex.as_bytes()).chars().take(160).collect();
        Err(Error::new(ErrorKind::Usage, format!("`{shown}` is not a {algorithm} digest"))
            .hint(format!("it has {} hex digits", algorithm.hex_len())))
    }

    /// The checksum of `file_name` in the text of a `SHA256SUMS` file: lines as of `sha256sum`, also with `--tag`, of escaped names, and
    /// within a clear-signed message, whose signature is not looked at.
    ///
    /// Lines that have the name as given count; where there are none, those whose names are the same without their directories. The
    /// algorithm of a plain line follows from its length; of several the strongest is taken.
    ///
    /// # Errors
    /// `NotFound` when no line names the file; `Usage` when lines disagree about it.
    pub fn find_in(list: &str, file_name: &str) -> Result<Checksum> {
        checksum_list::find(list, file_name)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digest in lower-case hex digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl FromStr for Checksum {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (algorithm, hex) = text.split_once(':').ok_or_else(|| {
            let shown = escape(text.as_bytes()).into_owned();
            Error::new(ErrorKind::Usage, format!("`{shown}` is not a checksum")).hint("write sha256:HEX")
        })?;
        Checksum::new(algorithm.parse()?, hex)
    }
}

/// Computes one digest as bytes pass by.
pub(crate) enum FileHasher {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Md5(md5::Md5),
}

impl FileHasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(sha2::Sha512::new()),
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Checksum {
        let (algorithm, hex) = match self {
            Self::Sha256(hasher) => (Algorithm::Sha256, hex::encode(hasher.finalize())),
            Self::Sha512(hasher) => (Algorithm::Sha512, hex::encode(hasher.finalize())),
            Self::Md5(hasher) => (Algorithm::Md5, hex::encode(hasher.finalize())),
        };
        Checksum { algorithm, hex }
    }
}

/// Digests a whole file, holes as the zeros they are; blocks, so run it on a thread.
pub(crate) fn digest_file(file: &dyn ReadAt, algorithms: &[Algorithm], ctl: &Ctl) -> Result<Vec<Checksum>> {
    // Small enough to stay in a core's own cache between being read and being digested.
    const PIECE: usize = 128 << 10;
    let mut hashers: Vec<FileHasher> =
        algorithms.iter().map(|algorithm| FileHasher::new(*algorithm)).collect();
    let zeros = vec![0; PIECE];
    let mut buffer = vec![0; PIECE];
    let mut data = 0..0;
    let mut offset = 0;
    while offset < file.len() && !hashers.is_empty() {
        ctl.check("digest the source")?;
        let failed = |error| Error::io("reading the source for its digest", error);
        if offset >= data.end {
            data = file.next_data(offset).map_err(failed)?.unwrap_or(file.len()..file.len());
        }
        let (end, hole) = if offset < data.start { (data.start, true) } else { (data.end, false) };
        let len = (end - offset).min(PIECE as u64) as usize;
        let piece = if hole {
            &zeros[..len]
        } else {
            file.read_exact_at(&mut buffer[..len], offset).map_err(failed)?;
            &buffer[..len]
        };
        hashers.iter_mut().for_each(|hasher| hasher.update(piece));
        ctl.touch();
        offset += len as u64;
    }
    Ok(hashers.into_iter().map(FileHasher::finish).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_digested_to_its_last_byte() {
        let file = b"abc".to_vec();
        let digests = digest_file(&file, &Algorithm::ALL, &Ctl::new()).unwrap();
        assert_eq!(digests[0].hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(digests[1].hex().starts_with("ddaf35a193617aba"));
        assert_eq!(digests[2].hex(), "900150983cd24fb0d6963f7d28e17f72");
    }
}
