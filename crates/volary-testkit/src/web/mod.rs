//! A web server on the loopback that says exactly what a test wants, lies included.
#![allow(clippy::unwrap_used)]

mod files;

pub use files::{Behaviour, serve};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The authority that signed the certificate of servers with TLS, in PEM form.
pub const AUTHORITY: &str = include_str!("tls/authority.pem");

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first byte asked for, when a part is.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is sent, head and body as they are, and what then happens to the connection.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Close,
    Repeat(Vec<u8>),
    Silence,
}

impl Reply {
    /// A status line such as `200 OK`, headers, an empty line and the body; then the connection is closed.
    pub fn new(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!("HTTP/1.1 {status}\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        Reply { bytes: [head.as_bytes(), body].concat(), then: Then::Close }
    }

    /// All of a body with its length.
    pub fn whole(body: &[u8]) -> Reply {
        Reply::new("200 OK", &[("Content-Length", &body.len().to_string())], body)
    }

    /// A redirect.
    pub fn redirect(to: &str) -> Reply {
        Reply::new("302 Found", &[("Location", to), ("Content-Length", "0")], b"")
    }

    /// Then these bytes again and again, until the client goes away.
    pub fn then_repeat(self, bytes: &[u8]) -> Reply {
        Reply { then: Then::Repeat(bytes.to_vec()), ..self }
    }

    /// Then nothing, until the client goes away.
    pub fn then_silence(self) -> Reply {
        Reply { then: Then::Silence, ..self }
    }

    /// More bytes, as they are.
    pub fn then_bytes(mut self, bytes: &[u8]) -> Reply {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// No more of it than so many bytes, head included.
    pub fn cut(mut self, len: usize) -> Reply {
        self.bytes.truncate(len);
        self
    }
}

type Answer = dyn Fn(usize, &Asked) -> Reply + Send + Sync;

/// A server of a test; ends when dropped.
pub struct WebServer {
    address: SocketAddr,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Serves what `answer` says to each request, which is told its number from 0.
    pub fn new(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> WebServer {
        WebServer::start(None, Arc::new(answer))
    }

    /// The same by TLS, as 127.0.0.1 and localhost, with a certificate of [`AUTHORITY`].
    pub fn tls(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> WebServer {
        let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![certificate], key).unwrap();
        WebServer::start(Some(Arc::new(config)), Arc::new(answer))
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, answer: Arc<Answer>) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (asked, stopped) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::new(AtomicBool::new(false)));
        let (all, stop) = (asked.clone(), stopped.clone());
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), tls, answer, asked) = (stream, tls.clone(), answer.clone(), all.clone())
                else {
                    return;
                };
                // What a client that went away does to a connection is no failure of the server's.
                std::thread::spawn(move || match tls {
                    None => converse(&stream, &stream, &asked, &*answer),
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(tls).unwrap();
                        let secured = rustls::StreamOwned::new(connection, stream.try_clone()?);
                        converse(secured, &stream, &asked, &*answer)
                    }
                });
            }
        });
        WebServer { address, scheme, asked, stopped, accepting: Some(accepting) }
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that came.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

fn converse(
    stream: impl Read + Write,
    tcp: &TcpStream,
    all: &Mutex<Vec<Asked>>,
    answer: &Answer,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(asked) = read_request(&mut stream)? else { return Ok(()) };
    let number = {
        let mut all = all.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    let reply = answer(number, &asked);
    let writer = stream.get_mut();
    writer.write_all(&reply.bytes)?;
    writer.flush()?;
    match reply.then {
        Then::Close => {}
        Then::Repeat(bytes) => loop {
            writer.write_all(&bytes)?;
        },
        Then::Silence => {
            // Whether it says more or goes away, that is its end.
            let _ = stream.read(&mut [0])?;
        }
    }
    tcp.shutdown(Shutdown::Write)
}

fn read_request(stream: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let target = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(Some(Asked { target, headers }))
}
