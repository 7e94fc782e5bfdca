//! Giving up the right to open files, with the kernel's Landlock: best effort, since not every kernel has it.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
    path_beneath_rules,
};
use std::fs::File;
use std::path::PathBuf;
use volary::engine::Check;

/// The newest of Landlock's versions whose rights are asked for; a kernel that knows fewer grants those.
const ASKED: ABI = ABI::V6;

/// What may still be done below a directory, or with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Files are read, directories listed.
    Read,
    /// Files are made and appended to.
    Append,
    /// Files are made, used and removed, as temporary ones are.
    Scratch,
    /// Files and directories are made, changed and removed: a store's own.
    Keep,
}

impl Use {
    fn rights(self) -> BitFlags<AccessFs> {
        match self {
            Use::Read => make_bitflags!(AccessFs::{ReadFile | ReadDir}),
            Use::Append => make_bitflags!(AccessFs::{WriteFile | MakeReg}),
            Use::Scratch => {
                make_bitflags!(AccessFs::{ReadFile | WriteFile | MakeReg | RemoveFile | Truncate})
            }
            Use::Keep => {
                make_bitflags!(AccessFs::{ReadFile | WriteFile | ReadDir | MakeReg | MakeDir | RemoveFile
                    | RemoveDir | Refer | Truncate})
            }
        }
    }
}

/// What the process goes on to need; everything else is given up.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) paths: Vec<(PathBuf, Use)>,
    /// Whether it makes connections over the network.
    pub(crate) network: bool,
}

/// Restricts the calling thread, and every thread it starts from here on, to what is needed. What is open stays open.
///
/// # Errors
/// When the kernel has Landlock and refuses it all the same; nothing is restricted then.
pub(crate) fn restrict(needs: &Needs) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?;
    if !needs.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(ASKED))?;
    }
    let mut ruleset = ruleset.create()?;
    for (path, of) in &needs.paths {
        // What is not there now needs no rule.
        ruleset = ruleset.add_rules(path_beneath_rules([path], of.rights()))?;
    }
    ruleset.restrict_self()
}

/// What came of a restriction, for the log.
pub(crate) fn told(status: &RestrictionStatus) -> &'static str {
    match status.ruleset {
        RulesetStatus::FullyEnforced => {
            "from here on the kernel (Landlock) lets this process open no file but those it needs"
        }
        RulesetStatus::PartiallyEnforced => {
            "from here on the kernel (Landlock) lets this process open no file but those it needs; it cannot restrict all else"
        }
        RulesetStatus::NotEnforced => {
            "this kernel has no Landlock: that no other file is opened rests on this process alone"
        }
    }
}

/// Finds out what the kernel offers by restricting a thread that does nothing else, and trying it.
pub(crate) fn check() -> Check {
    let tried = std::thread::spawn(|| (restrict(&Needs::default()), File::open("/").is_err()));
    match tried.join() {
        Ok((Ok(status), denied)) => verdict(&status, denied),
        Ok((Err(error), _)) => missing(format!("the kernel refuses it: {error}"), IN_A_CONTAINER),
        Err(_) => missing("it could not be tried".to_owned(), IN_A_CONTAINER),
    }
}

const NAME: &str = "landlock";
const NEWER: &str = "boot Linux 6.12 or newer";
const IN_A_CONTAINER: &str =
    "boot Linux 5.13 or newer, built with Landlock; in a container also let its calls (landlock_*) pass";
const AT_BOOT: &str =
    "add landlock to the kernel's parameter lsm=, whose list is in /sys/kernel/security/lsm";

fn verdict(status: &RestrictionStatus, denied: bool) -> Check {
    let version = match &status.landlock {
        LandlockStatus::NotEnabled => return missing("the kernel has it switched off".to_owned(), AT_BOOT),
        LandlockStatus::NotImplemented => return missing("the kernel lacks it".to_owned(), IN_A_CONTAINER),
        LandlockStatus::Available { effective_abi, kernel_abi } => {
            kernel_abi.unwrap_or(*effective_abi as i32)
        }
    };
    match status.ruleset {
        RulesetStatus::NotEnforced => missing("the kernel enforces nothing of it".to_owned(), IN_A_CONTAINER),
        _ if !denied => missing("the kernel enforces nothing of it".to_owned(), IN_A_CONTAINER),
        RulesetStatus::PartiallyEnforced => {
            let detail = format!(
                "version {version}: import and inspect cannot open other files, but could connect to others"
            );
            Check::warning(NAME, detail, NEWER)
        }
        RulesetStatus::FullyEnforced => {
            let detail = format!("version {version}: import and inspect open nothing but what they need");
            Check::ok(NAME, detail)
        }
    }
}

fn missing(why: String, remedy: &str) -> Check {
    let detail = format!("{why}: that import and inspect open no other file rests on Volary alone");
    Check::warning(NAME, detail, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{Mode, OFlags};
    use std::io::ErrorKind;
    use std::path::Path;
    use volary::engine::Verdict;

    fn status(ruleset: RulesetStatus, landlock: LandlockStatus) -> Check {
        // The type cannot be made outside of its crate: a real one, of a thread that ends, is changed.
        let real = std::thread::spawn(|| restrict(&Needs::default()).unwrap()).join().unwrap();
        let mut status = real;
        (status.ruleset, status.landlock) = (ruleset, landlock);
        verdict(&status, true)
    }

    #[test]
    fn what_the_kernel_offers_is_told_with_its_remedy() {
        let available = |kernel_abi| LandlockStatus::Available { effective_abi: ABI::V6, kernel_abi };
        let cases = [
            (RulesetStatus::FullyEnforced, available(None), Verdict::Ok, "version 6"),
            (RulesetStatus::FullyEnforced, available(Some(42)), Verdict::Ok, "version 42"),
            (RulesetStatus::PartiallyEnforced, available(None), Verdict::Warning, "could connect"),
            (RulesetStatus::NotEnforced, available(None), Verdict::Warning, "enforces nothing"),
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled, Verdict::Warning, "switched off"),
            (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented, Verdict::Warning, "lacks it"),
        ];
        for (ruleset, landlock, verdict, detail) in cases {
            let check = status(ruleset, landlock);
            assert!(check.verdict == verdict && check.detail.contains(detail), "{check:?}");
            assert_eq!(check.remedy.is_some(), verdict == Verdict::Warning, "{check:?}");
        }
    }

    #[test]
    fn s06_a_use_grants_what_it_says_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        // The thread that is restricted ends; the test's own goes on to others.
        std::thread::spawn(move || try_each_use(&root)).join().unwrap();
    }

    fn try_each_use(dir: &Path) {
        let at = |name: &str| dir.join(name);
        for name in ["read", "append", "scratch", "keep", "other"] {
            std::fs::create_dir(at(name)).unwrap();
            std::fs::write(at(name).join("file"), name).unwrap();
        }
        let uses =
            [("read", Use::Read), ("append", Use::Append), ("scratch", Use::Scratch), ("keep", Use::Keep)];
        let paths = uses.map(|(name, of)| (at(name), of)).to_vec();
        let before = File::open(at("other").join("file")).unwrap();
        let status = restrict(&Needs { paths, network: false }).unwrap();
        assert_eq!(status.ruleset, RulesetStatus::FullyEnforced, "these tests want Linux 6.12 or newer");
        let reads = |name| std::fs::read(at(name).join("file")).is_ok();
        let makes = |name| File::options().append(true).create_new(true).open(at(name).join("new")).is_ok();
        let removes = |name| std::fs::remove_file(at(name).join("file")).is_ok();
        let nests = |name| std::fs::create_dir(at(name).join("nested")).is_ok();
        let seen = ["read", "append", "scratch", "keep", "other"]
            .map(|name| (name, reads(name), makes(name), removes(name), nests(name)));
        let expected = [
            ("read", true, false, false, false),
            ("append", false, true, false, false),
            ("scratch", true, true, true, false),
            ("keep", true, true, true, true),
            ("other", false, false, false, false),
        ];
        assert_eq!(seen, expected);
        // Threads that are started later are held too; what was open is not.
        let other = at("other").join("file");
        let denied = std::thread::spawn(move || File::open(other).unwrap_err().kind()).join().unwrap();
        assert_eq!(denied, ErrorKind::PermissionDenied);
        assert_eq!(std::io::read_to_string(before).unwrap(), "other");
        let (flags, mode) = (OFlags::TMPFILE | OFlags::RDWR, Mode::RUSR | Mode::WUSR);
        assert!(rustix::fs::open(at("scratch"), flags, mode).is_ok(), "a spool can be made");
        assert!(rustix::fs::open(at("other"), flags, mode).is_err());
        let connected = std::net::TcpStream::connect("127.0.0.1:9").unwrap_err();
        assert_eq!(connected.kind(), ErrorKind::PermissionDenied);
    }
}
