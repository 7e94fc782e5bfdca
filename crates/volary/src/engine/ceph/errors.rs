//! What Ceph answers, as a kind to act on: the one table of its error numbers.

use crate::{Error, ErrorKind};
use rbd::Errno;

fn kind(errno: Errno) -> ErrorKind {
    match errno {
        Errno::ENOENT => ErrorKind::NotFound,
        Errno::EEXIST => ErrorKind::AlreadyExists,
        Errno::EPERM | Errno::EACCES | Errno::EKEYREJECTED | Errno::EROFS => ErrorKind::Permission,
        Errno::EBUSY | Errno::ENOTEMPTY | Errno::EUCLEAN | Errno::EAGAIN => ErrorKind::Blocked,
        Errno::ENOSPC | Errno::EDQUOT => ErrorKind::NoSpace,
        Errno::EINVAL
        | Errno::ENAMETOOLONG
        | Errno::E2BIG
        | Errno::EFBIG
        | Errno::EDOM
        | Errno::ERANGE
        | Errno::EXDEV => ErrorKind::Usage,
        Errno::EOPNOTSUPP => ErrorKind::Unsupported,
        Errno::ETIMEDOUT => ErrorKind::Deadline,
        Errno::ENOTCONN | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ESHUTDOWN => {
            ErrorKind::Unreachable
        }
        _ => ErrorKind::Internal,
    }
}

fn hint(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EPERM | Errno::EACCES | Errno::EKEYREJECTED => Some(
            "check the user's key and capabilities: mon 'profile rbd', osd 'profile rbd pool=POOL', mgr 'profile rbd'",
        ),
        Errno::EBUSY => Some("close what has it open; a client that died lets go after about 30 s"),
        Errno::ENOTEMPTY => Some("remove its snapshots first"),
        Errno::EUCLEAN => Some("repeat the call that was interrupted"),
        Errno::ETIMEDOUT => {
            Some("see whether monitors and OSDs answer (`ceph -s`), or give more time with --timeout")
        }
        Errno::ESHUTDOWN => {
            Some("the cluster has blocklisted this client: somebody took its lock; start anew")
        }
        Errno::ENOSPC | Errno::EDQUOT => Some("free space, or raise the quota of the pool"),
        _ => None,
    }
}

impl From<rbd::Error> for Error {
    fn from(from: rbd::Error) -> Self {
        use rbd::Error as E;
        let error = match &from {
            E::Failed { errno, .. } => {
                let name = errno.name().map_or_else(|| errno.number().to_string(), str::to_owned);
                let error = Error::new(kind(*errno), "Ceph refused").context("errno", name);
                match hint(*errno) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            E::Unsupported { .. } => Error::new(ErrorKind::Unsupported, "Ceph's libraries here are too old")
                .hint("install a newer librbd"),
            E::Load { .. } => Error::new(ErrorKind::Unreachable, "Ceph's libraries cannot be used")
                .hint("install librbd1 and librados2 (on Debian: apt install librbd1), Ceph 16 or newer"),
            E::Environment { .. } => {
                Error::new(ErrorKind::Usage, "the environment would outrank Ceph's configuration")
                    .hint("unset CEPH_ARGS, CEPH_LIB, CEPH_KEYRING and CEPH_CONF")
            }
            E::GivenUp { .. } => Error::new(ErrorKind::Deadline, "no answer within the timeout")
                .hint("see whether monitors and OSDs answer (`ceph -s`), or give more time with --timeout"),
            E::Cancelled { .. } => Error::new(ErrorKind::Interrupted, "interrupted"),
            E::Nul { .. } => Error::new(ErrorKind::Usage, "a name that Ceph cannot keep"),
            E::Closed => Error::new(ErrorKind::Usage, "the handle is closed"),
            _ => Error::new(ErrorKind::Internal, "Ceph answered what cannot be understood"),
        };
        error.because(from)
    }
}
