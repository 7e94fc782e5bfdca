//! The store as callers hold it.

use super::calls::logged;
use super::plan::Subject;
use super::trash::is_staging;
use crate::engine::{
    Engine, OpenOptions, StoreDescription, TrashEntry, TrashState, Volume, VolumeEntry, ceph, local,
};
use crate::{Ctl, Error, ErrorKind, Result, StoreUrl, Target, VolumeSpec};
use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

/// A store of volumes: every operation of Volary is a method of it.
///
/// Cloning shares the connection.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use volary::{Ctl, Store, StoreUrl};
/// let dir = tempfile::tempdir().unwrap();
/// let ctl = Ctl::new();
/// let store = Store::connect(&StoreUrl::local(dir.path().join("store")), &ctl).await?;
/// store.create(&"web".parse()?, 1 << 30, &ctl).await?;
/// assert_eq!(store.info(&"web".parse()?, &ctl).await?.size_bytes, 1 << 30);
/// store.shutdown().await
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Store {
    /// Connects to the store a URL names; a local store that is not there yet is made.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// use volary::{Ctl, Store, StoreUrl};
    /// let url = StoreUrl::local(dir.path().join("store"));
    /// let ctl = Ctl::new().timeout(std::time::Duration::from_secs(5));
    /// let store = Store::connect(&url, &ctl).await?;
    /// # store.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `Usage` for `local:` without a path; `Unreachable`, `Permission`, `Unsupported` as the engine says.
    pub async fn connect(url: &StoreUrl, ctl: &Ctl) -> Result<Store> {
        match url {
            StoreUrl::Local(Some(path)) => {
                let opened = local::open(path, ctl).await.map_err(|error| error.context("store", url));
                Ok(Store::over(logged(opened?)))
            }
            StoreUrl::Ceph(cluster) => Ok(Store::over(logged(ceph::open(cluster, ctl).await?))),
            StoreUrl::Local(None) => {
                Err(Error::new(ErrorKind::Usage, "local: without a path").hint("write local:PATH"))
            }
        }
    }

    /// A store over any engine.
    pub fn over(engine: Arc<dyn Engine>) -> Store {
        Store { engine, clock: Arc::new(Timestamp::now) }
    }

    /// The same store, whose volumes in trash are due by another clock than this host's: for [`trash_purge`](Store::trash_purge), for a
    /// parent that goes with its last clone, and for what counts as an orphan.
    ///
    /// It can make a volume due later, never earlier: an engine compares the date with this host's clock too.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use volary::*; use std::time::Duration; let dir = tempfile::tempdir().unwrap(); let ctl = &Ctl::new();
    /// # let store = Store::connect(&StoreUrl::local(dir.path().join("store")), ctl).await?;
    /// # let web = "web".parse()?; store.create(&web, 1 << 20, ctl).await?;
    /// store.trash_move(&web, Duration::ZERO, ctl).await?;
    /// let before = jiff::Timestamp::UNIX_EPOCH;
    /// assert!(store.clone().by_clock(move || before).trash_purge(&web.namespace, false, 1, ctl).await?.is_empty());
    /// assert_eq!(store.trash_purge(&web.namespace, false, 1, ctl).await?.len(), 1);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn by_clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Store {
        self.clock = Arc::new(clock);
        self
    }

    /// The time by which volumes in trash are due.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The engine below, for what the driver does not offer.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The engine below, for what outlives a borrow of the store.
    pub(crate) fn shared_engine(&self) -> Arc<dyn Engine> {
        self.engine.clone()
    }

    /// What this store is.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let ctl = volary::Ctl::new();
    /// # let store = volary::Store::connect(&volary::StoreUrl::local(dir.path().join("store")), &ctl).await?;
    /// let description = store.describe(&ctl).await?;
    /// assert_eq!(description.engine, "local");
    /// assert!(!description.id.is_empty(), "every store has an id of its own");
    /// # store.shutdown().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::describe`].
    pub async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription> {
        self.engine.describe(ctl).await
    }

    /// Lets go of the store, and returns what dropping would swallow.
    ///
    /// # Errors
    /// As [`Engine::shutdown`].
    pub async fn shutdown(&self) -> Result<()> {
        self.engine.shutdown().await
    }

    /// The volume a spec stands for, by name and id.
    pub(crate) async fn resolve(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<VolumeEntry> {
        match self.engine.find(&spec.namespace, &spec.volume, ctl).await? {
            Some(entry) => Ok(entry),
            None => Err(self.no_such_volume(spec, ctl).await),
        }
    }

    /// The error of a volume that is not there. It names an entry of the trash that had its name, with what can be done about that.
    pub(crate) async fn no_such_volume(&self, spec: &VolumeSpec, ctl: &Ctl) -> Error {
        let error = Error::new(ErrorKind::NotFound, "no such volume").context("volume", spec);
        // Read only to explain: a trash that cannot be read explains nothing.
        let trash = match &spec.volume {
            Target::Name(_) => self.engine.trash(&spec.namespace, ctl).await.unwrap_or_default(),
            Target::Id(_) => Vec::new(),
        };
        let had_its_name = |entry: &&TrashEntry| Target::Name(entry.name.clone()) == spec.volume;
        error.hint(match trash.iter().find(|entry| had_its_name(entry) && !is_staging(entry)) {
            Some(entry) => in_trash(spec, entry),
            None => format!("`volary ls {}` shows the volumes there are", spec.namespace),
        })
    }

    /// Opens what a spec names, head or snapshot, to read.
    pub(crate) async fn open_to_read(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Arc<dyn Volume>> {
        self.open_as(spec, &OpenOptions::read(spec.snapshot.clone()), ctl).await
    }

    /// Opens what a spec names to read all of it, also what does not match if that is accepted.
    pub(crate) async fn open_to_take(
        &self,
        spec: &VolumeSpec,
        accept_mismatch: bool,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let options = OpenOptions::read(spec.snapshot.clone()).accepting_mismatch(accept_mismatch);
        self.open_as(spec, &options, ctl).await
    }

    /// Opens the head of the volume a spec names, to change it.
    pub(crate) async fn open_to_write(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Arc<dyn Volume>> {
        self.open_as(spec, &OpenOptions::write(), ctl).await
    }

    /// Opens the head of the volume a spec names, to change its snapshots alone.
    pub(crate) async fn open_beside(&self, spec: &VolumeSpec, ctl: &Ctl) -> Result<Arc<dyn Volume>> {
        self.open_as(spec, &OpenOptions::change_snapshots(), ctl).await
    }

    /// Opens the head of a volume by its id, which a rename leaves it; errors have the name that the user gave.
    pub(crate) async fn open_subject(
        &self,
        subject: &Subject,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let target = Target::Id(subject.id.clone());
        let opened = self.engine.open(subject.namespace(), &target, options, ctl).await;
        opened.map_err(|error| held(error.context("volume", &subject.shown), &subject.shown))
    }

    async fn open_as(&self, spec: &VolumeSpec, options: &OpenOptions, ctl: &Ctl) -> Result<Arc<dyn Volume>> {
        let opened = self.engine.open(&spec.namespace, &spec.volume, options, ctl).await;
        match opened {
            // The volume, not a snapshot of it.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && matches!(spec.volume, Target::Name(_))
                    && self
                        .engine
                        .find(&spec.namespace, &spec.volume, ctl)
                        .await
                        .is_ok_and(|of| of.is_none()) =>
            {
                Err(self.no_such_volume(spec, ctl).await)
            }
            opened => opened.map_err(|error| held(error.context("volume", spec), spec)),
        }
    }
}

/// The remedy of a volume that somebody has open, unless the engine has named one.
fn held(error: Error, spec: &VolumeSpec) -> Error {
    if error.kind() != ErrorKind::Blocked {
        return error;
    }
    let head = spec.head();
    error.hint(format!(
        "`volary why {head}` says who has it open; a client that died lets go after about 30 s"
    ))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&format_args!("{}", self.engine)).finish()
    }
}

/// Where a volume of that name went, and the command that goes on from there.
fn in_trash(spec: &VolumeSpec, entry: &TrashEntry) -> String {
    let entry_spec = spec.namespace.volume_by_id(entry.id.clone());
    match entry.state {
        _ if entry.half_migrated => {
            format!(
                "it is the source of a migration whose preparation was cut short: \
                 `volary trash restore {entry_spec}` brings it back"
            )
        }
        _ if entry.source == "migration" => {
            format!("it is the source of a migration: `rbd migration abort {}` brings it back", spec.head())
        }
        TrashState::Normal => {
            format!(
                "it is in trash, kept until {}: `volary trash restore {entry_spec}` brings it back",
                entry.until
            )
        }
        TrashState::Removing => {
            format!("its removal was cut short: `volary trash rm --force {entry_spec}` finishes it")
        }
        TrashState::Moving => {
            let orphans = format!("`volary orphans {}`", spec.namespace);
            format!("its move into trash was cut short: {orphans} has the command that settles it")
        }
        TrashState::Restoring => {
            format!("its way out of trash was cut short: `volary trash restore {entry_spec}` finishes it")
        }
    }
}
