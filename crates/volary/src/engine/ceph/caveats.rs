//! What whoever uses an image should know: writes that are not in its content yet, and what Ceph's manager was told to do with it.

use super::directory::find;
use super::volume::Handle;
use super::{NO_LIMIT, holders, lockers};
use crate::engine::{Caveat, CaveatKind, Holder, HolderKind};
use crate::{Name, Namespace, Result, Target, VolumeId, VolumeSpec, escape};
use rbd::Features;
use serde_json::Value;

/// The keys of an image's metadata under which librbd keeps the state of a write-back cache (`PERSISTENT_CACHE_STATE`), the second
/// one in its first releases.
const CACHE_STATES: [&[u8]; 2] = [b".rbd_persistent_cache_state", b".librbd/image_cache_state"];

/// The object whose map has the tasks of the manager that are about images of a namespace (its module `rbd_support`).
const TASKS: &[u8] = b"rbd_task";

/// A volume as users call it: by its name, or by its id when it has none.
pub(super) async fn spec_of(pool: &rbd::Pool, namespace: &Namespace, id: &VolumeId) -> Result<VolumeSpec> {
    let entry = find(pool, &Target::Id(id.clone())).await?;
    Ok(entry.map_or_else(|| namespace.volume_by_id(id.clone()), |entry| namespace.volume(entry.name)))
}

/// The arguments by which `rbd` finds a volume.
fn rbd_arguments(spec: &VolumeSpec) -> String {
    let Namespace { pool, name } = &spec.namespace;
    match &spec.volume {
        Target::Name(_) => spec.to_string(),
        Target::Id(id) if name.is_empty() => format!("--pool {pool} --image-id {id}"),
        Target::Id(id) => format!("--pool {pool} --namespace {name} --image-id {id}"),
    }
}

/// Where a cache is that has writes, by the state that librbd keeps of it; `None` when that says that it has none.
fn unclean_cache(state: &[u8]) -> Option<String> {
    let state: Value = serde_json::from_slice(state).unwrap_or_default();
    // The first releases do not nest it.
    let state = state.get("persistent_cache").unwrap_or(&state);
    let is = |key: &str, wanted: bool| {
        let text = if wanted { "true" } else { "false" };
        state[key].as_bool() == Some(wanted) || state[key].as_str() == Some(text)
    };
    if is("present", false) || is("empty", true) || is("clean", true) {
        return None;
    }
    let text = |key: &str| state[key].as_str().map(|text| escape(text.as_bytes()).into_owned());
    Some(match (text("host"), text("path")) {
        (Some(host), Some(path)) => format!("the host {host} ({path})"),
        (Some(host), None) => format!("the host {host}"),
        (None, _) => "a host that is not told".to_owned(),
    })
}

/// A task that is about an image, from a value of the map, in JSON: `id`, and in `refs` the `action` and the `image_id`.
fn task(value: &[u8], id: &VolumeId) -> Option<Caveat> {
    let task: Value = serde_json::from_slice(value).ok()?;
    let refs = &task["refs"];
    if refs["image_id"].as_str() != Some(id.as_str()) {
        return None;
    }
    let action = match refs["action"].as_str()? {
        "remove" => "remove it".to_owned(),
        "trash remove" => "remove it from trash".to_owned(),
        "flatten" => "flatten it".to_owned(),
        "migrate execute" => "execute its migration".to_owned(),
        "migrate commit" => "commit its migration".to_owned(),
        "migrate abort" => "abort its migration".to_owned(),
        other => format!("do with it what is not known here ({})", escape(other.as_bytes())),
    };
    // Whoever may write the object chose it, and it is pasted into a shell.
    let number = Name::from_bytes(task["id"].as_str()?);
    Some(Caveat {
        kind: CaveatKind::Task,
        detail: format!("Ceph's manager was told to {action}, and tries until that is done"),
        remedy: format!("`ceph rbd task cancel {number}` drops the task"),
    })
}

impl Handle {
    /// Of a snapshot the tasks alone: it has all that was written before it.
    pub(super) async fn caveats_now(&self) -> Result<Vec<Caveat>> {
        // Fails on a handle that is closed.
        let features = self.image.features(NO_LIMIT).await?.0;
        let tasks = self.pool.omap(TASKS, b"", NO_LIMIT).await?;
        let mut all: Vec<_> = tasks.iter().filter_map(|(_, value)| task(value, &self.id)).collect();
        if self.snapshot.is_none() {
            all.extend(self.journal(features).await?);
            all.extend(self.cache(features).await?);
        }
        Ok(all)
    }

    /// Whoever closes an image writes out what its journal has, then gives up the lock that the exclusive-lock feature took.
    async fn journal(&self, features: u64) -> Result<Option<Caveat>> {
        // Of a mirror's secondary it is the mirror that replays.
        let asked = Features::RBD_FEATURE_JOURNALING | Features::RBD_FEATURE_NON_PRIMARY;
        if features & asked != Features::RBD_FEATURE_JOURNALING
            || self.write
            || !lockers::is_managed(&self.pool, &self.id).await?
        {
            return Ok(None);
        }
        let spec = spec_of(&self.pool, &self.namespace, &self.id).await?;
        let replay =
            format!("`volary snap create {spec}@replayed` replays it, as every command that writes does");
        let (detail, remedy) = match holders::watchers(&self.image, None).await?.into_iter().next() {
            None => {
                let detail = "its last writer died, and what its journal has is not in the content yet";
                (detail.to_owned(), replay)
            }
            Some(writer) => {
                let detail = format!(
                    "{} writes it or died just now, and what its journal has may not be in the content yet",
                    writer.detail
                );
                (detail, format!("close it there; after a writer that died {replay}"))
            }
        };
        Ok(Some(Caveat { kind: CaveatKind::Journal, detail, remedy }))
    }

    /// The feature says that there is a cache, for as long as there is one; a clone has its parent's metadata, but not that.
    async fn cache(&self, features: u64) -> Result<Option<Caveat>> {
        if features & Features::RBD_FEATURE_DIRTY_CACHE == 0 {
            return Ok(None);
        }
        let mut state = None;
        for key in CACHE_STATES {
            if state.is_none() {
                state = self.image.metadata_value(key, NO_LIMIT).await?;
            }
        }
        let Some(place) = unclean_cache(&state.unwrap_or_default()) else { return Ok(None) };
        let image = rbd_arguments(&spec_of(&self.pool, &self.namespace, &self.id).await?);
        Ok(Some(Caveat {
            kind: CaveatKind::Cache,
            detail: format!("a write-back cache on {place} has writes that are not in the content yet"),
            remedy: format!(
                "`rbd persistent-cache flush {image}` on that host writes them, \
                 `rbd persistent-cache invalidate {image}` gives them up"
            ),
        }))
    }

    /// The same cache as who holds the volume: whoever removes that gives up the writes.
    pub(super) async fn cache_holder(&self) -> Result<Option<Holder>> {
        let cache = self.cache(self.image.features(NO_LIMIT).await?.0).await?;
        Ok(cache.map(|of| Holder::new(HolderKind::Cache, of.detail, of.remedy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_unclean_unless_its_state_says_otherwise() {
        let nested = |clean: &str| {
            format!(
                r#"{{"persistent_cache":{{"present":true,"empty":false,"clean":{clean},"host":"node7","path":"/c"}}}}"#
            )
        };
        assert_eq!(unclean_cache(nested("false").as_bytes()).as_deref(), Some("the host node7 (/c)"));
        assert_eq!(unclean_cache(nested("true").as_bytes()), None);
        // As the first releases wrote it.
        let flat = |present: &str| format!(r#"{{"present":"{present}","clean":"false","host":"a\u001bb"}}"#);
        assert_eq!(unclean_cache(flat("true").as_bytes()).as_deref(), Some(r"the host a\x1bb"));
        assert_eq!(unclean_cache(flat("false").as_bytes()), None);
        for unreadable in [&b""[..], b"{", b"7", b"[]", b"\xff"] {
            assert_eq!(unclean_cache(unreadable).as_deref(), Some("a host that is not told"));
        }
    }

    #[test]
    fn a_task_is_told_of_its_own_image_and_its_command_is_safe_to_paste() {
        let id = VolumeId::new("1c39").unwrap();
        let value = |number: &str, action: &str, image: &str| {
            format!(
                r#"{{"sequence":4,"id":"{number}","message":"m","refs":{{"action":"{action}","image_id":"{image}"}}}}"#
            )
        };
        let told = |value: String| task(value.as_bytes(), &id);
        let flatten = told(value("fc00-9f", "flatten", "1c39")).unwrap();
        assert!(
            flatten.detail.contains("flatten it")
                && flatten.remedy.contains("`ceph rbd task cancel fc00-9f`")
        );
        assert!(
            told(value("1; reboot", "remove", "1c39")).unwrap().remedy.contains(r"cancel 1\x3b\x20reboot`")
        );
        assert!(told(value("1", "polish", "1c39")).unwrap().detail.contains("(polish)"));
        assert_eq!(told(value("1", "remove", "1c390")), None);
        for unreadable in [&b""[..], b"{}", b"[]", br#"{"refs":{"image_id":"1c39"}}"#] {
            assert_eq!(task(unreadable, &id), None);
        }
    }
}
