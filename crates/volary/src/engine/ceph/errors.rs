//! What Ceph answers, as a kind to act on: the one table of its error numbers.

use crate::{Error, ErrorKind};
use rbd::{Errno, Keyring, Refusal};

fn kind(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ENOENT => ErrorKind::NotFound,
        Errno::EEXIST => ErrorKind::AlreadyExists,
        Errno::EPERM | Errno::EACCES | Errno::EKEYREJECTED | Errno::EROFS => ErrorKind::Permission,
        Errno::EBUSY | Errno::ENOTEMPTY | Errno::ESTALE | Errno::EUCLEAN | Errno::EAGAIN => {
            ErrorKind::Blocked
        }
        Errno::ENOSPC | Errno::EDQUOT => ErrorKind::NoSpace,
        Errno::EINVAL
        | Errno::ENAMETOOLONG
        | Errno::E2BIG
        | Errno::EFBIG
        | Errno::EDOM
        | Errno::ERANGE
        | Errno::EXDEV => ErrorKind::Usage,
        Errno::EOPNOTSUPP => ErrorKind::Unsupported,
        Errno::ENODEV => ErrorKind::Mismatch,
        Errno::ETIMEDOUT => ErrorKind::Deadline,
        Errno::ENOTCONN | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ESHUTDOWN => {
            ErrorKind::Unreachable
        }
        _ => ErrorKind::Internal,
    }
}

fn hint(errno: Errno, pool: Option<&str>) -> Option<String> {
    let known = match errno {
        Errno::EPERM | Errno::EACCES | Errno::EKEYREJECTED => {
            let pool = pool.unwrap_or("POOL");
            return Some(format!(
                "the user needs mon 'profile rbd', osd 'profile rbd pool={pool}', mgr 'profile rbd pool={pool}'; \
                 an administrator gives them with `ceph auth caps`, which replaces all that it has"
            ));
        }
        Errno::EBUSY => "close what has it open; a client that died lets go after about 30 s",
        Errno::ENOTEMPTY => "remove its snapshots first",
        Errno::ESTALE => "repeat the call: another one changed or removed the volume at the same time",
        Errno::EUCLEAN => "repeat the call that was interrupted",
        Errno::ENODEV => {
            "restore a backup; `rbd info` shows which pool it was, `volary rm` removes what is left"
        }
        Errno::ETIMEDOUT => SILENT,
        Errno::ESHUTDOWN => "the cluster has blocklisted this client: somebody took its lock; start anew",
        Errno::ENOSPC | Errno::EDQUOT => "free space, or raise the quota of the pool",
        _ => return None,
    };
    Some(known.to_owned())
}

const SILENT: &str = "see whether monitors and OSDs answer (`ceph -s`), or give more time with --timeout";
const NO_LIBRARY: &str = "install librbd1 and librados2 of Ceph 16 or newer (Debian, Ubuntu: `apt install librbd1`; \
                          Fedora, RHEL: `dnf install librbd1`; openSUSE: `zypper install librbd1`), or use a local: store";

fn name(errno: Errno) -> String {
    errno.name().map_or_else(|| errno.number().to_string(), str::to_owned)
}

/// Why there is no connection, told from what librados answered and what its keyring holds.
fn unconnected(refusal: &Refusal) -> Error {
    let Refusal { errno, user, keyring, .. } = refusal;
    let (kind, what, hint) = match (keyring, *errno) {
        (_, Errno::ETIMEDOUT) => (
            ErrorKind::Deadline,
            if refusal.returned { "no monitor answers" } else { "connecting does not end" },
            "see whether the monitors run and can be reached from here, or give more time with --timeout"
                .to_owned(),
        ),
        (Some(Keyring::Unreadable { .. }), _) => (
            ErrorKind::Permission,
            "the keyring cannot be read",
            format!(
                "let this process read it, or name another with `keyring` in the section [{user}] of the configuration"
            ),
        ),
        (Some(Keyring::Without(_)), _) => (
            ErrorKind::Permission,
            "the keyring has no key for this user",
            format!("add it with `ceph auth get {user}`, or choose another user with ?id="),
        ),
        (Some(Keyring::Absent(_)), Errno::ENOENT | Errno::EACCES | Errno::EPERM) => (
            ErrorKind::Permission,
            "there is no keyring",
            format!(
                "let `keyring` in the configuration name a file with the key of {user} (`ceph auth get {user}`)"
            ),
        ),
        (Some(Keyring::Inline | Keyring::Holds(_)), Errno::EINVAL) => (
            ErrorKind::Permission,
            "the key is malformed",
            format!("copy it whole, as `ceph auth get-key {user}` prints it"),
        ),
        (_, Errno::ENOENT) => {
            (ErrorKind::NotFound, "the configuration names no monitor", "set mon_host in it".to_owned())
        }
        (_, Errno::EACCES | Errno::EPERM | Errno::EKEYREJECTED) => (
            ErrorKind::Permission,
            "the monitors refuse this user's key",
            format!(
                "compare the keyring with `ceph auth get {user}`, as its administrator: a user without mon 'profile rbd' is refused \
                 so, too"
            ),
        ),
        (_, errno) => (kind(errno), "cannot connect to the cluster", SILENT.to_owned()),
    };
    let told = match keyring {
        Some(Keyring::Unreadable { errno, .. }) => *errno,
        _ => *errno,
    };
    let monitors = if refusal.monitors.is_empty() { "none in the configuration" } else { &refusal.monitors };
    let error = Error::new(kind, what)
        .context("errno", name(told))
        .context("user", user)
        .context("monitors", monitors);
    let error = if let Some(keyring) = keyring { error.context("keyring", keyring) } else { error };
    error.hint(hint)
}

impl From<rbd::Error> for Error {
    fn from(from: rbd::Error) -> Self {
        use rbd::Error as E;
        let error = match &from {
            E::Failed { errno, at, .. } => {
                // librbd has no other use for it.
                let deleted = *errno == Errno::ENODEV;
                let what = if deleted { "the pool of its data was deleted" } else { "Ceph refused" };
                let mut error = Error::new(kind(*errno), what).context("errno", name(*errno));
                if let Some(pool) = &at.pool {
                    error = error.context("pool", pool);
                }
                match hint(*errno, at.pool.as_deref()) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            // All that it says is in the context.
            E::Connect(refusal) => return unconnected(refusal),
            E::Unsupported { .. } => Error::new(ErrorKind::Unsupported, "Ceph's libraries here are too old")
                .hint("install a newer librbd"),
            E::Load { .. } => {
                Error::new(ErrorKind::Unreachable, "Ceph's libraries librbd and librados cannot be used")
                    .context("errno", "ELIBACC")
                    .hint(NO_LIBRARY)
            }
            E::Environment { .. } => {
                Error::new(ErrorKind::Usage, "the environment would outrank Ceph's configuration")
                    .hint("unset CEPH_ARGS, CEPH_LIB, CEPH_KEYRING and CEPH_CONF")
            }
            E::GivenUp { .. } => Error::new(ErrorKind::Deadline, "no answer within the timeout").hint(SILENT),
            E::Cancelled { .. } => Error::new(ErrorKind::Interrupted, "interrupted"),
            E::Nul { .. } => Error::new(ErrorKind::Usage, "a name that Ceph cannot keep"),
            E::Closed => Error::new(ErrorKind::Usage, "the handle is closed"),
            _ => Error::new(ErrorKind::Internal, "Ceph answered what cannot be understood"),
        };
        error.because(from)
    }
}
