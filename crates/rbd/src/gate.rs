//! A handle that many use and one closes: users hold it while they use it, closing waits for them.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// Keeps a handle open while it lives.
pub(crate) type Held<T> = OwnedRwLockReadGuard<Option<T>, T>;

pub(crate) struct Gate<T>(Arc<RwLock<Option<T>>>);

impl<T> Clone for Gate<T> {
    fn clone(&self) -> Self {
        Gate(Arc::clone(&self.0))
    }
}

impl<T> Gate<T> {
    pub(crate) fn new(handle: T) -> Self {
        // As many users as tokio's lock allows.
        Gate(Arc::new(RwLock::new(Some(handle))))
    }

    /// The handle, unless it is closed or somebody waits to close it.
    pub(crate) fn hold(&self) -> Result<Held<T>> {
        let guard = Arc::clone(&self.0).try_read_owned().map_err(|_| Error::Closed)?;
        OwnedRwLockReadGuard::try_map(guard, Option::as_ref).map_err(|_| Error::Closed)
    }

    /// Waits for every user and takes the handle out; `None` when that has been done before.
    pub(crate) async fn take(&self, symbol: &'static str, limit: Duration) -> Result<Option<T>> {
        let waited = tokio::time::timeout(limit, Arc::clone(&self.0).write_owned()).await;
        let mut guard = waited.map_err(|_| Error::GivenUp { symbol, after: limit })?;
        Ok(guard.take())
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use crate::Error;
    use std::time::Duration;

    #[tokio::test]
    async fn closing_waits_for_users_and_refuses_new_ones() {
        let gate = Gate::new(5);
        let user = gate.hold().unwrap();
        let given_up = gate.take("close", Duration::ZERO).await;
        assert_eq!(given_up, Err(Error::GivenUp { symbol: "close", after: Duration::ZERO }));
        assert_eq!(*gate.hold().unwrap(), 5);
        drop(user);
        assert_eq!(gate.take("close", Duration::MAX).await, Ok(Some(5)));
        assert!(matches!(gate.hold(), Err(Error::Closed)));
        assert_eq!(gate.take("close", Duration::MAX).await, Ok(None));
    }
}
