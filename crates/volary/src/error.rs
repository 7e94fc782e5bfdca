//! The one error type: a small kind to act on, what was being done, the cause, and the remedy.

use std::error::Error as StdError;
use std::fmt;

/// What the caller can do about a failure; exit codes and exception classes follow from it.
///
/// A kind exists only where every engine could return it and a caller would act differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A fault of Volary or of something it could not classify.
    Internal,
    /// The arguments make no sense: bad spec, name, size, or combination.
    Usage,
    /// The volume, snapshot, pool, namespace, key or record is not there.
    NotFound,
    /// Something of that name is there already; nothing was changed.
    AlreadyExists,
    /// Somebody or something holds it: a writer, a watcher, a lock, a child, a protection.
    Blocked,
    /// The source image is unsafe or malformed, or is not what it was declared to be.
    Refused,
    /// The source changed while it was being read.
    SourceChanged,
    /// The content is not what was expected: checksum or verification.
    Mismatch,
    /// The deadline or the stall limit passed before the operation ended.
    Deadline,
    /// The store, or the server of a source, cannot be reached.
    Unreachable,
    /// The store, the system or the server of a source denied it.
    Permission,
    /// No space is left, a quota is reached, or the file system of a local store is mounted read-only.
    NoSpace,
    /// Part of it is done; the rest is pending.
    Partial,
    /// This store, library or build cannot do it.
    Unsupported,
    /// The caller asked to stop, and what had been started was undone.
    Interrupted,
}

impl ErrorKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [ErrorKind] = &[
        Self::Internal,
        Self::Usage,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Blocked,
        Self::Refused,
        Self::SourceChanged,
        Self::Mismatch,
        Self::Deadline,
        Self::Unreachable,
        Self::Permission,
        Self::NoSpace,
        Self::Partial,
        Self::Unsupported,
        Self::Interrupted,
    ];

    /// The kind's stable word, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::SourceChanged => "source_changed",
            Self::Mismatch => "mismatch",
            Self::Deadline => "deadline",
            Self::Unreachable => "unreachable",
            Self::Permission => "permission",
            Self::NoSpace => "no_space",
            Self::Partial => "partial",
            Self::Unsupported => "unsupported",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code of a command that ends with this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::AlreadyExists => 4,
            Self::Blocked => 5,
            Self::Refused | Self::SourceChanged => 6,
            Self::Mismatch => 7,
            Self::Deadline | Self::Unreachable => 8,
            Self::Permission => 9,
            Self::NoSpace => 10,
            Self::Partial => 11,
            Self::Unsupported => 12,
            Self::Interrupted => 130,
        }
    }

    /// Whether the same call may succeed later without anybody changing its arguments.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Blocked | Self::SourceChanged | Self::Deadline | Self::Unreachable | Self::NoSpace
        )
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: its kind, what happened, where (context), why (source), and what to do (hint).
///
/// `Display` prints the message and the context, never the source: walk [`StdError::source`] for that, or use
/// [`Error::report`]. Text from outside is expected to be escaped already by the types that carry it
/// ([`crate::Name`], [`crate::escape`]).
///
/// ```
/// use volary::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::NotFound, "no such volume")
///     .context("volume", "rbd/web")
///     .hint("`volary ls rbd` shows the volumes there are");
/// assert_eq!(error.to_string(), "no such volume (volume rbd/web)");
/// assert_eq!(error.kind().exit_code(), 3);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    context: Vec<(&'static str, String)>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says what happened, in a few words without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            context: Vec::new(),
            hint: None,
            source: None,
        }))
    }

    /// Adds what was being worked on: a key such as `volume`, `path`, `step`, and its value. What was said already is not said again.
    #[must_use]
    pub fn context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let pair = (key, value.to_string());
        if !self.0.context.contains(&pair) {
            self.0.context.push(pair);
        }
        self
    }

    /// Names the remedy; the hint nearest to the cause is kept.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Classifies an error of the operating system; the one place where an errno becomes a kind.
    ///
    /// ```
    /// use volary::{Error, ErrorKind};
    /// let full = std::io::Error::from_raw_os_error(28);
    /// assert_eq!(Error::io("writing an object", full).kind(), ErrorKind::NoSpace);
    /// ```
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::AlreadyExists,
            Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Permission,
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::NoSpace,
            Io::TimedOut => ErrorKind::Deadline,
            Io::Unsupported => ErrorKind::Unsupported,
            Io::ResourceBusy | Io::WouldBlock | Io::DirectoryNotEmpty | Io::AddrInUse => ErrorKind::Blocked,
            Io::InvalidInput | Io::InvalidFilename => ErrorKind::Usage,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, doing).because(source)
    }

    /// The kind to act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What happened, without context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it happened, as pairs of key and value, innermost first.
    pub fn contexts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// The remedy, when one is known.
    pub fn remedy(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// One line with the whole chain of causes, for logs and standard error.
    pub fn report(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&crate::escape(error.to_string().as_bytes()));
            cause = error.source();
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if index == 0 { " (" } else { ", " })?;
            write!(f, "{key} {value}")?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("context", &self.0.context)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_word_and_serialises_as_it() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn display_never_repeats_the_source() {
        let error = Error::io("opening the store", std::io::Error::other("disk on fire"));
        assert!(!error.to_string().contains("disk on fire"));
        assert_eq!(error.report(), "opening the store: disk on fire");
    }
}
