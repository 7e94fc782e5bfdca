//! Small records: keys of the map of one object in each namespace.

use super::NO_LIMIT;
use crate::Result;
use crate::engine::{Record, RecordPage};
use rbd::{Errno, OmapPage, Pool, Swap};

/// The object whose map keeps a namespace's records.
pub(super) const RECORDS: &[u8] = b"volary_journal";
/// Comes before each value, for RADOS cannot tell an empty one from none.
const VALUE: u8 = b'=';
const MAX_KEY: usize = 256;

/// Whether a record can have this key.
pub(super) fn is_key(key: &[u8]) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && key.is_ascii() && !key.contains(&0)
}

/// A page of records from a page of the object's map. Another client can have put anything there: a key that no record
/// can have is left out, a value without its mark is taken as it is.
pub(super) fn page(of: OmapPage) -> RecordPage {
    let next = of.entries.last().filter(|_| of.more).map(|(key, _)| after(key));
    let record = |(key, mut value): (Vec<u8>, Vec<u8>)| {
        if value.first() == Some(&VALUE) {
            value.remove(0);
        }
        let key = Some(key).filter(|key| is_key(key))?;
        Some(Record { key: String::from_utf8(key).ok()?, value })
    };
    RecordPage { records: of.entries.into_iter().filter_map(record).collect(), next }
}

/// What to continue after: the key itself, which librados takes up to its first NUL byte. A key with one is no record's,
/// and neither is any that begins in the same way and goes on with NUL: all of them are passed over.
fn after(key: &[u8]) -> Vec<u8> {
    match key.split(|byte| *byte == 0).next() {
        Some(start) if start.len() < key.len() => [start, &[1]].concat(),
        _ => key.to_vec(),
    }
}

/// Replaces a record if it is as expected, and says whether it did.
pub(super) async fn swap(
    pool: &Pool,
    key: &str,
    expected: Option<&[u8]>,
    new: Option<&[u8]>,
) -> Result<bool> {
    let marked = |value: &[u8]| [&[VALUE], value].concat();
    let Some(expected) = expected else {
        if new.is_none() {
            let found = pool.omap_page(RECORDS, b"", key.as_bytes(), 1, NO_LIMIT).await?;
            return Ok(found.entries.iter().all(|(found, _)| found != key.as_bytes()));
        }
        return swap_exact(pool, key, None, new.map(marked)).await;
    };
    if swap_exact(pool, key, Some(marked(expected)), new.map(marked)).await? {
        return Ok(true);
    }
    // What another client put there can lack the mark. RADOS takes an empty value for none.
    let raw = Some(expected.to_vec()).filter(|raw| !raw.is_empty());
    let is_marked = expected.first() == Some(&VALUE);
    if is_marked || (raw.is_none() && !is_there(pool, key).await?) {
        return Ok(false);
    }
    swap_exact(pool, key, raw, new.map(marked)).await
}

async fn is_there(pool: &Pool, key: &str) -> Result<bool> {
    let found = pool.omap_page(RECORDS, b"", key.as_bytes(), 1, NO_LIMIT).await?;
    Ok(found.entries.iter().any(|(found, value)| found == key.as_bytes() && value.is_empty()))
}

async fn swap_exact(pool: &Pool, key: &str, expected: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Result<bool> {
    let something = expected.is_some();
    let swap = Swap { key: key.as_bytes().to_vec(), expected, new };
    match pool.omap_swap(RECORDS, vec![swap], NO_LIMIT).await {
        // Without the object there is no record either.
        Err(error) if error.errno() == Some(Errno::ENOENT) && something => Ok(false),
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
        (key.to_vec(), value.to_vec())
    }

    #[test]
    fn s14_what_another_client_put_there_breaks_no_listing() {
        let long = [b'k'; 257];
        let entries = vec![
            entry(b"a", b"=1"),
            entry(b"b", b"raw"),
            entry(b"c\0d", b"=2"),
            entry(b"\xff", b"=3"),
            entry(&long, b"=4"),
        ];
        let page = page(OmapPage { entries, more: true });
        let found: Vec<_> = page.records.iter().map(|of| (of.key.as_str(), of.value.as_slice())).collect();
        assert_eq!(found, [("a", &b"1"[..]), ("b", b"raw")]);
        assert_eq!(page.next.as_deref(), Some(&long[..]));
        assert_eq!((after(b"c\0d\0"), after(b"ab")), (b"c\x01".to_vec(), b"ab".to_vec()));
    }
}
