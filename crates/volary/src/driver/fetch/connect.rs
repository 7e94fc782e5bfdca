//! Connecting to the server of a source: to an address that was looked up and checked here, and to no other.

use super::address::not_public;
use super::location::{Host, Location};
use super::{Trouble, UrlSource, refused};
use crate::{Error, ErrorKind};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// So many of a name's addresses are tried, each no longer than this: one that swallows everything must not hide the others.
const MOST_ADDRESSES: usize = 8;
const EACH_WITHIN: Duration = Duration::from_secs(10);

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

fn unreachable(what: &'static str, location: &Location) -> Error {
    Error::new(ErrorKind::Unreachable, what).context("server", location.authority())
}

/// Connects to where a URL leads.
pub(super) async fn connect(
    location: &Location,
    source: &UrlSource,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>, Trouble> {
    let addresses = addresses(location).await?;
    for address in &addresses {
        // One forbidden address is enough: who names it beside public ones wants it to be gone to.
        if let Some(what) = not_public(address.ip()).filter(|_| !source.allow_private_addresses) {
            return Err(refused("address", "the URL leads to an address that is not public")
                .context("server", location.authority())
                .context("address", address.ip())
                .context("which", what)
                .hint("if that is meant, allow it with --allow-private-addresses")
                .into());
        }
    }
    #[cfg(test)]
    let addresses = source.stand_in.map_or(addresses, |address| vec![address]);
    let tcp = reach(location, &addresses).await?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let name = match &location.host {
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|error| {
            Error::new(ErrorKind::Usage, "the URL's host cannot be a certificate's").because(error)
        })?,
        Host::Address(address) => ServerName::from(*address),
    };
    match TlsConnector::from(tls.clone()).connect(name, tcp).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(tls_error(location, error)),
    }
}

async fn addresses(location: &Location) -> Result<Vec<SocketAddr>, Trouble> {
    let name = match &location.host {
        Host::Address(address) => return Ok(vec![SocketAddr::new(*address, location.port)]),
        Host::Name(name) => name,
    };
    let found = tokio::net::lookup_host((name.as_str(), location.port)).await.map_err(|error| {
        let hint = "see whether the host's name is right and DNS answers";
        Trouble::Broken(unreachable("the server's name was not found", location).because(error).hint(hint))
    })?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(Trouble::Broken(unreachable("the server's name has no address", location)));
    }
    Ok(addresses)
}

async fn reach(location: &Location, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
    let mut last = unreachable("the server cannot be reached", location);
    for address in addresses.iter().take(MOST_ADDRESSES) {
        let error = match tokio::time::timeout(EACH_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tracing::debug!(server = location.authority(), %address, "connected");
                // Without it requests merely leave later.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => error,
            Err(_) => std::io::ErrorKind::TimedOut.into(),
        };
        last = unreachable("the server cannot be reached", location)
            .context("address", address)
            .because(error)
            .hint("see whether the server is up and no firewall is in between; proxies are not used");
    }
    Err(Trouble::Broken(last))
}

fn tls_error(location: &Location, error: std::io::Error) -> Trouble {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => {
            refused("certificate", "the server's certificate is not trusted")
                .context("server", location.authority())
                .because(error)
                .hint("name the authority that signed it with --ca-file")
                .into()
        }
        _ => Trouble::Broken(unreachable("no TLS connection to the server", location).because(error)),
    }
}
