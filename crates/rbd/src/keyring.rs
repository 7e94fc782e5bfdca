//! Which keyring a connection had its key from, or why it had none: librados answers the same for all of it.

use crate::errno::Errno;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What was found of the keyrings that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keyring {
    /// None of these is there.
    Absent(Vec<PathBuf>),
    /// None can be read; this is the first that is there.
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What reading it answered.
        errno: Errno,
    },
    /// The one that is read has no key for the user.
    Without(PathBuf),
    /// It has a key for the user.
    Holds(PathBuf),
    /// The configuration has a key itself, which counts before any file.
    Inline,
}

/// The longest keyring looked through.
const MOST: u64 = 1 << 20;

impl Keyring {
    /// Looks where librados looks: the first of the list that opens is the one that counts.
    pub(crate) fn look(list: &[u8], user: &str) -> Self {
        let separated = list.split(|byte| b";,= \t".contains(byte)).filter(|path| !path.is_empty());
        let paths = separated.map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)));
        let mut unreadable = None;
        let mut absent = Vec::new();
        for path in paths {
            let mut text = Vec::new();
            match File::open(&path) {
                Ok(file) => {
                    return match file.take(MOST).read_to_end(&mut text) {
                        Ok(_) if names(&text, user) => Keyring::Holds(path),
                        Ok(_) => Keyring::Without(path),
                        Err(error) => Keyring::Unreadable { path, errno: Errno::of(&error) },
                    };
                }
                Err(error) if Errno::of(&error) == Errno::ENOENT => absent.push(path),
                Err(error) => {
                    unreadable.get_or_insert(Keyring::Unreadable { path, errno: Errno::of(&error) });
                }
            }
        }
        unreadable.unwrap_or(Keyring::Absent(absent))
    }
}

/// Whether a keyring has a section of this user.
fn names(text: &[u8], user: &str) -> bool {
    let section = format!("[{user}]");
    text.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == section.as_bytes())
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |path: &PathBuf| path.as_os_str().as_bytes().escape_ascii().to_string();
        match self {
            Keyring::Inline => f.write_str("none, the configuration has the key itself"),
            Keyring::Absent(paths) => f.write_str(&paths.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Keyring::Unreadable { path, .. } | Keyring::Without(path) | Keyring::Holds(path) => {
                f.write_str(&shown(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Keyring;
    use crate::errno::Errno;

    #[test]
    fn the_first_keyring_that_opens_counts_and_the_others_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("full"), "[client.a]\n key = x\n  [client.b] \n").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
        let look = |names: &[&str]| {
            let list: Vec<_> = names.iter().map(|name| at(name).display().to_string()).collect();
            Keyring::look(list.join(", ").as_bytes(), "client.b")
        };
        assert_eq!(look(&["none", "full"]), Keyring::Holds(at("full")));
        assert_eq!(look(&["empty", "full"]), Keyring::Without(at("empty")));
        assert_eq!(look(&["none", "no"]), Keyring::Absent(vec![at("none"), at("no")]));
        let looped = Keyring::Unreadable { path: at("loop"), errno: Errno::ELOOP };
        assert_eq!(look(&["loop", "none"]), looped);
        assert_eq!(look(&["loop", "full"]), Keyring::Holds(at("full")));
        let directory = Keyring::Unreadable { path: at(""), errno: Errno::EISDIR };
        assert_eq!(look(&[""]), directory);
    }
}
