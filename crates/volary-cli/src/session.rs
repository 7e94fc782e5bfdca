//! One run of one command: its store, bounds, progress and output.

use crate::cli::{Cli, Global};
use crate::commands::Command;
use crate::confine::{self, Reader};
use crate::output::{self, Format};
use crate::progress::Bar;
use crate::signals::{self, Interrupts};
use crate::{commands, failure};
use futures::stream::BoxStream;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use volary::{Ctl, Error, ErrorKind, Result, Store, StoreUrl, escape};
use volary_agent::Metrics;

/// What a command works with.
pub(crate) struct Session {
    /// The bounds, the cancel token and the progress bar: the last argument of every library call.
    pub(crate) ctl: Ctl,
    /// The environment's variables for Ceph, which were removed before they could do anything.
    pub(crate) ignored: Vec<String>,
    /// What this process counts; the agent serves it.
    pub(crate) metrics: Metrics,
    global: Global,
    bar: Option<Arc<Bar>>,
    /// What connecting came to, where that was done before the command.
    connected: Mutex<Option<Result<Store>>>,
}

/// A command that is about to be run.
pub(crate) struct Run {
    command: Command,
    session: Session,
    interrupts: Interrupts,
}

impl Run {
    /// Begins to watch for signals; to be called on a runtime.
    pub(crate) fn begin(cli: Cli, ignored: Vec<OsString>, metrics: Metrics) -> Run {
        let ctl = Ctl::new().timeout(timeout(&cli.global)).stall(cli.global.stall);
        // The agent ends when the call at hand has ended, as its help says.
        let late = Some(cli.global.output).filter(|_| !matches!(cli.command, Command::Agent(_)));
        let ctl = if late.is_some() { ctl.undo_within(signals::UNDO) } else { ctl };
        let interrupts = Interrupts::watch(ctl.cancel_token().clone(), late);
        let visible = !cli.global.no_progress && !cli.global.quiet && std::io::stderr().is_terminal();
        let bar = visible.then(|| Arc::new(Bar::new()));
        let ctl = match &bar {
            Some(bar) => ctl.watched_by(bar.clone()),
            None => ctl,
        };
        let ignored = ignored.iter().map(|name| escape(name.as_encoded_bytes()).into_owned()).collect();
        let session = Session { ctl, ignored, metrics, global: cli.global, bar, connected: Mutex::default() };
        Run { command: cli.command, session, interrupts }
    }

    /// Before a command reads what a stranger wrote: opens that, connects to the store, and gives up opening anything else. To be
    /// called on the only thread there is, since those it starts later are held with it. What fails here fails again, and is
    /// told, when the command is run.
    pub(crate) fn confine(mut self, first: Runtime) -> Run {
        let Some(reader) = Reader::of(&mut self.command) else { return self };
        let session = &self.session;
        if reader.uses_store() {
            *session.connected.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(first.block_on(session.connect()));
        }
        // Its threads end; one that does not return is left behind.
        first.shutdown_timeout(Duration::from_secs(1));
        if let Ok(store) = session.store_url() {
            confine::give_up(&reader.needs(&store, &session.global));
        }
        self
    }

    /// Runs the command and gives its exit code.
    pub(crate) async fn run(self) -> u8 {
        let Run { command, session, interrupts } = self;
        interrupts.serve();
        let result = commands::run(command, &session).await;
        session.clear_bar();
        match result {
            Ok(()) => 0,
            Err(error) => {
                let unanswered = matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable);
                let named = error.contexts().any(|(key, _)| key == "store");
                let error =
                    if unanswered && !named { error.context("store", &session.global.store) } else { error };
                failure::report(&error, session.global.output, interrupts.code())
            }
        }
    }
}

impl Session {
    /// The store, connected.
    pub(crate) async fn store(&self) -> Result<Store> {
        let before = self.connected.lock().unwrap_or_else(PoisonError::into_inner).take();
        match before {
            Some(connected) => connected,
            None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Store> {
        Store::connect(&self.store_url()?, &self.ctl).await
    }

    /// Connects, works, and lets go of the store whatever the work came to.
    pub(crate) async fn on_store<T>(&self, work: impl AsyncFnOnce(&Store) -> Result<T>) -> Result<T> {
        let store = self.store().await?;
        let result = work(&store).await;
        let released = match &result {
            // A store that did not answer is not asked to say good-bye: the process ends all the same.
            Err(error) if matches!(error.kind(), ErrorKind::Deadline | ErrorKind::Unreachable) => Ok(()),
            _ => self.ctl.finish("let go of the store", store.shutdown()).await,
        };
        let value = result?;
        released?;
        Ok(value)
    }

    /// The store's URL, with the user's data directory filled in for a bare `local:`.
    pub(crate) fn store_url(&self) -> Result<StoreUrl> {
        match &self.global.store {
            StoreUrl::Local(None) => Ok(StoreUrl::local(user_data_directory()?.join("volary"))),
            StoreUrl::Ceph(url) => {
                let mut url = url.clone();
                url.timeout = url.timeout.filter(|_| self.global.timeout.is_none());
                Ok(StoreUrl::Ceph(url))
            }
            url => Ok(url.clone()),
        }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn json(&self) -> bool {
        self.global.output == Format::Json
    }

    /// Prints the command's result.
    pub(crate) fn emit<T: Serialize>(&self, value: &T, human: impl FnOnce(&T) -> String) -> Result<()> {
        self.clear_bar();
        output::emit(self.global.output, value, human)
    }

    /// Prints what a command has done. An error to print it has the report, so that what was made or removed is known all the same.
    pub(crate) fn emit_done<T: Serialize>(&self, report: &T, human: impl FnOnce(&T) -> String) -> Result<()> {
        self.emit(report, human).map_err(|error| output::unreported(error, report))
    }

    /// The same, unless it was only asked what would be done.
    pub(crate) fn emit_outcome<T: Serialize>(
        &self,
        dry_run: bool,
        report: &T,
        human: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if dry_run { self.emit(report, human) } else { self.emit_done(report, human) }
    }

    /// Prints results as they come; see [`output::emit_stream`].
    pub(crate) async fn emit_stream<T: Serialize>(
        &self,
        values: BoxStream<'_, Result<T>>,
        header: Option<String>,
        line: impl Fn(&T) -> String,
    ) -> Result<()> {
        output::emit_stream(self.global.output, values, header, line).await
    }

    /// Tells the user, on standard error, what has been done; silent with `--quiet` and with JSON.
    pub(crate) fn status(&self, text: impl std::fmt::Display) {
        if !self.global.quiet && !self.json() {
            self.clear_bar();
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn clear_bar(&self) {
        if let Some(bar) = &self.bar {
            bar.clear();
        }
    }
}

/// The flag wins over the URL.
fn timeout(global: &Global) -> Duration {
    let of_url = match &global.store {
        StoreUrl::Ceph(url) => url.timeout,
        _ => None,
    };
    global.timeout.or(of_url).unwrap_or(Ctl::DEFAULT_TIMEOUT)
}

fn user_data_directory() -> Result<PathBuf> {
    let absolute =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share"))).ok_or_else(
        || {
            Error::new(
                ErrorKind::Usage,
                "no store given, and neither XDG_DATA_HOME nor HOME names a directory",
            )
            .hint("give --store local:PATH")
        },
    )
}
