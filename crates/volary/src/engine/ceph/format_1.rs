//! Images of format 1: they have a name and no id, and Volary does not use them. They are there all the same.

use super::NO_LIMIT;
use super::directory::{DIRECTORY, malformed, string};
use crate::engine::Unusable;
use crate::{Error, ErrorKind, Name, Result};

/// How the object begins in which an image of format 1 keeps all that it knows of itself.
const BEGINNING: &[u8] = b"<<< Rados Block Device Image >>>\n";
/// The longest directory that is read: some hundred thousand names.
const LONGEST_BYTES: u64 = 16 << 20;

/// Refuses the name of an image of format 1: it has no id, and the keys of the directory do not name it.
pub(super) async fn refuse(pool: &rbd::Pool, name: &Name) -> Result<()> {
    let object = [name.as_bytes(), b".rbd"].concat();
    let begins = pool.object_read(&object, BEGINNING.len(), NO_LIMIT).await?;
    if begins.is_none_or(|begins| begins != BEGINNING) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, "an image of format 1 has that name").context("name", name).hint(
        "`rbd migration prepare`, `execute` and `commit` of it make it one of format 2; `rbd rm` removes it",
    ))
}

/// Refuses what would give a name to something new that an image of format 1 has; nothing else refuses it.
pub(super) async fn require_free(pool: &rbd::Pool, name: &Name) -> Result<()> {
    refuse(pool, name).await.map_err(|error| match error.kind() {
        ErrorKind::Unsupported => Error::new(ErrorKind::AlreadyExists, "an image of format 1 has that name")
            .context("name", name)
            .hint("choose another name, or rename the image with `rbd mv`"),
        _ => error,
    })
}

/// The images of format 1. The directory has their names in its data, those of format 2 in its keys.
pub(super) async fn listed(pool: &rbd::Pool) -> Result<Vec<Unusable>> {
    let stat = pool.object_stat(DIRECTORY, NO_LIMIT).await?;
    let bytes = stat.map_or(0, |stat| stat.size_bytes.min(LONGEST_BYTES));
    if bytes == 0 {
        return Ok(Vec::new());
    }
    let len = usize::try_from(bytes).unwrap_or(usize::MAX);
    let data = pool.object_read(DIRECTORY, len, NO_LIMIT).await?.unwrap_or_default();
    let names = names(&data).ok_or_else(|| malformed("rbd_directory"))?;
    let image = |name| Unusable { name, why: "an image of format 1".to_owned() };
    Ok(names.into_iter().map(image).collect())
}

/// A header, then how many names there are, and each with an empty value (librados' "tmap").
fn names(data: &[u8]) -> Option<Vec<Name>> {
    let (_, rest) = string(data)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut names = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (name, after) = string(rest)?;
        (_, rest) = string(after)?;
        names.push(Name::from_bytes(name));
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_what_is_cut_off_is_malformed() {
        let whole =
            [&[0; 4][..], &[2, 0, 0, 0], b"\x03\0\0\0old\0\0\0\0", b"\x01\0\0\0b\x01\0\0\0x"].concat();
        assert_eq!(names(&whole), Some(vec![Name::from_bytes("old"), Name::from_bytes("b")]));
        for len in 0..whole.len() {
            assert_eq!(names(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(names(&[0; 8]), Some(Vec::new()));
    }
}
