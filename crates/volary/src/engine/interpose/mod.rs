//! What stands between a caller and an engine: it makes each call of the engine, and of the volumes opened by it, as it sees fit.
//!
//! The delegation is written once, here. Calls are logged by it (`driver/calls.rs`), and tests have them fail.

mod answer;
mod volume;

use super::*;
use crate::{Ctl, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use async_trait::async_trait;
use futures::stream::BoxStream;
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use volume::InterposedVolume;

/// Makes the calls of an engine as it sees fit: as they are, later, not at all, with another answer.
///
/// ```
/// use volary::engine::{Engine, Interpose, Interposed, MadeCall, Volume};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// /// Counts the calls that fail.
/// #[derive(Debug, Clone, Default)]
/// struct Failures(Arc<AtomicUsize>);
///
/// impl Interpose for Failures {
///     type Open = Arc<dyn Volume>;
///     fn opened(&self, volume: Arc<dyn Volume>, _about: String) -> Arc<dyn Volume> {
///         volume
///     }
///     fn volume(&self, open: &Arc<dyn Volume>) -> volary::Result<Arc<dyn Volume>> {
///         Ok(open.clone())
///     }
///     async fn call<T: Send>(
///         &self,
///         _call: MadeCall<'_, Arc<dyn Volume>>,
///         made: impl Future<Output = volary::Result<T>> + Send,
///     ) -> volary::Result<T> {
///         let answer = made.await;
///         self.0.fetch_add(answer.is_err().into(), Ordering::Relaxed);
///         answer
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let (failures, ctl) = (Failures::default(), volary::Ctl::new());
/// let engine = volary::engine::local::open(&dir.path().join("store"), &ctl).await?;
/// let store = volary::Store::over(Interposed::over(engine, failures.clone()));
/// let ssd = volary::Name::new("ssd")?;
/// store.engine().create_pool(&ssd, &ctl).await?;
/// assert!(store.engine().create_pool(&ssd, &ctl).await.is_err());
/// assert_eq!(failures.0.load(Ordering::Relaxed), 1);
/// # store.shutdown().await
/// # }).unwrap();
/// ```
pub trait Interpose: Clone + fmt::Debug + Send + Sync + 'static {
    /// How it keeps a volume that is open.
    type Open: fmt::Debug + Send + Sync + 'static;

    /// Takes in a volume that was opened; `about` says which.
    fn opened(&self, volume: Arc<dyn Volume>, about: String) -> Self::Open;

    /// The volume to make calls on.
    ///
    /// # Errors
    /// What every call on it is to fail with, when there is none to make them on.
    fn volume(&self, open: &Self::Open) -> Result<Arc<dyn Volume>>;

    /// Makes a call: nothing is called until `made` is awaited.
    fn call<T: Send>(
        &self,
        call: MadeCall<'_, Self::Open>,
        made: impl Future<Output = Result<T>> + Send,
    ) -> impl Future<Output = Result<T>> + Send;

    /// Makes a call that answers by a stream: nothing is called until that is asked for its first item.
    fn stream<'a, T: Send + 'a>(
        &'a self,
        _call: MadeCall<'_, Self::Open>,
        made: BoxStream<'a, Result<T>>,
    ) -> BoxStream<'a, Result<T>> {
        made
    }
}

/// A call of an [`Engine`] or a [`Volume`] that is to be made.
pub struct MadeCall<'a, Open> {
    /// The name of the trait's method.
    pub method: &'static str,
    /// The volume it is a call of, if it is no call of the engine.
    pub on: Option<&'a Open>,
    /// What it is about, in words for the log; computed when it is asked for.
    pub about: &'a (dyn Fn() -> String + Sync),
    /// Once it is made and did not fail: what it answered, in a word or two for the log, where that says more than that it is done.
    pub answer: &'a OnceLock<Cow<'static, str>>,
}

/// An engine whose calls somebody makes who stands before it.
#[derive(Debug, Clone)]
pub struct Interposed<I> {
    inner: Arc<dyn Engine>,
    by: I,
}

impl<I: Interpose> Interposed<I> {
    /// Puts `by` before an engine and the volumes that will be opened.
    pub fn over(inner: Arc<dyn Engine>, by: I) -> Arc<dyn Engine> {
        Arc::new(Interposed { inner, by })
    }
}

impl<I> fmt::Display for Interposed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Makes a call of the engine: the method with its arguments, what words its answer, then what it is about.
macro_rules! engine {
    ($self:ident, $method:ident($($argument:expr),*) $(=> $words:ident)? $(, $($about:tt)+)?) => {{
        let (about, answer) = (|| -> String { engine!(@about $($($about)+)?) }, OnceLock::new());
        let call = MadeCall { method: stringify!($method), on: None, about: &about, answer: &answer };
        let made = async {
            let answered = $self.inner.$method($($argument),*).await;
            $(if let Ok(answered) = &answered {
                let _ = answer.set(answer::$words(answered));
            })?
            answered
        };
        $self.by.call(call, made).await
    }};
    (@about) => { String::new() };
    (@about $($about:tt)+) => { format!($($about)+) };
}

fn in_trash(keep: Option<Duration>) -> &'static str {
    if keep.is_some() { ", in trash" } else { "" }
}

/// How long trash is to keep a volume, which is not said where that is no time.
fn kept(keep: Duration) -> String {
    if keep.is_zero() { String::new() } else { format!(", kept for {keep:?}") }
}

#[async_trait]
impl<I: Interpose> Engine for Interposed<I> {
    async fn fence(&self, holder: &Holder, keep: Duration, ctl: &Ctl) -> Result<()> {
        engine!(self, fence(holder, keep, ctl), "{}, for {keep:?}", holder.detail)
    }

    async fn describe(&self, ctl: &Ctl) -> Result<StoreDescription> {
        engine!(self, describe(ctl))
    }

    async fn examine(&self, ctl: &Ctl) -> Result<Vec<Check>> {
        engine!(self, examine(ctl))
    }

    async fn pools(&self, ctl: &Ctl) -> Result<Vec<Name>> {
        engine!(self, pools(ctl) => count)
    }

    async fn pool_info(&self, pool: &Name, ctl: &Ctl) -> Result<Option<PoolInfo>> {
        engine!(self, pool_info(pool, ctl) => known, "{pool}")
    }

    async fn create_pool(&self, pool: &Name, ctl: &Ctl) -> Result<()> {
        engine!(self, create_pool(pool, ctl), "{pool}")
    }

    async fn namespaces(&self, pool: &Name, ctl: &Ctl) -> Result<Vec<Name>> {
        engine!(self, namespaces(pool, ctl) => count, "{pool}")
    }

    async fn create_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        engine!(self, create_namespace(namespace, ctl), "{namespace}")
    }

    async fn remove_namespace(&self, namespace: &Namespace, ctl: &Ctl) -> Result<()> {
        engine!(self, remove_namespace(namespace, ctl), "{namespace}")
    }

    fn volumes<'a>(&'a self, namespace: &'a Namespace, ctl: &'a Ctl) -> BoxStream<'a, Result<VolumeEntry>> {
        let (about, answer) = (|| namespace.to_string(), OnceLock::new());
        let call = MadeCall { method: "volumes", on: None, about: &about, answer: &answer };
        self.by.stream(call, self.inner.volumes(namespace, ctl))
    }

    async fn unusable(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<Unusable>> {
        engine!(self, unusable(namespace, ctl) => count, "{namespace}")
    }

    async fn find(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<VolumeEntry>> {
        engine!(self, find(namespace, volume, ctl) => found, "{namespace}/{volume}")
    }

    async fn name_version(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        ctl: &Ctl,
    ) -> Result<Option<u64>> {
        engine!(self, name_version(namespace, volume, ctl) => version, "{namespace}/{}", volume.name)
    }

    async fn snapshots_made(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<u64>> {
        engine!(self, snapshots_made(namespace, id, ctl), "{namespace}/id:{id}")
    }

    async fn head(&self, namespace: &Namespace, volume: &Target, ctl: &Ctl) -> Result<Option<Head>> {
        engine!(self, head(namespace, volume, ctl) => found, "{namespace}/{volume}")
    }

    async fn usage(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Usage>> {
        engine!(self, usage(namespace, id, ctl) => known, "{namespace}/id:{id}")
    }

    async fn parent(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Option<Parent>> {
        engine!(self, parent(namespace, id, ctl) => found, "{namespace}/id:{id}")
    }

    async fn known_clones(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<Vec<VolumeSpec>> {
        engine!(self, known_clones(namespace, id, ctl) => count, "{namespace}/id:{id}")
    }

    async fn unheld(&self, namespace: &Namespace, id: &VolumeId, ctl: &Ctl) -> Result<bool> {
        engine!(self, unheld(namespace, id, ctl) => unheld, "{namespace}/id:{id}")
    }

    async fn create(
        &self,
        namespace: &Namespace,
        name: &Name,
        options: &CreateOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        engine!(
            self,
            create(namespace, name, options, ctl) => id,
            "{namespace}/{name}, {}{}",
            crate::show_size(options.size_bytes),
            in_trash(options.trash)
        )
    }

    async fn clone_volume(
        &self,
        parent: &SnapshotRef,
        namespace: &Namespace,
        name: &Name,
        options: &CloneOptions,
        ctl: &Ctl,
    ) -> Result<VolumeId> {
        engine!(
            self,
            clone_volume(parent, namespace, name, options, ctl) => id,
            "{}/id:{}@{} as {namespace}/{name}{}",
            parent.namespace,
            parent.volume,
            parent.snapshot,
            in_trash(options.trash)
        )
    }

    async fn rename(&self, namespace: &Namespace, volume: &VolumeEntry, to: &Name, ctl: &Ctl) -> Result<()> {
        engine!(self, rename(namespace, volume, to, ctl), "{namespace}/{} to {to}", volume.name)
    }

    async fn remove(&self, namespace: &Namespace, volume: &VolumeEntry, ctl: &Ctl) -> Result<Vec<String>> {
        engine!(self, remove(namespace, volume, ctl), "{namespace}/{}", volume.name)
    }

    async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashEntry>> {
        engine!(self, trash(namespace, ctl) => count, "{namespace}")
    }

    async fn trash_move(
        &self,
        namespace: &Namespace,
        volume: &VolumeEntry,
        options: &TrashOptions,
        ctl: &Ctl,
    ) -> Result<()> {
        engine!(
            self,
            trash_move(namespace, volume, options, ctl),
            "{namespace}/{}{}",
            volume.name,
            kept(options.keep)
        )
    }

    async fn trash_restore(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        name: &Name,
        ctl: &Ctl,
    ) -> Result<()> {
        engine!(self, trash_restore(namespace, id, name, ctl), "{namespace}/{name}, id:{id}")
    }

    async fn trash_remove(
        &self,
        namespace: &Namespace,
        id: &VolumeId,
        force: bool,
        ctl: &Ctl,
    ) -> Result<Vec<String>> {
        engine!(self, trash_remove(namespace, id, force, ctl), "{namespace}/id:{id}")
    }

    async fn open(
        &self,
        namespace: &Namespace,
        volume: &Target,
        options: &OpenOptions,
        ctl: &Ctl,
    ) -> Result<Arc<dyn Volume>> {
        let about = || {
            let at = options.snapshot.as_ref().map_or_else(String::new, |snapshot| format!("@{snapshot}"));
            format!("{namespace}/{volume}{at}")
        };
        let how = || format!("{} to {}", about(), if options.write { "write" } else { "read" });
        let answer = OnceLock::new();
        let call = MadeCall { method: "open", on: None, about: &how, answer: &answer };
        let opened = self.by.call(call, self.inner.open(namespace, volume, options, ctl)).await?;
        let open = self.by.opened(opened, about());
        Ok(Arc::new(InterposedVolume { open, by: self.by.clone() }))
    }

    async fn records(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: &[u8],
        most: usize,
        ctl: &Ctl,
    ) -> Result<RecordPage> {
        engine!(
            self,
            records(namespace, prefix, after, most, ctl) => page,
            "{namespace}: those that begin with {prefix}"
        )
    }

    async fn swap_record(
        &self,
        namespace: &Namespace,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
        ctl: &Ctl,
    ) -> Result<bool> {
        let change = match (expected, new) {
            (None, Some(_)) => "new",
            (_, Some(_)) => "changed",
            (_, None) => "removed",
        };
        engine!(
            self,
            swap_record(namespace, key, expected, new, ctl) => swapped,
            "{namespace}: {key}, {change}"
        )
    }

    fn check<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>> {
        let about = || match scope {
            CheckScope::Store => "the store".to_owned(),
            CheckScope::Namespace(namespace) => namespace.to_string(),
        };
        let answer = OnceLock::new();
        let call = MadeCall { method: "check", on: None, about: &about, answer: &answer };
        self.by.stream(call, self.inner.check(scope, options, ctl))
    }

    async fn repair(&self, scope: &CheckScope, finding: &Finding, ctl: &Ctl) -> Result<bool> {
        engine!(self, repair(scope, finding, ctl) => repaired, "{}", finding.subject)
    }

    async fn shutdown(&self) -> Result<()> {
        engine!(self, shutdown())
    }
}
