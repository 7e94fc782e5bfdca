//! Who an intent belongs to, and whether that process can still be there.

use super::random_hex;
use crate::driver::audit::operation_id;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The process that works on an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Owner {
    pub(crate) host: String,
    boot_id: String,
    /// The namespace of its process id, as the kernel names it: a container's ids are not the host's.
    pid_namespace: String,
    pid: u32,
    /// When the process started, in clock ticks since boot: a process id is used again, the pair is not.
    pid_start: u64,
    /// The operation's id, as the audit trail has it; random where there is none. It tells apart two operations of one process.
    pub(crate) instance: String,
}

impl Owner {
    /// This process, for one operation.
    pub(crate) fn this_process() -> Result<Owner> {
        let pid = std::process::id();
        let malformed =
            || Error::new(ErrorKind::Internal, "learning who I am").context("path", "/proc/self/stat");
        Ok(Owner {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            boot_id: boot_id()?,
            pid_namespace: pid_namespace()?,
            pid,
            pid_start: start_of(pid)?.ok_or_else(malformed)?,
            instance: operation_id().map_or_else(random_hex, Ok)?,
        })
    }

    /// Whether the process surely is gone, as only its own host can tell; elsewhere only its beat counts.
    pub(crate) fn is_gone(&self) -> bool {
        let here = || Ok::<_, Error>(boot_id()? == self.boot_id && pid_namespace()? == self.pid_namespace);
        here().unwrap_or(false) && start_of(self.pid).is_ok_and(|start| start != Some(self.pid_start))
    }

    /// The bytes of the longest of its texts.
    pub(super) fn longest(&self) -> usize {
        let texts = [&self.host, &self.boot_id, &self.pid_namespace, &self.instance];
        texts.into_iter().map(String::len).max().unwrap_or(0)
    }

    /// As people are told: host and process.
    pub(crate) fn shown(&self) -> String {
        format!("{} process {}", crate::escape(self.host.as_bytes()), self.pid)
    }
}

fn reading(path: &str, error: std::io::Error) -> Error {
    Error::io("learning who I am", error).context("path", path)
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).map_err(|error| reading(path, error))?;
    Ok(id.trim().to_owned())
}

fn pid_namespace() -> Result<String> {
    let path = "/proc/self/ns/pid";
    let name = std::fs::read_link(path).map_err(|error| reading(path, error))?;
    Ok(name.to_string_lossy().into_owned())
}

/// When a process started; `None` when there is no such process.
fn start_of(pid: u32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/stat");
    let stat = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // Ended between opening and reading.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Ok(None);
        }
        stat => stat.map_err(|error| reading(&path, error))?,
    };
    // The second field is the program's name in brackets, and may hold anything; the state is field 3, the start 22.
    let mut fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    // Dead but not yet waited for: it does nothing any more.
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None);
    }
    let start = fields.nth(18).and_then(|ticks| ticks.parse().ok());
    start.map(Some).ok_or_else(|| Error::new(ErrorKind::Internal, "learning who runs").context("path", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_one_of_another_start_is_gone() {
        let me = Owner::this_process().unwrap();
        assert!(!me.is_gone());
        assert!(Owner { pid_start: me.pid_start + 1, ..me.clone() }.is_gone());
        assert!(Owner { pid: u32::MAX, ..me.clone() }.is_gone());
    }

    #[test]
    fn of_another_boot_or_container_nothing_is_known() {
        let me = Owner::this_process().unwrap();
        assert!(!Owner { pid: u32::MAX, boot_id: "other".into(), ..me.clone() }.is_gone());
        assert!(!Owner { pid: u32::MAX, pid_namespace: "pid:[1]".into(), ..me }.is_gone());
    }
}
