//! Checking a namespace against itself: directory, id objects, headers, object maps and trash, by single operations on RBD's
//! small objects. No image is opened, and no object of data is asked for.
//!
//! Whatever looks wrong is looked at a second time at once, in one operation where it takes two values: what somebody changes
//! between two reads is no finding. That it lasts is for the caller to see.

mod catalogue;
mod clones;
mod repair;
mod trashed;
mod volume;

use super::connection::{Ceph, Connection};
use crate::engine::{CheckOptions, CheckScope, Checked, Finding, FindingKind, TrashEntry, VolumeEntry};
use crate::{Ctl, Error, ErrorKind, Namespace, Result, VolumeId, VolumeSpec};
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use std::sync::Arc;

/// Something to look at.
enum Work {
    /// A volume of the directory, and whether the directory's other entry of it says the same.
    Listed(VolumeEntry, bool),
    /// An entry of the directory from id to name that no entry from name to id matches.
    Backward(VolumeEntry),
    /// An entry of trash.
    Trashed(TrashEntry),
    /// Something that was found already.
    Found(Finding),
}

/// How far the lists are read.
#[derive(Clone)]
enum At {
    Trash(Vec<u8>),
    Ids(Vec<u8>),
    Names(Vec<u8>),
    End,
}

/// A namespace that is looked at.
struct Look<'a> {
    on: &'a Connection,
    pool: rbd::Pool,
    namespace: &'a Namespace,
    options: &'a CheckOptions,
    ctl: &'a Ctl,
}

impl Ceph {
    pub(super) fn check_scope<'a>(
        &'a self,
        scope: &'a CheckScope,
        options: &'a CheckOptions,
        ctl: &'a Ctl,
    ) -> BoxStream<'a, Result<Checked>> {
        // Everything that a cluster has of RBD is in a namespace.
        let CheckScope::Namespace(namespace) = scope else { return stream::empty().boxed() };
        let first = match &options.after {
            None => At::Trash(Vec::new()),
            Some(name) => At::Names([b"name_", name.as_bytes()].concat()),
        };
        let begun = async move {
            let enter = self.0.enter(namespace);
            let pool = self.0.call(ctl, "enter a namespace", enter).await?;
            Ok::<_, Error>(Arc::new(Look { on: &self.0, pool, namespace, options, ctl }))
        };
        stream::once(begun).map_ok(move |look| pieces(look, first.clone())).try_flatten().boxed()
    }
}

fn pieces<'a>(look: Arc<Look<'a>>, first: At) -> impl Stream<Item = Result<Checked>> + Send + 'a {
    let jobs = look.options.jobs.max(1);
    let at = Arc::clone(&look);
    let pages = stream::try_unfold(first, move |from| {
        let look = Arc::clone(&at);
        async move {
            let page = look.page(&from).await?;
            Ok::<_, Error>(
                page.map(|(work, next)| (stream::iter(work.into_iter().map(Ok::<_, Error>)), next)),
            )
        }
    });
    let done = pages.try_flatten().map(move |work| {
        let look = Arc::clone(&look);
        async move { look.work(work?).await }
    });
    done.buffered(jobs).map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok))).try_flatten()
}

impl Look<'_> {
    /// Whether a volume is one of those to look at.
    fn wants(&self, id: &VolumeId) -> bool {
        self.options.only.as_ref().is_none_or(|only| only.contains(id))
    }

    fn named(&self, entry: &VolumeEntry) -> VolumeSpec {
        self.namespace.volume(entry.name.clone())
    }

    /// The command that does what [`Repair`](crate::engine::Repair) says.
    fn repair_command(&self) -> String {
        format!("volary check --repair {}", self.namespace)
    }

    /// The next page of what there is to look at, and where the one after it begins.
    async fn page(&self, at: &At) -> Result<Option<(Vec<Work>, At)>> {
        let read = async {
            Ok(match at {
                At::Trash(after) => {
                    let (work, next) = self.trash_page(after).await?;
                    Some((work, next.map_or(At::Ids(Vec::new()), At::Trash)))
                }
                At::Ids(after) => {
                    let (work, next) = self.id_page(after).await?;
                    Some((work, next.map_or(At::Names(Vec::new()), At::Ids)))
                }
                At::Names(after) => {
                    let (work, next) = self.name_page(after).await?;
                    Some((work, next.map_or(At::End, At::Names)))
                }
                At::End => None,
            })
        };
        self.on.call(self.ctl, "list what to check", read).await
    }

    async fn work(&self, work: Work) -> Result<Vec<Checked>> {
        let (name, found) = match work {
            Work::Found(finding) => return Ok(vec![found_one(finding)]),
            Work::Backward(entry) => {
                let found = self.on.call(self.ctl, "check the directory", self.backward(&entry));
                return Ok(found.await?.into_iter().map(found_one).collect());
            }
            Work::Listed(entry, both_ways) => {
                let found = self.on.call(self.ctl, "check a volume", self.listed(&entry, both_ways)).await;
                let found = readable(found, &self.named(&entry), &entry.id)?;
                (Some(entry.name), found)
            }
            Work::Trashed(entry) => {
                let found = self.on.call(self.ctl, "check a volume in trash", self.trashed(&entry)).await;
                let spec = self.namespace.volume_by_id(entry.id.clone());
                (None, readable(found, &spec, &entry.id)?)
            }
        };
        let looked = Checked::Volume { name, objects: 0 };
        Ok([looked].into_iter().chain(found.into_iter().map(found_one)).collect())
    }
}

fn found_one(finding: Finding) -> Checked {
    Checked::Finding(Box::new(finding))
}

/// What was found, where a part of the volume that cannot be read is a finding of its own.
fn readable(found: Result<Vec<Finding>>, spec: &VolumeSpec, id: &VolumeId) -> Result<Vec<Finding>> {
    match found {
        // It went meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Unsupported) => {
            let remedy = "`ceph health detail` and the log of the OSDs say what is wrong with the object";
            let finding = Finding::new(FindingKind::Unreadable, "", error.report(), remedy);
            Ok(vec![finding.about(spec.clone(), id.clone())])
        }
        found => found,
    }
}
