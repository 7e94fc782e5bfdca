//! What systemd is told, when it is systemd that started the process: `Type=notify`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Tells the service manager, if there is one; that it cannot be told is no reason to end.
pub(crate) fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let told = address.and_then(|address| {
        UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.as_bytes(), &address))
    });
    if let Err(error) = told {
        tracing::warn!(%error, state, "the service manager cannot be told");
    }
}
