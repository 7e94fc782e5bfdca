//! Trash: volumes that are gone by name and kept until their date.

use super::audit::audited;
use super::handle::{closing, named};
use super::journal::{AsGiven, Intent, Work};
use super::order::Order;
use super::outcome::{Outcome, RemoveReport, Step, StepOutcome};
use super::patience::Patience;
use super::plan::{Act, Plan, Rules, Seen, Subject};
use super::remove::{planned, trash_blocker, unopenable_note};
use super::staging::STAGING_PREFIX;
use super::trash_note::{NOTE_KEY, Note};
use crate::engine::{Holder, HolderKind, OpenOptions, Parent, TrashEntry, TrashOptions, TrashState};
use crate::{Ctl, Error, ErrorKind, Name, Namespace, Result, Store, Target, VolumeId, VolumeSpec};
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;

/// The longest that a volume can be kept in trash: Ceph's dates end in 2106.
pub(crate) const LONGEST_KEEP: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// What is said of an entry whose volume has lost its header.
const NOTHING_BEHIND: &str = "there is no volume behind its entry of trash";

/// A volume in trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrashListing {
    /// Its id.
    pub id: VolumeId,
    /// The name it had.
    pub name: Name,
    /// Until when it is kept.
    pub until: Timestamp,
    /// Who put it there, in Ceph's words.
    pub source: String,
    /// How far it is on its way in or out.
    pub state: TrashState,
}

/// A volume that was moved into trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrashMoveReport {
    /// The volume under the name it had.
    pub volume: VolumeSpec,
    /// Its id, by which it is found from now on.
    pub id: VolumeId,
    /// Until when it is kept.
    pub until: Timestamp,
}

/// A volume that was brought back from trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RestoreReport {
    /// The volume under its name.
    pub volume: VolumeSpec,
    /// Its id.
    pub id: VolumeId,
}

impl Store {
    /// What is in a namespace's trash, in every state.
    ///
    /// # Errors
    /// `NotFound` for the pool or namespace.
    pub async fn trash(&self, namespace: &Namespace, ctl: &Ctl) -> Result<Vec<TrashListing>> {
        let listing = |of: TrashEntry| TrashListing {
            id: of.id,
            name: of.name,
            until: of.until,
            source: of.source,
            state: of.state,
        };
        Ok(self.engine().trash(namespace, ctl).await?.into_iter().map(listing).collect())
    }

    /// Takes a volume's name away and keeps it in trash for a while, with snapshots, clones and metadata.
    ///
    /// # Errors
    /// `NotFound`; `Blocked` while somebody has it open, and for a volume that is mirrored, migrated or in a group; `Usage` for a
    /// snapshot, and for more than 50 years.
    pub async fn trash_move(&self, spec: &VolumeSpec, keep: Duration, ctl: &Ctl) -> Result<TrashMoveReport> {
        spec.require_head()?;
        require_keep(keep)?;
        let moved = async {
            let entry = self.resolve(spec, ctl).await?;
            let subject = Subject { shown: named(spec, &entry), id: entry.id };
            let version = self.name_version(&subject, ctl).await?;
            let (engine, work) = (self.shared_engine(), Work::MoveToTrash { keep });
            // Of snapshots and clones it takes none away.
            let as_given = Some(AsGiven::now(version, &Seen::default()));
            let intent = Intent::begin_order(engine, "trash_move", &subject, work, as_given, ctl).await?;
            let moved = self.put_into_trash(&subject, keep, false, ctl).await;
            let until = intent.conclude(moved, ctl).await?;
            Ok(TrashMoveReport { volume: subject.shown, id: subject.id, until })
        };
        let details = json!({"keep_seconds": keep.as_secs()});
        audited("trash_move", spec, details, moved, |report| ("deferred", json!(report))).await
    }

    /// Notes whose doing it is, then moves; a move that fails leaves no note.
    pub(crate) async fn put_into_trash(
        &self,
        subject: &Subject,
        keep: Duration,
        purge_snapshots: bool,
        ctl: &Ctl,
    ) -> Result<Timestamp> {
        let entry = self.entry(subject, ctl).await?;
        let note = Note::now(subject.id.clone(), purge_snapshots);
        let value = note.encode()?;
        self.require_unbound(subject, ctl).await?;
        let volume = self.open_subject(subject, &OpenOptions::write(), ctl).await?;
        let set = volume.set_metadata(NOTE_KEY, &value, ctl).await;
        let set = closing(&volume, set, ctl).await;
        let moved = match set {
            Ok(()) => {
                self.engine().trash_move(subject.namespace(), &entry, &TrashOptions::keep(keep), ctl).await
            }
            failed => failed,
        };
        if let Err(error) = moved {
            self.forget_note(subject, &ctl.for_cleanup()).await;
            return Err(error.context("volume", &subject.shown));
        }
        tracing::info!(id = %subject.id, "moved to trash");
        Ok(note
            .at
            .saturating_add(SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX))
            .unwrap_or(note.at))
    }

    /// Refuses to move into trash what belongs to more than itself: the move would silently end its mirroring, and a migration or
    /// a group would lose it.
    async fn require_unbound(&self, subject: &Subject, ctl: &Ctl) -> Result<()> {
        let volume = self.open_subject(subject, &OpenOptions::read(None), ctl).await?;
        let holders = volume.holders(ctl).await;
        let binds =
            |of: &Holder| matches!(of.kind, HolderKind::Group | HolderKind::Mirror | HolderKind::Migration);
        match closing(&volume, holders, ctl).await?.into_iter().find(binds) {
            None => Ok(()),
            Some(holder) => {
                let what = format!("a {} holds the volume", holder.kind.as_str());
                Err(Error::new(ErrorKind::Blocked, what)
                    .context("volume", &subject.shown)
                    .context("holder", holder.detail)
                    .hint(holder.remedy))
            }
        }
    }

    /// Brings a volume back from trash, under the name it had or another.
    ///
    /// # Errors
    /// `Usage` unless the spec is an id, or for a name outside the grammar; `NotFound`; `AlreadyExists` when the name
    /// is in use: the volume stays in trash; `Blocked` for the unfinished target of an import or copy; `Mismatch` for an entry
    /// that has no volume behind it any more.
    pub async fn trash_restore(
        &self,
        spec: &VolumeSpec,
        name: Option<&Name>,
        ctl: &Ctl,
    ) -> Result<RestoreReport> {
        audited(
            "trash_restore",
            spec,
            json!({"name": name}),
            async {
                let id = trash_id(spec)?;
                let entry = self.trashed(spec, id, ctl).await?.ok_or_else(|| not_in_trash(spec))?;
                if is_staging(&entry) {
                    return Err(Error::new(
                        ErrorKind::Blocked,
                        "it is the unfinished target of an import or copy",
                    )
                    .context("volume", spec)
                    .hint(format!("if nothing is at work on it, `volary trash rm --force {spec}`")));
                }
                let name = match name {
                    Some(name) => name.clone().checked_for_creation()?,
                    None => entry.name.clone(),
                };
                // Who has the name decides the exclusive creation of it, but for images that cannot be used.
                let by_name = Target::Name(name.clone());
                if let Err(error) = self.engine().find(&spec.namespace, &by_name, ctl).await {
                    let taken = error.kind() == ErrorKind::Unsupported;
                    let exists = || Error::new(ErrorKind::AlreadyExists, error.message().to_owned());
                    return Err(if taken {
                        exists().hint(format!("`volary trash restore {spec} NAME`"))
                    } else {
                        error
                    });
                }
                self.require_behind(spec, &entry, ctl).await?;
                let work = Work::Restore { name: name.clone() };
                let intent =
                    Intent::begin(self.shared_engine(), "trash_restore", spec, Some(id.clone()), work, ctl)
                        .await?;
                let restored = self.engine().trash_restore(&spec.namespace, id, &name, ctl).await;
                let restored = intent.conclude(restored, ctl).await;
                let shown = spec.namespace.volume(name);
                restored.map_err(|error| {
                    let taken = error.kind() == ErrorKind::AlreadyExists;
                    let error = error.context("volume", &shown);
                    if taken { error.hint(format!("`volary trash restore {spec} NAME`")) } else { error }
                })?;
                tracing::info!(%id, "restored from trash");
                let subject = Subject { shown, id: id.clone() };
                self.forget_note(&subject, &ctl.for_cleanup()).await;
                Ok(RestoreReport { volume: subject.shown, id: subject.id })
            },
            |report| ("restored", json!(report)),
        )
        .await
    }

    /// Refuses to give a name to what is not there: an entry of trash whose volume has lost its header.
    pub(crate) async fn require_behind(
        &self,
        spec: &VolumeSpec,
        entry: &TrashEntry,
        ctl: &Ctl,
    ) -> Result<()> {
        if !must_be_behind(entry) {
            return Ok(());
        }
        match self.engine().parent(&spec.namespace, &entry.id, ctl).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Another process may have removed the entry since it was read.
                self.trashed(spec, &entry.id, ctl).await?.ok_or_else(|| not_in_trash(spec))?;
                Err(nothing_behind(spec).because(error))
            }
            // Whatever else is wrong with it is as wrong under a name.
            _ => Ok(()),
        }
    }

    /// Removes a volume in trash for good; before its date only with `force`.
    ///
    /// # Errors
    /// `Usage` unless the spec is an id; what reading fails with. What is in the way is in the report.
    pub async fn trash_remove(&self, spec: &VolumeSpec, force: bool, ctl: &Ctl) -> Result<RemoveReport> {
        let ctl = &ctl.for_removal();
        let id = trash_id(spec)?;
        let removed = async {
            match self.trashed(spec, id, ctl).await? {
                Some(entry) => {
                    let order = Order::new("trash_remove", Work::RemoveTrashed);
                    let report = self.remove_trashed(spec, entry, force, Duration::ZERO, order, ctl).await?;
                    Ok(report.unwrap_or_else(|| absent(spec)))
                }
                None => Ok(absent(spec)),
            }
        };
        let outcome = |report: &RemoveReport| (report.outcome.as_str(), json!(report));
        audited("trash_remove", spec, json!({"force": force}), removed, outcome).await
    }

    /// What [`trash_remove`](Store::trash_remove) would do, found out by reading only.
    ///
    /// # Errors
    /// As [`trash_remove`](Store::trash_remove).
    #[tracing::instrument(name = "plan_trash_remove", skip_all, fields(volume = %spec))]
    pub async fn plan_trash_remove(&self, spec: &VolumeSpec, force: bool, ctl: &Ctl) -> Result<RemoveReport> {
        let id = trash_id(spec)?;
        match self.trashed(spec, id, ctl).await? {
            Some(entry) => self.planned_trashed(spec, &entry, force, ctl).await,
            None => Ok(absent(spec)),
        }
    }

    pub(crate) async fn planned_trashed(
        &self,
        spec: &VolumeSpec,
        entry: &TrashEntry,
        force: bool,
        ctl: &Ctl,
    ) -> Result<RemoveReport> {
        let subject = Subject { shown: spec.clone(), id: entry.id.clone() };
        Ok(planned(&subject, self.plan_trashed(&subject, entry, force, ctl).await?))
    }

    /// Removes a clone's parent of the same namespace that Volary put into trash, and that waited there for this clone to go;
    /// the step, when it is gone. Whatever keeps it, another clone above all, it stays for a later purge. One of another
    /// namespace is left to a purge there: whoever may write a clone's header can name any parent.
    pub(crate) async fn remove_with_last_clone(&self, parent: &Parent, ctl: &Ctl) -> Option<Step> {
        let spec = parent.namespace.volume_by_id(parent.id.clone());
        let remove = async {
            let Some(entry) = self.trashed(&spec, &parent.id, ctl).await? else { return Ok(None) };
            if entry.until > self.now() || self.note_of(&spec, &entry, ctl).await?.is_none() {
                return Ok(None);
            }
            let order = Order::new("trash_purge", Work::RemoveTrashed);
            // Boxed, since it may be the last clone of its own parent.
            Box::pin(self.remove_trashed(&spec, entry, false, Duration::ZERO, order, ctl)).await
        };
        match remove.await {
            Ok(report) => report.filter(|report| report.outcome == Outcome::Removed).map(|_| Step {
                action: "remove".to_owned(),
                target: spec,
                outcome: StepOutcome::Done,
                tries: 1,
            }),
            Err(error) => {
                tracing::warn!(id = %parent.id, error = error.report(), "a parent in trash stays for a later purge");
                None
            }
        }
    }

    /// Removes what an order, new or found in the journal, is about; `None` when it turns out not to be there.
    pub(crate) async fn remove_trashed(
        &self,
        spec: &VolumeSpec,
        entry: TrashEntry,
        force: bool,
        wait: Duration,
        order: Order,
        ctl: &Ctl,
    ) -> Result<Option<RemoveReport>> {
        let subject = Subject { shown: spec.clone(), id: entry.id.clone() };
        let plan = || self.plan_trashed(&subject, &entry, force, ctl);
        let patience = Patience::new(wait);
        self.carry_out(&subject, patience, order, ctl, plan).await
    }

    async fn plan_trashed(
        &self,
        subject: &Subject,
        entry: &TrashEntry,
        force: bool,
        ctl: &Ctl,
    ) -> Result<Plan> {
        let mut plan = Plan::default();
        match self.see(subject, ctl).await {
            Ok(Seen { unopenable: Some(error), .. }) => plan.notes.push(unopenable_note(&error)),
            Ok(seen) => {
                let note = self.note_of(&subject.shown, entry, ctl).await?;
                let purge = note.is_some_and(|note| note.purge_snapshots);
                let rules = Rules { unprotect: false, flatten_children: false, resumed: false };
                plan = self.plan_snapshots(subject, &seen, purge, rules, ctl).await?;
                plan.blockers.append(&mut plan.clones);
                plan.blockers.extend(seen.holders);
            }
            // Half removed, it cannot be opened any more: only removing it again makes sense.
            Err(error) if entry.state == TrashState::Removing && error.kind() == ErrorKind::NotFound => {}
            // The entry was just read, so it is the volume behind it that is gone.
            Err(error)
                if entry.state == TrashState::Normal
                    && !is_staging(entry)
                    && error.kind() == ErrorKind::NotFound =>
            {
                plan.notes.push(format!("it cannot be opened: {NOTHING_BEHIND}"));
            }
            // Half made; but whoever is at it would go on with what nothing leads to any more.
            Err(error) if is_staging(entry) && error.kind() == ErrorKind::NotFound => {
                // Its header is made before its data, and goes after it.
                plan.has_no_data = true;
                let making = self
                    .intents(&subject.shown.namespace, |intent| intent.staging() == Some(&entry.name), ctl)
                    .await?;
                if making.unread || !making.found.is_empty() {
                    let detail = format!("an operation of the journal may be making {}", subject.shown);
                    let place = &subject.shown.namespace;
                    let remedy = format!(
                        "`volary pending ls {place}` shows it; if its process is gone, `volary reap {place}` undoes it"
                    );
                    plan.blockers.push(Holder::new(HolderKind::Trash, detail, remedy));
                }
            }
            Err(error) => return Err(error),
        }
        if entry.half_migrated {
            let detail = format!(
                "a migration of `{}` whose preparation was cut short: this is its only data",
                entry.name
            );
            let remedy = format!("`volary trash restore {}` brings it back", subject.shown);
            plan.blockers.push(Holder::new(HolderKind::Migration, detail, remedy));
        }
        if !force && entry.until > self.now() {
            let remedy = format!("`volary trash rm --force {}` removes it now", subject.shown);
            plan.blockers.push(trash_blocker(&subject.shown, entry, &remedy));
        }
        plan.acts.push(Act::RemoveFromTrash { force });
        Ok(plan)
    }

    /// The trash entry of an id.
    pub(crate) async fn trashed(
        &self,
        spec: &VolumeSpec,
        id: &VolumeId,
        ctl: &Ctl,
    ) -> Result<Option<TrashEntry>> {
        Ok(self.engine().trash(&spec.namespace, ctl).await?.into_iter().find(|entry| entry.id == *id))
    }
}

pub(crate) fn is_staging(entry: &TrashEntry) -> bool {
    entry.name.as_bytes().starts_with(STAGING_PREFIX.as_bytes())
}

/// Refuses to keep a volume in trash for longer than any store can.
pub(crate) fn require_keep(keep: Duration) -> Result<()> {
    if keep <= LONGEST_KEEP {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, "a volume is kept in trash for at most 50 years (18250d)"))
}

/// What can be done about a volume that is in trash.
pub(crate) fn way_out(spec: &VolumeSpec, entry: &TrashEntry) -> String {
    match entry.source.as_str() {
        _ if entry.half_migrated => format!("`volary trash restore {spec}` brings it back"),
        "migration" => {
            format!("`rbd migration abort {}` brings it back", spec.namespace.volume(entry.name.clone()))
        }
        _ if entry.until > Timestamp::now() => {
            format!("`volary trash rm --force {spec}` removes it for good")
        }
        _ => format!("`volary trash rm {spec}` removes it for good"),
    }
}

fn trash_id(spec: &VolumeSpec) -> Result<&VolumeId> {
    spec.require_head()?;
    match &spec.volume {
        Target::Id(id) => Ok(id),
        Target::Name(_) => {
            Err(Error::new(ErrorKind::Usage, format!("`{spec}` is a name, and names do not last in trash"))
                .hint(format!("write {0}/id:ID; `volary trash ls {0}` shows the ids", spec.namespace)))
        }
    }
}

/// Whether a volume must be found behind an entry: what is half-way in or out may be without one until that is finished by
/// repeating it, and the source of a migration is brought back by other means.
pub(crate) fn must_be_behind(entry: &TrashEntry) -> bool {
    entry.state == TrashState::Normal && entry.source != "migration" && !is_staging(entry)
}

/// The error of an entry of trash whose volume has lost its header.
pub(crate) fn nothing_behind(spec: &VolumeSpec) -> Error {
    Error::new(ErrorKind::Mismatch, NOTHING_BEHIND)
        .context("volume", spec)
        .hint(format!("`volary trash rm --force {spec}` removes what is left of it"))
}

fn not_in_trash(spec: &VolumeSpec) -> Error {
    Error::new(ErrorKind::NotFound, "no such volume in trash")
        .context("volume", spec)
        .hint(format!("`volary trash ls {}` shows what is there", spec.namespace))
}

fn absent(spec: &VolumeSpec) -> RemoveReport {
    let report = RemoveReport::new(spec.clone(), None, Outcome::Absent);
    report.failing(&not_in_trash(spec))
}
