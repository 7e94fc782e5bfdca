//! Advisory locks: rows that stay until somebody breaks them, unlike the `flock`s of whoever has a volume open.

use super::db::Sql;
use super::directory::{missing, name_column};
use super::handle::Open;
use super::locks::Mode;
use crate::engine::{Locker, locked, usable_cookie};
use crate::{Error, ErrorKind, Name, Result, VolumeId, escape};
use rusqlite::{Transaction, params};

fn all(tx: &Transaction<'_>, id: &VolumeId) -> Sql<Vec<Locker>> {
    let mut rows = tx.prepare_cached("SELECT cookie, client, address, tag FROM locker WHERE volume = ?1")?;
    let locker = |row: &rusqlite::Row<'_>| {
        Ok(Locker {
            cookie: name_column(row, 0)?,
            client: name_column(row, 1)?,
            address: row.get(2)?,
            tag: row.get::<_, Option<Vec<u8>>>(3)?.map(Name::from_bytes),
        })
    };
    Ok(rows.query_map([id.as_str()], locker)?.collect::<rusqlite::Result<_>>()?)
}

/// Fails while somebody holds the advisory lock.
pub(super) fn require_unlocked(tx: &Transaction<'_>, id: &VolumeId) -> Sql<()> {
    all(tx, id)?.first().map_or(Ok(()), |locker| Err(locked(locker).context("id", id).into()))
}

impl Open {
    pub(super) fn lockers(&self) -> Result<Vec<Locker>> {
        self.usable()?;
        self.store.db.read(|tx| all(tx, &self.id))
    }

    pub(super) fn add_lock(&self, cookie: &Name, tag: Option<&Name>) -> Result<Locker> {
        self.usable()?;
        usable_cookie(cookie)?;
        let host = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
        let mine = Locker {
            cookie: cookie.clone(),
            client: Name::from_bytes(format!("pid.{}", std::process::id())),
            address: escape(host.trim_ascii_end()).into_owned(),
            tag: tag.cloned(),
        };
        // Nobody writes to it while the row is put.
        let _no_writer = self.store.locks.acquire(&format!("{}.w", self.id), Mode::Exclusive)?;
        self.store.db.write(|tx| {
            let others = all(tx, &self.id)?;
            if others.iter().any(|held| held.cookie == mine.cookie && held.client == mine.client) {
                return Err(Error::new(ErrorKind::AlreadyExists, "this client has a lock of this cookie")
                    .context("cookie", cookie)
                    .into());
            }
            if let Some(held) = others.iter().find(|held| held.tag.is_none() || held.tag != mine.tag) {
                return Err(locked(held).into());
            }
            tx.execute(
                "INSERT INTO locker(volume, cookie, client, address, tag) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    self.id.as_str(),
                    cookie.as_bytes(),
                    mine.client.as_bytes(),
                    mine.address,
                    tag.map(Name::as_bytes)
                ],
            )?;
            Ok(())
        })?;
        Ok(mine)
    }

    pub(super) fn break_lock(&self, cookie: &Name, client: &Name) -> Result<()> {
        self.usable()?;
        self.store.db.write(|tx| {
            let row = params![self.id.as_str(), cookie.as_bytes(), client.as_bytes()];
            let gone =
                tx.execute("DELETE FROM locker WHERE volume = ?1 AND cookie = ?2 AND client = ?3", row)?;
            if gone == 0 {
                return Err(missing("lock", cookie).context("client", client).into());
            }
            Ok(())
        })
    }
}
