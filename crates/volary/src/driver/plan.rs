//! Planning a removal: everything is read, nothing is changed.

use super::journal::AsGiven;
use super::outcome::{Outcome, Step, StepOutcome};
use crate::engine::{Child, Holder, HolderKind, Locker, OpenOptions, Parent, SnapshotInfo, Volume};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Store, VolumeId, VolumeSpec};
use std::time::Duration;

/// The volume a removal is about: identity is the id; the spec is how it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) shown: VolumeSpec,
    pub(crate) id: VolumeId,
}

impl Subject {
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.shown.namespace
    }
}

/// One thing to do; each is a single visible effect.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Flatten(Child),
    Unprotect(SnapshotInfo),
    RemoveSnapshot(SnapshotInfo),
    /// Keep it in trash for so long; whether its snapshots may go with it then.
    MoveToTrash(Duration, bool),
    /// Into trash, to be removed there at once.
    TakeName,
    RemoveFromTrash {
        force: bool,
    },
    /// All that there still is of a volume that cannot be opened.
    RemoveRemains,
}

impl Act {
    pub(crate) fn step(&self, subject: &Subject, outcome: StepOutcome) -> Step {
        let at = |snapshot: &SnapshotInfo| subject.shown.at(snapshot.name.clone());
        let (action, target) = match self {
            Act::Flatten(child) => ("flatten", child_spec(child)),
            Act::Unprotect(snapshot) => ("unprotect", at(snapshot)),
            Act::RemoveSnapshot(snapshot) => ("remove_snapshot", at(snapshot)),
            Act::MoveToTrash(..) | Act::TakeName => ("move_to_trash", subject.shown.clone()),
            Act::RemoveFromTrash { .. } => ("remove", subject.shown.clone()),
            Act::RemoveRemains => ("remove_remains", subject.shown.clone()),
        };
        let tries = u32::from(matches!(outcome, StepOutcome::Done | StepOutcome::Failed));
        Step { action: action.into(), target, outcome, tries }
    }
}

/// What may be done about what is in the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) unprotect: bool,
    pub(crate) flatten_children: bool,
    /// Whether the order was found in the journal: it may have been forged by a client with rights to its namespace alone, so
    /// nothing outside that namespace is changed for it, nor read into it.
    pub(crate) resumed: bool,
}

/// Everything that matters to a removal, as it was when read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) snapshots: Vec<SnapshotInfo>,
    /// How far the snapshots have been counted ([`Engine::snapshots_made`](crate::engine::Engine::snapshots_made)); `None` where
    /// they do not matter, or it is not known.
    pub(crate) snapshots_made: Option<u64>,
    pub(crate) children: Vec<Child>,
    pub(crate) parent: Option<Parent>,
    /// Who holds the volume, and what could not be seen.
    pub(crate) holders: Vec<Holder>,
    /// Why it cannot be opened, though it is there; nothing else is known of it then.
    pub(crate) unopenable: Option<Error>,
}

/// What to do, and what is in the way of doing it.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) acts: Vec<Act>,
    pub(crate) blockers: Vec<Holder>,
    /// The clones that let their parent go into trash, though not away: the last one takes it along.
    pub(crate) clones: Vec<Holder>,
    /// Who the volume is a clone of.
    pub(crate) parent: Option<Parent>,
    /// What the volume is like, as far as it matters to an order that outlives this plan.
    pub(crate) as_given: Option<AsGiven>,
    /// What has become of the volume since the order was given that is carried out.
    pub(crate) changed: Option<String>,
    /// What the user should know beside it.
    pub(crate) notes: Vec<String>,
    /// Whether the volume surely has no data, whatever the store must say of one without header.
    pub(crate) has_no_data: bool,
    /// Once it is carried out: what of the volume may be left all the same.
    pub(crate) left: Vec<String>,
}

impl Plan {
    /// How it ends when nothing fails.
    pub(crate) fn outcome(&self) -> Outcome {
        let deferred = self.acts.iter().any(|act| matches!(act, Act::MoveToTrash(..)));
        if deferred { Outcome::Deferred } else { Outcome::Removed }
    }
}

impl Seen {
    /// Reads what an open volume has, and who holds it.
    pub(crate) async fn read(volume: &dyn Volume, shown: &VolumeSpec, ctl: &Ctl) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut hidden = Vec::new();
        seen.parent = volume.stat(ctl).await?.parent;
        seen.snapshots = visible(volume.snapshots(ctl).await, "its snapshots", &mut hidden)?;
        seen.children = visible(volume.children(None, ctl).await, "its clones", &mut hidden)?;
        seen.holders = visible(volume.holders(ctl).await, "who holds it", &mut hidden)?;
        for watcher in seen.holders.iter_mut().filter(|of| of.kind == HolderKind::Watcher) {
            // Who has an address is somewhere else, where it perhaps cannot be closed.
            if watcher.address.is_some() {
                watcher.remedy.push_str(&format!("; `volary why {shown} --fence` cuts it off"));
            }
        }
        let lockers = visible(volume.lockers(ctl).await, "its locks", &mut hidden)?;
        seen.holders.extend(lockers.iter().map(|locker| lock_blocker(shown, locker)));
        seen.holders.append(&mut hidden);
        Ok(seen)
    }

    /// What is seen of a volume that was not opened, for this reason: one that is damaged is there all the same, and rights that
    /// are missing hide who holds it.
    fn unopened(error: Error) -> Result<Seen> {
        match error.kind() {
            ErrorKind::Mismatch => Ok(Seen { unopenable: Some(error), ..Seen::default() }),
            ErrorKind::Permission => {
                let mut holders = Vec::new();
                visible::<()>(Err(error), "what it has, and who holds it,", &mut holders)?;
                Ok(Seen { holders, ..Seen::default() })
            }
            _ => Err(error),
        }
    }

    /// What of it matters to removing one snapshot.
    pub(crate) fn of_snapshot(&self, snapshot: &Name) -> Seen {
        let children = self.clones_of(snapshot).into_iter().cloned().collect();
        Seen { children, ..Seen::default() }
    }

    fn clones_of(&self, snapshot: &Name) -> Vec<&Child> {
        self.children.iter().filter(|child| child.snapshot == *snapshot).collect()
    }

    /// The clones of snapshots that were removed below them: RBD keeps those, unseen, until the last clone goes.
    fn clones_of_removed(&self) -> Vec<&Child> {
        let kept = |child: &&Child| self.snapshots.iter().any(|snapshot| snapshot.name == child.snapshot);
        self.children.iter().filter(|child| !kept(child)).collect()
    }
}

/// What the user's rights do not let it see is a blocker, never "none".
fn visible<T: Default>(result: Result<T>, what: &str, hidden: &mut Vec<Holder>) -> Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::Permission => {
            let remedy = error.remedy().unwrap_or("try again as a user with the rights to see all pools");
            let detail = format!("{what} may not be seen: {}", error.message());
            hidden.push(Holder::new(HolderKind::Unknown, detail, remedy));
            Ok(T::default())
        }
        other => other,
    }
}

impl Store {
    /// The same before a removal that is carried out, and nearly always finds nothing.
    pub(crate) async fn see_to_remove(&self, subject: &Subject, ctl: &Ctl) -> Result<Seen> {
        let (namespace, id) = (subject.namespace(), &subject.id);
        match self.engine().unheld(namespace, id, ctl).await {
            Ok(true) => {}
            // Opening it tells what may not be seen.
            Err(error) if error.kind() != ErrorKind::Permission => return Err(error),
            _ => return self.see(subject, ctl).await,
        }
        match self.engine().parent(namespace, id, ctl).await {
            Ok(parent) => Ok(Seen { parent, ..Seen::default() }),
            Err(error) => Seen::unopened(error),
        }
    }

    /// Reads what stands for or against removing a volume.
    pub(crate) async fn see(&self, subject: &Subject, ctl: &Ctl) -> Result<Seen> {
        let volume = match self.open_subject(subject, &OpenOptions::read(None), ctl).await {
            Err(error) => return Seen::unopened(error),
            Ok(volume) => volume,
        };
        let seen = Seen::read(&*volume, &subject.shown, ctl).await;
        super::handle::closing(&volume, seen, ctl).await
    }

    /// Plans to part clones from their parent, or names each as a blocker.
    async fn plan_clones(
        &self,
        subject: &Subject,
        clones: Vec<&Child>,
        rules: Rules,
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut plan = Plan::default();
        let outside = match rules {
            Rules { flatten_children: true, resumed: true, .. } if !clones.is_empty() => {
                self.ancestor_outside(subject.namespace(), &subject.id, ctl).await?
            }
            _ => None,
        };
        for child in clones {
            if !rules.flatten_children {
                plan.blockers.push(child_blocker(child));
                continue;
            }
            if rules.resumed && (child.namespace != *subject.namespace() || outside.is_some()) {
                plan.blockers.push(foreign_child_blocker(child, outside.as_ref()));
                continue;
            }
            let child_subject = Subject { shown: child_spec(child), id: child.id.clone() };
            let child_seen = match self.see(&child_subject, ctl).await {
                // Gone since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                seen => seen?,
            };
            if let Some(error) = child_seen.unopenable {
                return Err(error.context("clone", &child_subject.shown));
            }
            plan.blockers.extend(child_seen.holders.into_iter().map(|holder| Holder {
                detail: format!("the clone {}: {}", child_subject.shown, holder.detail),
                ..holder
            }));
            plan.acts.push(Act::Flatten(child.clone()));
        }
        Ok(plan)
    }

    /// Plans the removal of one snapshot.
    pub(crate) async fn plan_snapshot(
        &self,
        subject: &Subject,
        seen: &Seen,
        snapshot: &SnapshotInfo,
        rules: Rules,
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut plan = self.plan_clones(subject, seen.clones_of(&snapshot.name), rules, ctl).await?;
        if snapshot.protected {
            if rules.unprotect {
                plan.acts.push(Act::Unprotect(snapshot.clone()));
            } else {
                plan.blockers.push(protected_blocker(subject, snapshot));
            }
        }
        plan.acts.push(Act::RemoveSnapshot(snapshot.clone()));
        Ok(plan)
    }

    /// Plans to take the snapshots away, or names each as a blocker.
    ///
    /// A snapshot that has clones though it is not protected has clones of format 2, whose parent may lie in trash.
    pub(crate) async fn plan_snapshots(
        &self,
        subject: &Subject,
        seen: &Seen,
        purge: bool,
        rules: Rules,
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut whole = Plan { parent: seen.parent.clone(), ..Plan::default() };
        for snapshot in &seen.snapshots {
            let clones = seen.clones_of(&snapshot.name);
            if purge && !snapshot.protected && !rules.flatten_children && !clones.is_empty() {
                whole.clones.extend(clones.into_iter().map(child_blocker));
                continue;
            }
            let mut part = self.plan_snapshot(subject, seen, snapshot, rules, ctl).await?;
            // First what keeps the snapshot: the remedy of a snapshot that is protected, or has clones, works only after that.
            whole.blockers.append(&mut part.blockers);
            if purge {
                whole.acts.append(&mut part.acts);
            } else {
                whole.blockers.push(snapshot_blocker(subject, snapshot));
            }
        }
        if rules.flatten_children {
            let mut part = self.plan_clones(subject, seen.clones_of_removed(), rules, ctl).await?;
            whole.acts.append(&mut part.acts);
            whole.blockers.append(&mut part.blockers);
        } else {
            whole.clones.extend(seen.clones_of_removed().into_iter().map(child_blocker));
        }
        Ok(whole)
    }
}

/// A clone as it can be typed: by id when it is in trash.
pub(crate) fn child_spec(child: &Child) -> VolumeSpec {
    if child.trash {
        child.namespace.volume_by_id(child.id.clone())
    } else {
        child.namespace.volume(child.volume.clone())
    }
}

/// A clone of what cannot be opened, which needs no more than the header that a backup may bring back.
pub(crate) fn known_clone_blocker(clone: &VolumeSpec) -> Holder {
    let detail = format!("the clone {clone}, which reads from it once it can be opened again");
    let remedy = format!("restore it from a backup, or `volary rm {clone}`");
    Holder::new(HolderKind::Child, detail, remedy)
}

fn child_blocker(child: &Child) -> Holder {
    let spec = child_spec(child);
    let (detail, remedy) = if child.trash {
        let detail = format!("the clone {spec} (`{}`, in trash) of @{}", child.volume, child.snapshot);
        (detail, format!("`volary trash rm {spec}`, or --flatten-children"))
    } else {
        let detail = format!("the clone {spec} of @{}", child.snapshot);
        (detail, format!("`volary flatten {spec}` or `volary rm {spec}`, or --flatten-children"))
    };
    Holder::new(HolderKind::Child, detail, remedy)
}

/// A clone that an order of the journal does not part from its parent: its data, or that which it reads, is not the namespace's.
fn foreign_child_blocker(child: &Child, outside: Option<&Parent>) -> Holder {
    let spec = child_spec(child);
    let why = match outside {
        None => "it lies in another namespace than the order".to_owned(),
        Some(parent) => format!("it reads from {} too", parent.namespace),
    };
    let remedy = match child.trash {
        true => format!("`volary trash rm --force {spec}`, by a user with rights to both namespaces"),
        false => format!("`volary flatten {spec}`, by a user with rights to both namespaces"),
    };
    Holder::new(HolderKind::Child, format!("the clone {spec} of @{}: {why}", child.snapshot), remedy)
}

fn protected_blocker(subject: &Subject, snapshot: &SnapshotInfo) -> Holder {
    let spec = subject.shown.at(snapshot.name.clone());
    let remedy = format!("`volary snap unprotect {spec}`");
    Holder::new(HolderKind::Protected, format!("the snapshot {spec} is protected"), remedy)
}

fn lock_blocker(shown: &VolumeSpec, locker: &Locker) -> Holder {
    let Locker { cookie, client, address, .. } = locker;
    let detail = format!("the lock `{cookie}` of {client} at {address}");
    let remedy = format!("`volary lock rm {shown} '{cookie}' {client}`");
    Holder::new(HolderKind::Lock, detail, remedy).by(client.to_string(), Some(address.clone()))
}

fn snapshot_blocker(subject: &Subject, snapshot: &SnapshotInfo) -> Holder {
    let spec = subject.shown.at(snapshot.name.clone());
    let remedy = format!("`volary snap rm {spec}`, or --purge-snapshots");
    Holder::new(HolderKind::Snapshot, format!("the snapshot {spec}"), remedy)
}
