//! What `inspect` and `import` need once their source is open: the rest is given up before a byte of it is looked at.

use crate::cli::Global;
use crate::commands::{Command, spool_dir};
use crate::landlock::{self, Needs, Use, restrict};
use std::path::{Path, PathBuf};
use volary::{ImportSource, StoreUrl, UrlSource};

/// Which of the commands that read what strangers wrote is run; it has opened its source.
pub(crate) enum Reader<'a> {
    Inspect { source: Option<&'a ImportSource> },
    Import { source: Option<&'a ImportSource>, also: Vec<PathBuf> },
}

impl Reader<'_> {
    /// Opens the command's source when it is one that reads one.
    pub(crate) fn of(command: &mut Command) -> Option<Reader<'_>> {
        match command {
            Command::Inspect(inspect) => Some(Reader::Inspect { source: inspect.open() }),
            Command::Import(import) => {
                let also = import.also_reads().map(Path::to_owned).collect();
                Some(Reader::Import { source: import.open(), also })
            }
            _ => None,
        }
    }

    /// Whether the command works on a store.
    pub(crate) fn uses_store(&self) -> bool {
        matches!(self, Reader::Import { .. })
    }

    /// What it still opens, on a store that is connected.
    pub(crate) fn needs(&self, store: &StoreUrl, global: &Global) -> Needs {
        let mut needs = Needs::default();
        let mut need = |path: &Path, of| needs.paths.push((path.to_owned(), of));
        // An audit log that is rotated meanwhile is made anew.
        if let Some(log) = &global.audit_log {
            let directory = log.parent().filter(|parent| !parent.as_os_str().is_empty());
            need(directory.unwrap_or(Path::new(".")), Use::Append);
        }
        let (source, store) = match self {
            Reader::Inspect { source } => (source, None),
            Reader::Import { source, also } => {
                also.iter().filter(|file| !UrlSource::is_meant(file)).for_each(|file| need(file, Use::Read));
                // Who owns an intent, and whether that process still is. Landlock keeps other processes' secrets closed.
                need(Path::new("/proc"), Use::Read);
                (source, Some(store))
            }
        };
        match store {
            Some(StoreUrl::Local(Some(path))) => {
                need(path, Use::Keep);
                need(Path::new("/dev/urandom"), Use::Read);
                // SQLite sorts what is large there.
                need(&spool_dir(), Use::Scratch);
            }
            // Ceph's libraries are connected; what they may still load on a thread of ours.
            Some(StoreUrl::Ceph(_)) => {
                for path in ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/sys", "/dev/urandom"] {
                    need(Path::new(path), Use::Read);
                }
            }
            _ => {}
        }
        if matches!(
            source,
            Some(ImportSource::Stream { .. } | ImportSource::Url(_) | ImportSource::Unwrapped(_))
        ) {
            need(&spool_dir(), Use::Scratch);
        }
        let outer = match source {
            Some(ImportSource::Unwrapped(unwrap)) => Some(&*unwrap.source),
            source => *source,
        };
        let list = match self {
            Reader::Import { also, .. } => also.iter().any(|file| UrlSource::is_meant(file)),
            Reader::Inspect { .. } => false,
        };
        // Fetched from elsewhere: names are looked up, certificates compared with those the host trusts.
        let fetches = list || matches!(outer, Some(ImportSource::Url(_)));
        if fetches {
            for path in ["/etc", "/usr", "/lib", "/lib64", "/run", "/dev/urandom"] {
                need(Path::new(path), Use::Read);
            }
            need(&spool_dir(), Use::Scratch);
        }
        if let Some(ImportSource::Url(url)) = outer {
            url.ca_file.iter().for_each(|file| need(file, Use::Read));
        }
        needs.network = fetches;
        needs.network |= matches!(store, Some(StoreUrl::Ceph(_)));
        needs
    }
}

/// Gives up everything else, and says what came of it.
pub(crate) fn give_up(needs: &Needs) {
    match restrict(needs) {
        Ok(status) => tracing::info!("{}", landlock::told(&status)),
        Err(error) => tracing::warn!(%error, "Landlock fails: other files could still be opened"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn needs(args: &[&str]) -> Needs {
        let mut cli = Cli::try_parse_from(["volary"].iter().chain(args)).unwrap();
        let store = cli.global.store.clone();
        Reader::of(&mut cli.command).unwrap().needs(&store, &cli.global)
    }

    #[test]
    fn s06_inspecting_a_file_needs_nothing() {
        let needs = needs(&["--store", "local:/s", "inspect", "/etc/hostname"]);
        assert!(needs.paths.is_empty() && !needs.network, "{needs:?}");
    }

    #[test]
    fn each_thing_that_is_asked_for_has_its_rule() {
        let has = |needs: &Needs, path: &str, of| needs.paths.contains(&(path.into(), of));
        let file = ["--store", "local:/s", "--audit-log", "/var/log/a", "import", "disk", "web"];
        let local = needs(&[&file[..], &["--checksum-file", "SUMS"]].concat());
        assert!(has(&local, "/s", Use::Keep) && has(&local, "SUMS", Use::Read), "{local:?}");
        assert!(has(&local, "/var/log", Use::Append) && !local.network, "{local:?}");
        let ceph = needs(&["--store", "ceph:/etc/ceph/ceph.conf", "import", "disk", "web"]);
        assert!(ceph.network && ceph.paths.iter().all(|(_, of)| *of == Use::Read), "{ceph:?}");
        assert!(!ceph.paths.iter().any(|(path, _)| path.starts_with("/etc/ceph")), "{ceph:?}");
        let url = needs(&["inspect", "--ca-file", "/ca.pem", "https://img.example/disk"]);
        assert!(url.network && has(&url, "/etc", Use::Read) && has(&url, "/ca.pem", Use::Read), "{url:?}");
        let list = needs(&[&file[..], &["--checksum-file", "https://img.example/SUMS"]].concat());
        assert!(list.network && !list.paths.iter().any(|(path, _)| path.starts_with("https:")), "{list:?}");
        let packed = needs(&["inspect", "--decompress", "auto", "/etc/hostname"]);
        assert_eq!((packed.paths, packed.network), (vec![(spool_dir(), Use::Scratch)], false));
        let piped = needs(&["inspect", "-"]);
        assert_eq!(piped.paths, [(spool_dir(), Use::Scratch)]);
    }

    #[test]
    fn other_commands_are_left_alone() {
        let mut cli = Cli::try_parse_from(["volary", "ls"]).unwrap();
        assert!(Reader::of(&mut cli.command).is_none());
    }
}
