//! What a header tells of a migration (`rbd migration`), which moves an image into another one, its target. The source lies in
//! trash until the target has all data.

use super::connection::Connection;
use super::directory::{find, string};
use super::{NO_LIMIT, header};
use crate::engine::{Holder, HolderKind};
use crate::{Error, ErrorKind, Name, Namespace, Result, Target, VolumeId, VolumeSpec};
use rbd::Pool;

/// Which side of a migration an image is, where the other side is, and how far it is (`cls::rbd::MigrationSpec`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MigrationSpec<'a> {
    is_source: bool,
    pool: i64,
    namespace: &'a [u8],
    name: &'a [u8],
    stage: Stage,
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Failed,
    Preparing,
    Prepared,
    Executing,
    Executed,
    Aborting,
}

/// As they are numbered.
const STAGES: [Stage; 6] =
    [Stage::Failed, Stage::Preparing, Stage::Prepared, Stage::Executing, Stage::Executed, Stage::Aborting];

/// Version, compatible version and length; which side it is; the other side's pool, namespace, name and id; pairs of snapshots'
/// numbers; the overlap, and whether the target is flattened and mirrored; the stage, and what does not matter here.
pub(super) fn decode(value: &[u8]) -> Option<MigrationSpec<'_>> {
    let (&[_, compatible, ..], rest) = value.split_at_checked(6)? else { return None };
    let (side, rest) = rest.split_first()?;
    let (pool, rest) = rest.split_first_chunk()?;
    let (namespace, rest) = string(rest)?;
    let (name, rest) = string(rest)?;
    let (_, rest) = string(rest)?;
    let (pairs, rest) = rest.split_first_chunk()?;
    let pairs = usize::try_from(u32::from_le_bytes(*pairs)).ok()?;
    let stage = rest.get(pairs.checked_mul(16)?.checked_add(8 + 1 + 1)?)?;
    let is_source = match side {
        1 => true,
        2 => false,
        _ => return None,
    };
    let stage = *STAGES.get(usize::from(*stage))?;
    let pool = i64::from_le_bytes(*pool);
    (compatible <= 3).then_some(MigrationSpec { is_source, pool, namespace, name, stage })
}

impl MigrationSpec<'_> {
    /// What holds an image, called `own`, that is one side; the other side's spec is known where its pool still has a name.
    fn holder(&self, own: &VolumeSpec, other: Option<&VolumeSpec>) -> Holder {
        let there = other.map_or_else(
            || format!("{} in the pool with the number {}", Name::from_bytes(self.name), self.pool),
            ToString::to_string,
        );
        let side = match self.is_source {
            true => format!("it is the source of a migration to {there}"),
            false => format!("it is the target of a migration from {there}"),
        };
        let stage = match self.stage {
            Stage::Failed => "failed",
            Stage::Preparing => "is being prepared, or was cut short in that",
            Stage::Prepared => "was prepared and is not executed",
            Stage::Executing => "is being executed, or was cut short in that",
            Stage::Executed => "was executed and is not committed",
            Stage::Aborting => "is being aborted, or was cut short in that",
        };
        // `rbd` takes either name; that of the target is the one that is listed.
        let target = if self.is_source { other.unwrap_or(own) } else { own };
        let remedy = match self.stage {
            Stage::Preparing if self.is_source => format!(
                "`rbd migration abort {own}` brings it back; where that is an invalid argument, \
                 `volary rm --purge-snapshots {target}` first: that volume is not a whole one yet"
            ),
            Stage::Preparing | Stage::Aborting => format!("`rbd migration abort {target}`"),
            Stage::Executed => format!(
                "`rbd migration commit {target}` finishes it, `rbd migration abort {target}` undoes it"
            ),
            Stage::Failed | Stage::Prepared | Stage::Executing => format!(
                "`rbd migration abort {target}`, or `rbd migration execute {target}` and then \
                 `rbd migration commit {target}`"
            ),
        };
        Holder::new(HolderKind::Migration, format!("{side}, which {stage}"), remedy)
    }
}

/// What holds an image that is being migrated, called `own`.
pub(super) async fn holder(on: &Connection, pool: &Pool, id: &VolumeId, own: &VolumeSpec) -> Result<Holder> {
    let header = header::read_whole(pool, id).await?;
    let Some(spec) = header.as_ref().and_then(|header| header.migration()) else {
        let remedy = format!("`rbd status {own}` shows it; `rbd migration abort {own}` undoes it");
        return Ok(Holder::new(HolderKind::Migration, "it is being migrated", remedy));
    };
    // A pool that was deleted has no name any more.
    let pool = on.cluster.pool_name(spec.pool, NO_LIMIT).await.ok().map(Name::from_bytes);
    let other = pool.map(|pool| {
        Namespace { pool, name: Name::from_bytes(spec.namespace) }.volume(Name::from_bytes(spec.name))
    });
    Ok(spec.holder(own, other.as_ref()))
}

/// What it means that an image cannot be opened to write with EROFS: librbd refuses that while a migration is being aborted.
pub(super) async fn why_read_only(
    on: &Connection,
    pool: &Pool,
    namespace: &Namespace,
    id: &VolumeId,
    error: rbd::Error,
) -> Error {
    // What cannot be read explains nothing.
    let Ok(true) = is_migrated(pool, id).await else { return error.into() };
    let Ok(Some(entry)) = find(pool, &Target::Id(id.clone())).await else { return error.into() };
    let Ok(holder) = holder(on, pool, id, &namespace.volume(entry.name)).await else { return error.into() };
    Error::new(ErrorKind::Blocked, holder.detail).hint(holder.remedy).because(error)
}

async fn is_migrated(pool: &Pool, id: &VolumeId) -> Result<bool> {
    Ok(header::read_whole(pool, id).await?.is_some_and(|header| header.is_migrated()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `rbd migration prepare` of Ceph 16 writes into the header of a source, with one pair of snapshots.
    const PREPARED: &[u8] =
        b"\x03\x01\x4d\0\0\0\x01\x01\0\0\0\0\0\0\0\x02\0\0\0q3\x03\0\0\0dst\x0b\0\0\x001c29a7d59fb\
        \x01\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0";

    #[test]
    fn a_migration_is_decoded_and_never_past_its_end() {
        let spec = MigrationSpec {
            is_source: true,
            pool: 1,
            namespace: b"q3",
            name: b"dst",
            stage: Stage::Prepared,
        };
        assert_eq!(decode(PREPARED), Some(spec));
        // The stage is followed by nine bytes that are not read.
        for len in 0..PREPARED.len() - 9 {
            assert_eq!(decode(&PREPARED[..len]), None, "{len}");
        }
        for (at, odd) in [(1, 4), (6, 3), (PREPARED.len() - 10, 6), (43, 0xff)] {
            let mut other = PREPARED.to_vec();
            other[at] = odd;
            assert_eq!(decode(&other), None, "{at}");
        }
    }

    #[test]
    fn each_stage_has_the_commands_that_work_in_it() {
        let own: VolumeSpec = "rbd/q3/src".parse().unwrap();
        let target: VolumeSpec = "rbd/q3/dst".parse().unwrap();
        let remedy = |stage, is_source| {
            let spec = MigrationSpec { is_source, pool: 1, namespace: b"q3", name: b"dst", stage };
            spec.holder(&own, Some(&target)).remedy
        };
        assert!(remedy(Stage::Prepared, true).contains("`rbd migration execute rbd/q3/dst`"));
        assert!(remedy(Stage::Preparing, true).starts_with("`rbd migration abort rbd/q3/src`"));
        assert!(remedy(Stage::Executed, false).starts_with("`rbd migration commit rbd/q3/src`"));
        assert_eq!(remedy(Stage::Aborting, true), "`rbd migration abort rbd/q3/dst`");
    }
}
