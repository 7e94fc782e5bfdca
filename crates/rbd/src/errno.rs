//! Error numbers by name.

use std::fmt;

/// An error number of Linux, as Ceph's libraries answer it (negated).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($number);)*

            /// Its name, such as `ENOENT`, when it is one that Ceph is known to answer.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            fn text(self) -> &'static str {
                match self.0 { $($number => $text,)* _ => "unknown error" }
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such entry";
    EINTR = 4, "interrupted";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "too long";
    EBADF = 9, "bad handle";
    EAGAIN = 11, "try again";
    ENOMEM = 12, "out of memory";
    EACCES = 13, "permission denied";
    EBUSY = 16, "busy";
    EEXIST = 17, "already exists";
    EXDEV = 18, "in another pool";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    EFBIG = 27, "too large";
    ENOSPC = 28, "no space left";
    EROFS = 30, "read-only";
    EDOM = 33, "argument out of domain";
    ERANGE = 34, "buffer too short";
    ENAMETOOLONG = 36, "name too long";
    ENOTEMPTY = 39, "not empty";
    ELOOP = 40, "too many symbolic links";
    EILSEQ = 84, "illegal sequence";
    ENODATA = 61, "no data";
    EBADMSG = 74, "bad message";
    EOPNOTSUPP = 95, "not supported";
    ESHUTDOWN = 108, "this client is blocklisted";
    ENOTCONN = 107, "not connected";
    ETIMEDOUT = 110, "timed out";
    ECONNREFUSED = 111, "connection refused";
    EHOSTUNREACH = 113, "host unreachable";
    ESTALE = 116, "gone or changed meanwhile";
    EUCLEAN = 117, "needs cleaning";
    EDQUOT = 122, "quota exceeded";
    ECANCELED = 125, "cancelled";
    EKEYREJECTED = 129, "key rejected";
}

impl Errno {
    pub(crate) fn from_answer(answer: i64) -> Errno {
        Errno(answer.checked_neg().and_then(|number| i32::try_from(number).ok()).unwrap_or(i32::MAX))
    }

    /// What a call of the operating system answered.
    pub(crate) fn of(error: &std::io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::EIO, Errno)
    }

    /// The number, positive.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.text()),
            None => write!(f, "unknown error (errno {})", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Errno;

    #[test]
    fn an_answer_becomes_its_positive_number_and_never_overflows() {
        assert_eq!(Errno::from_answer(-2), Errno::ENOENT);
        assert_eq!(Errno::ENOENT.to_string(), "no such entry (ENOENT)");
        assert_eq!(Errno::from_answer(-4000).to_string(), "unknown error (errno 4000)");
        assert_eq!(Errno::from_answer(i64::MIN).number(), i32::MAX);
    }
}
