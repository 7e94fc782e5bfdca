//! Locations: where a snapshot is, for those who keep it outside of the store, as Glance does.

use crate::{Error, ErrorKind, Name, Namespace, Result, VolumeSpec, escape};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use std::fmt;
use std::str::FromStr;

const SCHEME: &str = "rbd://";
/// What RFC 3986 calls unreserved stays; everything else would mean something, or nothing, in a URL.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A snapshot by store, pool, volume and name: `rbd://FSID/POOL/IMAGE/SNAPSHOT`, each piece percent-encoded, as Glance
/// writes it and Nova reads it. Such a location knows the default namespace only.
///
/// ```
/// let location: volary::Location = "rbd://b6d7/images/base%20disk/snap".parse()?;
/// assert_eq!(location.spec().to_string(), r"images/base\x20disk@snap");
/// assert_eq!(location.store_id, "b6d7");
/// assert_eq!(location.to_string(), "rbd://b6d7/images/base%20disk/snap");
/// # Ok::<(), volary::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The store's own id: a cluster's fsid.
    pub store_id: String,
    /// The pool.
    pub pool: Name,
    /// The volume.
    pub image: Name,
    /// The snapshot.
    pub snapshot: Name,
}

impl Location {
    /// The snapshot's spec in the store that the location is of.
    pub fn spec(&self) -> VolumeSpec {
        let namespace = Namespace { pool: self.pool.clone(), ..Namespace::default() };
        namespace.volume(self.image.clone()).at(self.snapshot.clone())
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Reads a location: exactly four pieces, none of them empty, split before they are decoded.
    ///
    /// # Errors
    /// `Usage`, saying which of that it is not.
    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(ErrorKind::Usage, format!("`{}` is no location: {why}", escape(text.as_bytes())))
                .hint("a location is rbd://FSID/POOL/IMAGE/SNAPSHOT, each piece percent-encoded")
        };
        let pieces = text.strip_prefix(SCHEME).ok_or_else(|| bad("it does not start with rbd://"))?;
        let pieces: Vec<Vec<u8>> =
            pieces.split('/').map(|piece| percent_decode_str(piece).collect()).collect();
        if pieces.iter().any(Vec::is_empty) {
            return Err(bad("a piece is empty"));
        }
        let [store_id, pool, image, snapshot] =
            <[Vec<u8>; 4]>::try_from(pieces).map_err(|_| bad("it has not four pieces"))?;
        let store_id = String::from_utf8(store_id).map_err(|_| bad("its first piece is no id of a store"))?;
        let [pool, image, snapshot] = [pool, image, snapshot].map(Name::from_bytes);
        Ok(Location { store_id, pool, image, snapshot })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rbd:/")?;
        for piece in
            [self.store_id.as_bytes(), self.pool.as_bytes(), self.image.as_bytes(), self.snapshot.as_bytes()]
        {
            write!(f, "/{}", percent_encode(piece, ENCODED))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_location_is_refused_with_the_reason() {
        for (text, why) in [
            ("file:///a", "rbd://"),
            ("RBD://f/p/i/s", "rbd://"),
            ("rbd://", "empty"),
            ("rbd://f/p//s", "empty"),
            ("rbd://f/p/i/", "empty"),
            ("rbd://image", "four"),
            ("rbd://f/p/i", "four"),
            ("rbd://f/p/i/s/x", "four"),
            ("rbd://%ff/p/i/s", "id of a store"),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(why), "{text}: {}", error.message());
        }
    }

    #[test]
    fn pieces_are_split_before_they_are_decoded() {
        let location: Location = "rbd://f/p%2fq/i%00%/s%C3%A4".parse().unwrap();
        assert_eq!((location.pool.as_bytes(), location.image.as_bytes()), (&b"p/q"[..], &b"i\0%"[..]));
        assert_eq!(location.to_string(), "rbd://f/p%2Fq/i%00%25/s%C3%A4");
    }

    proptest! {
        #[test]
        fn a_location_is_read_as_it_was_written(
            store_id in "[0-9a-f-]{1,36}",
            pieces in prop::array::uniform3(prop::collection::vec(any::<u8>(), 1..20)),
        ) {
            let [pool, image, snapshot] = pieces.map(Name::from_bytes);
            let location = Location { store_id, pool, image, snapshot };
            let text = location.to_string();
            prop_assert!(text.is_ascii());
            prop_assert_eq!(text.parse::<Location>().unwrap(), location);
        }
    }
}
