//! `/metrics` and `/healthz`, over plain HTTP for those who may ask.

use crate::{Health, Metrics};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// So many at a time: with more, the one that has been silent for longest has to go.
const MOST_CONNECTIONS: usize = 32;
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
const LONGEST_REQUEST: usize = 16 << 10;
const MOST_HEADERS: usize = 64;

/// Serves `GET /metrics` and `GET /healthz` until `stop` is cancelled.
///
/// A request's headers must come within five seconds and be no longer than 16 KiB; its body is ignored. Each connection
/// is answered once. Of more than 32 connections those that have asked nothing are closed, the oldest first, so that whoever asks is
/// answered beside any number that do not.
pub async fn serve(listener: TcpListener, metrics: Metrics, health: Health, stop: CancellationToken) {
    let (mut connections, mut open) = (JoinSet::new(), VecDeque::<Open>::new());
    loop {
        let room = open.len() < MOST_CONNECTIONS || open.iter().any(Open::is_idle);
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                open.retain(|of| !of.task.is_finished());
                continue;
            }
            accepted = listener.accept(), if room => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if open.len() >= MOST_CONNECTIONS
                    && let Some(oldest) = open.iter().position(Open::is_idle)
                    && let Some(oldest) = open.remove(oldest)
                {
                    oldest.task.abort();
                }
                let asked = Arc::new(AtomicBool::new(false));
                let task = connections.spawn(answer(stream, asked.clone(), metrics.clone(), health.clone()));
                open.push_back(Open { task, asked });
            }
            Err(error) => {
                // Out of descriptors, most likely: they come back.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A connection that is served.
struct Open {
    task: AbortHandle,
    /// Whether a whole request has come.
    asked: Arc<AtomicBool>,
}

impl Open {
    fn is_idle(&self) -> bool {
        !self.asked.load(Ordering::Relaxed)
    }
}

async fn answer(stream: TcpStream, asked: Arc<AtomicBool>, metrics: Metrics, health: Health) {
    let respond = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let response = respond(request.method(), request.uri().path(), &metrics, &health);
        async { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).keep_alive(false);
    let server = server.max_buf_size(LONGEST_REQUEST).max_headers(MOST_HEADERS);
    // Whoever asked badly, or left, has had the answer that is due.
    let _ =
        tokio::time::timeout(ANSWERED_WITHIN, server.serve_connection(TokioIo::new(stream), respond)).await;
}

fn respond(method: &Method, path: &str, metrics: &Metrics, health: &Health) -> Response<Full<Bytes>> {
    let text = "text/plain; charset=utf-8";
    let (status, kind, body) = match path {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, text, "only GET\n".to_owned())
        }
        "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.render()),
        "/healthz" => match health.problem() {
            None => (StatusCode::OK, text, "ok\n".to_owned()),
            Some(problem) => {
                (StatusCode::SERVICE_UNAVAILABLE, text, format!("{}\n", volary::scrub(&problem)))
            }
        },
        _ => (StatusCode::NOT_FOUND, text, "there are /metrics and /healthz\n".to_owned()),
    };
    let response = Response::builder().status(status).header(CONTENT_TYPE, kind);
    let response = response.header(CACHE_CONTROL, "no-store").header(ALLOW, "GET, HEAD");
    response.body(Full::from(body)).unwrap_or_default()
}
