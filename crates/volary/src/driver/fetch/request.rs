//! One request: its redirects, each checked like the first URL, and its answer.

use super::answer::Validator;
use super::connect::{Stream, connect};
use super::location::Location;
use super::{Trouble, UrlSource, refused};
use crate::{Ctl, Error, ErrorKind, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Parts};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, IF_RANGE, LOCATION, RANGE, USER_AGENT};
use hyper::http::response;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_util::task::AbortOnDropHandle;

const MOST_REDIRECTS: usize = 5;
const MOST_HEADERS: usize = 128;
/// How long a server that was asked to close may take to, before it is taken for a polite one that keeps the connection.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

type Io = TokioIo<Box<dyn Stream>>;

/// Makes the requests for one source.
pub(super) struct Client<'a> {
    source: &'a UrlSource,
    tls: Option<Arc<ClientConfig>>,
    within: Duration,
}

/// Where to go on: so many bytes are there, of this very object.
pub(super) struct Rest<'a> {
    pub(super) from: u64,
    pub(super) of: &'a Validator,
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    /// Where it came from, behind all redirects.
    pub(super) location: Location,
    pub(super) head: response::Parts,
    body: Incoming,
    connection: AbortOnDropHandle<hyper::Result<Parts<Io>>>,
}

impl<'a> Client<'a> {
    pub(super) fn new(source: &'a UrlSource, ctl: &Ctl) -> Self {
        Client { source, tls: None, within: ctl.call_limit() }
    }

    /// Asks for the object at `location`, or for the rest of it, and follows redirects.
    pub(super) async fn get(
        &mut self,
        location: &Location,
        rest: Option<Rest<'_>>,
    ) -> Result<Answer, Trouble> {
        let mut location = location.clone();
        for _ in 0..=MOST_REDIRECTS {
            let answer = match tokio::time::timeout(self.within, self.ask(&location, rest.as_ref())).await {
                Ok(answer) => answer?,
                Err(_) => {
                    let late = Error::new(ErrorKind::Deadline, "the server did not answer in time");
                    return Err(Trouble::Broken(
                        late.context("server", location.authority())
                            .context("timeout", format!("{:?}", self.within))
                            .hint("see whether the server is well, or give more time with --timeout"),
                    ));
                }
            };
            let Some(next) = redirect(&answer)? else { return Ok(answer) };
            tracing::debug!(from = %location, to = %next, "redirected");
            location = next;
        }
        Err(refused("redirect", "the server redirects too often").context("most", MOST_REDIRECTS).into())
    }

    async fn ask(&mut self, location: &Location, rest: Option<&Rest<'_>>) -> Result<Answer, Trouble> {
        if location.tls && self.tls.is_none() {
            self.tls = Some(super::trust::tls(self.source.ca_file.clone()).await?);
        }
        let tls = self.tls.as_ref().filter(|_| location.tls);
        let stream = connect(location, self.source, tls).await?;
        let broken = |what: &'static str| {
            let server = location.authority();
            move |error: hyper::Error| {
                Trouble::Broken(
                    Error::new(ErrorKind::Unreachable, what).context("server", server).because(error),
                )
            }
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_headers(MOST_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken("beginning to talk to the server"))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(connection.without_shutdown()));
        let mut request = Request::get(location.target())
            .header(HOST, location.authority())
            .header(USER_AGENT, concat!("volary/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(CONNECTION, "close");
        if let Some(rest) = rest {
            request =
                request.header(RANGE, format!("bytes={}-", rest.from)).header(IF_RANGE, rest.of.as_header());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| {
            Error::new(ErrorKind::Usage, "the URL cannot be asked for")
                .because(error)
                .hint("percent-encode its path")
        })?;
        let response =
            sender.send_request(request).await.map_err(broken("the server did not answer by HTTP"))?;
        let (head, body) = response.into_parts();
        Ok(Answer { location: location.clone(), head, body, connection })
    }
}

fn redirect(answer: &Answer) -> Result<Option<Location>> {
    use StatusCode as S;
    let from = &answer.location;
    match answer.head.status {
        S::MOVED_PERMANENTLY | S::FOUND | S::SEE_OTHER | S::TEMPORARY_REDIRECT | S::PERMANENT_REDIRECT => {}
        _ => return Ok(None),
    }
    let bad = |what| refused("redirect", what).context("from", from);
    let to = answer.head.headers.get(LOCATION).and_then(|to| to.to_str().ok());
    let to = to.ok_or_else(|| bad("the server redirects to nowhere"))?;
    // What is wrong with it is told, itself it is not: it may hold a token.
    let to = from
        .follow(to)
        .map_err(|error| bad("the server redirects to where nothing is fetched from").because(error))?;
    if from.tls && !to.tls {
        return Err(bad("the server redirects from https to http")
            .hint("name a URL of https that needs no such redirect"));
    }
    Ok(Some(to))
}

impl Answer {
    /// The next bytes of the body; `None` when it has ended as it should.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Trouble> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| {
                let broken = Error::new(ErrorKind::Unreachable, "the connection to the server broke");
                Trouble::Broken(broken.context("server", self.location.authority()).because(error))
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Whether nothing follows the body on the connection, which was asked for to be closed.
    pub(super) async fn ends_here(self) -> Result<()> {
        drop(self.body);
        let silent = async {
            let mut parts = match self.connection.await {
                Ok(Ok(parts)) => parts,
                // A reset after the last byte takes nothing away; another error is of bytes that nobody asked for.
                Ok(Err(error)) => return error.source().is_some(),
                Err(_) => return true,
            };
            parts.read_buf.is_empty() && !matches!(parts.io.inner_mut().read(&mut [0]).await, Ok(1..))
        };
        if tokio::time::timeout(CLOSED_WITHIN, silent).await.unwrap_or(true) {
            return Ok(());
        }
        Err(refused("length", "the server sends more than it said")
            .hint("its length cannot be trusted: fetch it elsewhere"))
    }
}
