//! The audit trail in a file that is only ever appended to, one line of JSON a record.

use rustix::fs::{Mode, OFlags, open};
use serde_json::{Map, Value};
use std::fmt::Debug;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use volary::{Error, ErrorKind, Result, ScrubbingWriter};
use volary_agent::Metrics;

struct Kept {
    file: File,
    /// That lines are lost has been said.
    told: bool,
}

/// Writes every audit record to the file, whatever the log's level is.
pub(crate) struct AuditLog {
    path: PathBuf,
    kept: Mutex<Kept>,
    metrics: Metrics,
    /// Who runs this process, as fields; learnt before it may be confined.
    who: Map<String, Value>,
}

impl AuditLog {
    /// Opens the file, or makes it for its owner alone.
    ///
    /// # Errors
    /// `Usage` for what is no regular file; else as the system says.
    pub(crate) fn open(path: &Path, metrics: Metrics) -> Result<AuditLog> {
        let kept = Mutex::new(Kept { file: appended(path)?, told: false });
        Ok(AuditLog { path: path.to_owned(), kept, metrics, who: who() })
    }

    fn write(&self, line: &[u8]) -> Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.current(&mut kept).and_then(|()| {
            let written = ScrubbingWriter::new(&kept.file).write_all(line);
            written.map_err(|error| failing("writing the audit log", error, &self.path))
        });
        match &written {
            Ok(()) => kept.told = false,
            Err(error) if !kept.told => {
                kept.told = true;
                // Not through the log: this is called from within it, and -q does not silence it.
                let _ = writeln!(
                    io::stderr(),
                    "error: audit records are lost: {}",
                    volary::scrub(&error.report())
                );
            }
            Err(_) => {}
        }
        written
    }

    /// Opens it anew where it has been renamed or removed, as a rotation of logs does.
    fn current(&self, kept: &mut Kept) -> Result<()> {
        let identity = |of: Metadata| (of.dev(), of.ino());
        let there = std::fs::symlink_metadata(&self.path).ok().map(identity);
        let ours = kept.file.metadata().ok().map(identity);
        if there.is_none() || there != ours {
            kept.file = appended(&self.path)?;
        }
        Ok(())
    }
}

fn failing(doing: &str, error: io::Error, path: &Path) -> Error {
    use std::os::unix::ffi::OsStrExt;
    Error::io(doing, error).context("path", volary::escape(path.as_os_str().as_bytes()))
}

fn appended(path: &Path) -> Result<File> {
    // Not blocking: whoever put a pipe there must not hold up the command.
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opening = |error: io::Error| failing("opening the audit log", error, path);
    let file = open(path, flags | OFlags::NONBLOCK, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|errno| opening(errno.into()))?);
    if !file.metadata().map_err(opening)?.is_file() {
        return Err(Error::new(ErrorKind::Usage, "the audit log is no regular file")
            .context("path", path.display())
            .hint("name a file; it is made when it is not there"));
    }
    Ok(file)
}

/// A record's fields, as JSON.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "event" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        // The details are JSON already.
        let json = (field.name() == "details").then(|| serde_json::from_str(&text).ok()).flatten();
        self.put(field, json.unwrap_or(Value::String(text)));
    }
}

impl<S: Subscriber> Layer<S> for AuditLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != volary::AUDIT_TARGET {
            return;
        }
        let mut fields = Fields(Map::new());
        fields.0.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
        fields.0.extend(self.who.clone());
        event.record(&mut fields);
        let mut line = Value::Object(fields.0).to_string();
        line.push('\n');
        if self.write(line.as_bytes()).is_err() {
            self.metrics.audit_line_lost();
        }
    }
}

fn who() -> Map<String, Value> {
    let uid = rustix::process::getuid().as_raw();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fields = [
        ("user", user(uid).into()),
        ("uid", uid.into()),
        ("pid", std::process::id().into()),
        ("host", host.into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The name of a user, from the file of local ones; its number where that has none, as of users of a directory service.
fn user(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}
