//! What can go wrong, as exactly as the C functions tell.

use crate::errno::Errno;
use crate::keyring::Keyring;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of one call.
///
/// It says which C function failed and on what; it never holds a key or a message of the library, which might.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A C function answered an error.
    #[error("{symbol}{at}: {errno}")]
    Failed {
        /// The C function.
        symbol: &'static str,
        /// What it answered.
        errno: Errno,
        /// What it was called on.
        at: Box<Place>,
    },
    /// The cluster could not be connected to.
    #[error("{0}")]
    Connect(Box<Refusal>),
    /// The library is there, but older than this function.
    #[error("{symbol} is missing in this version of Ceph's libraries")]
    Unsupported {
        /// The C function.
        symbol: &'static str,
    },
    /// The library cannot be used.
    #[error("cannot load {}: {reason}", path.display())]
    Load {
        /// What was to be loaded.
        path: PathBuf,
        /// Why that failed, and what to do.
        reason: String,
    },
    /// A variable of the environment would outrank the configuration.
    #[error(
        "the environment variable {variable} would outrank the configuration; unset it, or trust it expressly"
    )]
    Environment {
        /// The variable.
        variable: &'static str,
    },
    /// The environment is only changed while there is one thread.
    #[error("the process has {threads} threads, and its environment is left alone")]
    NotAlone {
        /// How many there are; 0 when that cannot be told.
        threads: usize,
    },
    /// The caller's limit passed before the C function returned; whether it took effect is unknown.
    #[error("{symbol} had not returned after {after:?}")]
    GivenUp {
        /// The C function, or the step.
        symbol: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The progress callback of the caller ended it.
    #[error("{symbol} was cancelled")]
    Cancelled {
        /// The C function.
        symbol: &'static str,
    },
    /// A name or value holds a NUL byte, or is one that C's interface cannot tell from "none".
    #[error("{what} is empty or holds a NUL byte")]
    Nul {
        /// What holds it.
        what: &'static str,
    },
    /// The handle is closed, or is being closed.
    #[error("the handle is closed")]
    Closed,
    /// What the cluster answered cannot be understood.
    #[error("{symbol} answered what cannot be understood: {detail}")]
    Malformed {
        /// The C function.
        symbol: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

impl Error {
    /// The error number, when a C function answered one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Failed { errno, .. } => Some(*errno),
            Error::Connect(refusal) => Some(refusal.errno),
            _ => None,
        }
    }

    /// The C function that failed, when one did.
    pub fn symbol(&self) -> Option<&'static str> {
        match self {
            Error::Failed { symbol, .. }
            | Error::Unsupported { symbol }
            | Error::GivenUp { symbol, .. }
            | Error::Cancelled { symbol }
            | Error::Malformed { symbol, .. } => Some(symbol),
            Error::Connect(_) => Some("rados_connect"),
            _ => None,
        }
    }
}

/// Why there is no connection: who asked whom, with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// What `rados_connect` answered; ETIMEDOUT too when it had not returned by the caller's limit.
    pub errno: Errno,
    /// Whether it returned.
    pub returned: bool,
    /// The user, with `client.`, escaped.
    pub user: String,
    /// The monitors as the configuration names them, escaped; empty when it names none.
    pub monitors: String,
    /// The keyring, when looking at it can explain the failure.
    pub keyring: Option<Keyring>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rados_connect [user {}, monitors {}", self.user, self.monitors)?;
        if let Some(keyring) = &self.keyring {
            write!(f, ", keyring {keyring}")?;
        }
        write!(f, "]: {}{}", if self.returned { "" } else { "it did not return, " }, self.errno)
    }
}

/// What a call was made on; names are escaped for reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The pool.
    pub pool: Option<String>,
    /// The namespace, unless it is the default one.
    pub namespace: Option<String>,
    /// The image or RADOS object, by name or `id:…`.
    pub object: Option<String>,
    /// The snapshot.
    pub snapshot: Option<String>,
    /// Anything else: an option, a path, an offset.
    pub detail: Option<String>,
}

impl Place {
    pub(crate) fn detail(text: impl Into<String>) -> Self {
        Place { detail: Some(text.into()), ..Place::default() }
    }

    pub(crate) fn object(&self, name: &[u8]) -> Self {
        Place { object: Some(name.escape_ascii().to_string()), ..self.clone() }
    }

    pub(crate) fn id(&self, id: &[u8]) -> Self {
        Place { object: Some(format!("id:{}", id.escape_ascii())), ..self.clone() }
    }

    pub(crate) fn snapshot(&self, name: &[u8]) -> Self {
        Place { snapshot: Some(name.escape_ascii().to_string()), ..self.clone() }
    }

    pub(crate) fn with(&self, detail: impl Into<String>) -> Self {
        Place { detail: Some(detail.into()), ..self.clone() }
    }

    /// The answer of a C function, or the error it stands for.
    pub(crate) fn check(&self, symbol: &'static str, answer: i64) -> Result<u64> {
        u64::try_from(answer).map_err(|_| Error::Failed {
            symbol,
            errno: Errno::from_answer(answer),
            at: Box::new(self.clone()),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("pool", &self.pool),
            ("namespace", &self.namespace),
            ("object", &self.object),
            ("snapshot", &self.snapshot),
        ];
        let mut parts = parts.iter().filter_map(|(word, value)| value.as_ref().map(|value| (word, value)));
        if let Some((word, value)) = parts.next() {
            write!(f, " ({word} {value}")?;
            parts.try_for_each(|(word, value)| write!(f, ", {word} {value}"))?;
            f.write_str(")")?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " [{detail}]"))
    }
}
