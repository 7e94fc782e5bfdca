//! Whether the data that a header leads to is the image's own.
//!
//! librbd writes and removes what the header of an image says are its data objects: a prefix of their names, in a pool. Whoever may
//! write the header could name the objects of an image in a pool where it has no rights, and leave it to a more privileged
//! client to remove "its" data. RBD itself only ever makes two kinds of names, and both hold the image's id.

use super::NO_LIMIT;
use super::directory::string;
use super::header::object;
use crate::{Error, ErrorKind, Result, VolumeId};
use rbd::Pool;

/// Refuses an image whose header leads to data that is not its own. One without header has no data to lead to.
///
/// # Errors
/// `Refused`; what reading the header fails with.
pub(super) async fn require(pool: &Pool, id: &VolumeId) -> Result<()> {
    let header = object(id);
    let (prefix, data_pool) = futures::try_join!(
        pool.omap_page(&header, b"", b"object_prefix", 1, NO_LIMIT),
        pool.omap_page(&header, b"", b"data_pool_id", 1, NO_LIMIT),
    )?;
    let value = |page: rbd::OmapPage| page.entries.into_iter().next().map(|(_, value)| value);
    let (Some(prefix), data_pool) = (value(prefix), value(data_pool)) else { return Ok(()) };
    if is_own(pool.id(), id, &prefix, data_pool.as_deref()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, "the header of the volume leads to data that is not its own")
        .context("id", id)
        .context("object_prefix", crate::escape(string(&prefix).map_or(&prefix[..], |(text, _)| text)))
        .hint("whoever may write its namespace has changed it; `rbd info` shows its data pool and prefix"))
}

/// Data in the image's own pool is called `rbd_data.ID`, in another one `rbd_data.POOL.ID`, by the number of the image's pool.
fn is_own(pool: i64, id: &VolumeId, prefix: &[u8], data_pool: Option<&[u8]>) -> bool {
    let Some((prefix, [])) = string(prefix) else { return false };
    let elsewhere = match data_pool.map(<[u8; 8]>::try_from) {
        None => false,
        Some(Ok(number)) => !matches!(i64::from_le_bytes(number), number if number == pool || number < 0),
        Some(Err(_)) => return false,
    };
    let with_pool = format!("rbd_data.{pool}.{id}");
    prefix == with_pool.as_bytes() || (!elsewhere && prefix == format!("rbd_data.{id}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s14_only_data_that_is_named_for_the_image_is_its_own() {
        let id = VolumeId::new("10ab").unwrap();
        let own = |prefix: &str, pool: Option<i64>| {
            let text = [&(prefix.len() as u32).to_le_bytes(), prefix.as_bytes()].concat();
            is_own(7, &id, &text, pool.map(i64::to_le_bytes).as_ref().map(|of| &of[..]))
        };
        assert!(
            own("rbd_data.10ab", None) && own("rbd_data.10ab", Some(7)) && own("rbd_data.10ab", Some(-1))
        );
        assert!(own("rbd_data.7.10ab", Some(9)));
        for (prefix, pool) in [
            ("rbd_data.10ab", Some(9)),
            ("rbd_data.9.10ab", Some(9)),
            ("rbd_data.10ac", None),
            ("rbd_data.7.10ac", Some(9)),
            ("rbd_header", None),
            ("", None),
        ] {
            assert!(!own(prefix, pool), "{prefix} {pool:?}");
        }
        assert!(!is_own(7, &id, b"\xff\xff\xff\xff", None) && !is_own(7, &id, b"", None));
        assert!(!is_own(7, &id, &[&13_u32.to_le_bytes()[..], b"rbd_data.10ab"].concat(), Some(&[1])));
    }
}
