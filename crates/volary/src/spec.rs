//! Where things are: `[pool/[namespace/]]volume[@snapshot]`, and what may stand for a volume's name.

use crate::name::unescape;
use crate::{Error, ErrorKind, Name, Result};
use std::fmt;
use std::str::FromStr;

/// The pool meant when none is named.
pub const DEFAULT_POOL: &str = "rbd";

/// The id by which a store knows a volume for its whole life, whatever its name (`rbd_get_id`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct VolumeId(String);

impl<'de> serde::Deserialize<'de> for VolumeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        VolumeId::new(text).map_err(|error| serde::de::Error::custom(error.message()))
    }
}

impl VolumeId {
    /// An id as a store returned it or a user typed it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] unless it is 1 to 64 ASCII letters and digits.
    pub fn new(id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(VolumeId(id));
        }
        let shown = crate::escape(id.as_bytes()).into_owned();
        Err(Error::new(ErrorKind::Usage, format!("`{shown}` is not a volume id"))
            .hint("an id is what `ls` and `trash ls` print, such as 10ab6e1f0c3d"))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A namespace of a pool; the default namespace has the empty name. Text: `POOL` or `POOL/NAMESPACE`.
///
/// ```
/// use volary::Namespace;
/// let namespace: Namespace = "ssd/tenant-7".parse().unwrap();
/// assert_eq!(namespace.to_string(), "ssd/tenant-7");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    /// The pool.
    pub pool: Name,
    /// The namespace's name; empty for the default one.
    pub name: Name,
}

impl Namespace {
    /// The default namespace of a pool.
    pub fn of_pool(pool: Name) -> Self {
        Namespace { pool, name: Name::default() }
    }

    /// The spec of a volume here, by name.
    pub fn volume(&self, name: Name) -> VolumeSpec {
        VolumeSpec { namespace: self.clone(), volume: Target::Name(name), snapshot: None }
    }

    /// The spec of a volume here, by id.
    pub fn volume_by_id(&self, id: VolumeId) -> VolumeSpec {
        VolumeSpec { namespace: self.clone(), volume: Target::Id(id), snapshot: None }
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace::of_pool(Name::from_bytes(DEFAULT_POOL))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pool)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

impl FromStr for Namespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::new(
                ErrorKind::Usage,
                format!("`{}` is not a pool or namespace", crate::escape(text.as_bytes())),
            )
            .hint("write POOL or POOL/NAMESPACE")
        };
        let (pool, name) = text.split_once('/').unwrap_or((text, ""));
        if pool.is_empty() || name.contains('/') || text.contains('@') {
            return Err(bad());
        }
        Ok(Namespace { pool: typed_name(pool)?, name: typed_name(name)? })
    }
}

/// What stands for a volume in a spec: its name, or `id:IMAGEID` where the name cannot be typed or is in trash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// By name; finds no volume that is in trash.
    Name(Name),
    /// By id; finds a volume in trash too.
    Id(VolumeId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name) => name.fmt(f),
            Target::Id(id) => write!(f, "id:{id}"),
        }
    }
}

/// A volume, or one of its snapshots: `[pool/[namespace/]]volume[@snapshot]`.
///
/// Names may be typed with the escapes that Volary prints (`\xNN`), so every printed spec can be pasted back.
///
/// ```
/// use volary::VolumeSpec;
/// let spec: VolumeSpec = "ssd/tenant-7/web@golden".parse().unwrap();
/// assert_eq!(spec.namespace.to_string(), "ssd/tenant-7");
/// assert_eq!(spec.to_string(), "ssd/tenant-7/web@golden");
/// let spec: VolumeSpec = "web".parse().unwrap();
/// assert_eq!(spec.to_string(), "rbd/web");
/// assert!("a/b/c/d".parse::<VolumeSpec>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeSpec {
    /// Where it is.
    pub namespace: Namespace,
    /// Which volume.
    pub volume: Target,
    /// Which snapshot of it, or its head.
    pub snapshot: Option<Name>,
}

impl VolumeSpec {
    /// The same volume at a snapshot.
    #[must_use]
    pub fn at(&self, snapshot: Name) -> VolumeSpec {
        VolumeSpec { snapshot: Some(snapshot), ..self.clone() }
    }

    /// The same volume's head.
    #[must_use]
    pub fn head(&self) -> VolumeSpec {
        VolumeSpec { snapshot: None, ..self.clone() }
    }

    /// The snapshot that the command needs named.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when the spec names none.
    pub fn required_snapshot(&self) -> Result<&Name> {
        self.snapshot.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{self}` names no snapshot"))
                .hint(format!("write {self}@SNAPSHOT"))
        })
    }

    /// Checks that the spec stands for a volume, not for a snapshot of it.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when it names a snapshot.
    pub fn require_head(&self) -> Result<()> {
        if self.snapshot.is_none() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Usage, format!("`{self}` names a snapshot where a volume is meant"))
            .hint(format!("write {}", self.head())))
    }

    /// The name for a volume that is about to be made.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a snapshot, an id, or a name that breaks the grammar.
    pub fn new_name(&self) -> Result<Name> {
        self.require_head()?;
        match &self.volume {
            Target::Name(name) => name.clone().checked_for_creation(),
            Target::Id(_) => {
                Err(Error::new(ErrorKind::Usage, format!("`{self}` is an id where a new name is meant")))
            }
        }
    }
}

impl fmt::Display for VolumeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.volume)?;
        match &self.snapshot {
            Some(snapshot) => write!(f, "@{snapshot}"),
            None => Ok(()),
        }
    }
}

impl FromStr for VolumeSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(
                ErrorKind::Usage,
                format!("`{}` is not a volume spec: {why}", crate::escape(text.as_bytes())),
            )
            .hint("write [POOL/[NAMESPACE/]]VOLUME[@SNAPSHOT]")
        };
        let (path, snapshot) = match text.split_once('@') {
            None => (text, None),
            Some((_, "")) => return Err(bad("the snapshot's name is empty")),
            Some((_, rest)) if rest.contains(['@', '/']) => return Err(bad("more follows the snapshot")),
            Some((path, snapshot)) => (path, Some(typed_name(snapshot)?)),
        };
        let (namespace, volume) = match path.rsplit_once('/') {
            None => (Namespace::default(), path),
            Some((namespace, volume)) => (namespace.parse()?, volume),
        };
        let volume = match volume.strip_prefix("id:") {
            Some(id) => Target::Id(VolumeId::new(id)?),
            None if volume.is_empty() => return Err(bad("the volume's name is empty")),
            None => Target::Name(typed_name(volume)?),
        };
        Ok(VolumeSpec { namespace, volume, snapshot })
    }
}

fn typed_name(text: &str) -> Result<Name> {
    Ok(Name::from_bytes(unescape(text)?))
}

macro_rules! serialize_as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    )*};
}
serialize_as_text!(Namespace, VolumeSpec);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_printed_parses_back(pool in "[^\0]{1,8}", name in any::<Vec<u8>>(), volume in any::<Vec<u8>>(), snap in any::<Option<Vec<u8>>>()) {
            prop_assume!(!volume.is_empty() && snap.as_ref().is_none_or(|s| !s.is_empty()));
            let spec = VolumeSpec {
                namespace: Namespace { pool: Name::from_bytes(pool), name: Name::from_bytes(name) },
                volume: Target::Name(Name::from_bytes(volume)),
                snapshot: snap.map(Name::from_bytes),
            };
            prop_assert_eq!(spec.to_string().parse::<VolumeSpec>().unwrap(), spec);
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<VolumeSpec>();
            let _ = text.parse::<Namespace>();
        }
    }

    #[test]
    fn malformed_specs_are_usage_errors() {
        for bad in ["", "@s", "a@", "a@b@c", "a@b/c", "/a", "a//b/c", "a/b/c/d", "p/", "id:", "id:..", "a\\q"]
        {
            assert_eq!(bad.parse::<VolumeSpec>().unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }

    #[test]
    fn a_name_that_looks_like_an_id_is_printed_apart_from_it() {
        let spec = Namespace::default().volume(Name::from_bytes("id:10ab"));
        assert_eq!(spec.to_string(), "rbd/id\\x3a10ab");
    }
}
