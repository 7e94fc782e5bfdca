//! A pool and one of its namespaces.

use crate::call::{Raw, text};
use crate::cluster::Connection;
use crate::error::{Place, Result};
use crate::gate::Held;
use crate::leave::is_parked;
use std::ffi::CString;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A pool's namespace to work in; cheap to clone.
///
/// It keeps the connection from shutting down while it lives.
#[derive(Clone)]
pub struct Pool {
    pub(crate) io: Arc<Io>,
}

/// An I/O context of librados, and the connection it belongs to.
pub(crate) struct Io {
    pub(crate) raw: Raw,
    pub(crate) on: Held<Connection>,
    pub(crate) at: Place,
    id: i64,
    namespace: CString,
}

/// What a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStat {
    /// Bytes of data, each replica counted.
    pub raw_bytes: u64,
    /// Bytes of data as users wrote them.
    pub user_bytes: u64,
    /// Objects, snapshots' clones not counted.
    pub objects: u64,
}

/// A second context of librados in the same namespace, which nobody else uses: what librados keeps of the last call on a context
/// is of this call.
pub(crate) struct Apart<'a>(pub(crate) *mut std::ffi::c_void, &'a Io);

impl<'a> Apart<'a> {
    pub(crate) fn from(io: &'a Io) -> Result<Self> {
        let set = symbol!(io.on.library, rados_ioctx_set_namespace);
        let mut raw = ptr::null_mut();
        // SAFETY: a connected handle and a place for the context.
        unsafe { call!(io.on.library, io.at, rados_ioctx_create2(io.on.raw.0, io.id, &mut raw)) }?;
        let apart = Apart(raw, io);
        // SAFETY: a live context nobody else has, and a C string.
        unsafe { set(raw, io.namespace.as_ptr()) };
        Ok(apart)
    }
}

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        if let Ok(destroy) = &self.1.on.library.table().rados_ioctx_destroy {
            // SAFETY: made by rados_ioctx_create2, destroyed once, with no call on it in flight.
            unsafe { destroy(self.0) };
        }
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if is_parked() {
            return;
        }
        if let Ok(destroy) = &self.on.library.table().rados_ioctx_destroy {
            // SAFETY: this was the last user; the call only drops a reference and does not block.
            unsafe { destroy(self.raw.0) };
        }
    }
}

impl Pool {
    pub(crate) fn enter_by_name(on: Held<Connection>, name: &[u8], namespace: &[u8]) -> Result<Self> {
        let c_name = text(name, "a pool's name")?;
        let at = Place { pool: Some(name.escape_ascii().to_string()), ..Place::default() };
        let mut raw = ptr::null_mut();
        // SAFETY: a connected handle, a C string, and a place for the context.
        unsafe { call!(on.library, at, rados_ioctx_create(on.raw.0, c_name.as_ptr(), &mut raw)) }?;
        Self::enter(on, raw, at, namespace)
    }

    pub(crate) fn enter_by_id(on: Held<Connection>, id: i64, namespace: &[u8]) -> Result<Self> {
        let at = Place { pool: Some(format!("id:{id}")), ..Place::default() };
        let mut raw = ptr::null_mut();
        // SAFETY: a connected handle and a place for the context.
        unsafe { call!(on.library, at, rados_ioctx_create2(on.raw.0, id, &mut raw)) }?;
        Self::enter(on, raw, at, namespace)
    }

    fn enter(on: Held<Connection>, raw: *mut std::ffi::c_void, at: Place, namespace: &[u8]) -> Result<Self> {
        let mut io = Io { raw: Raw(raw), on, at, id: 0, namespace: CString::default() };
        io.namespace = text(namespace, "a namespace's name")?;
        if !namespace.is_empty() {
            io.at.namespace = Some(namespace.escape_ascii().to_string());
        }
        let set = symbol!(io.on.library, rados_ioctx_set_namespace);
        let get = symbol!(io.on.library, rados_ioctx_get_id);
        let full_try = symbol!(io.on.library, rados_set_pool_full_try);
        // SAFETY: a live context nobody else has yet, and a C string.
        unsafe {
            set(raw, io.namespace.as_ptr());
            // In a pool that is full, what takes no room goes on, removing above all, and what does fails at once; librados
            // would keep either until there is room again. Images opened through this context do as it does.
            full_try(raw);
            io.id = get(raw);
        }
        Ok(Pool { io: Arc::new(io) })
    }

    /// Makes a context that nobody else has yet read objects as they were at a snapshot.
    pub(crate) fn read_at(self, snapshot: u64) -> Result<Self> {
        let set = symbol!(self.io.on.library, rados_ioctx_snap_set_read);
        // SAFETY: a live context.
        unsafe { set(self.io.raw.0, snapshot) };
        Ok(self)
    }

    /// The pool's id.
    ///
    /// C: `rados_ioctx_get_id`.
    #[doc(alias = "rados_ioctx_get_id")]
    pub fn id(&self) -> i64 {
        self.io.id
    }

    /// What the pool holds.
    ///
    /// C: `rados_ioctx_pool_stat`.
    #[doc(alias = "rados_ioctx_pool_stat")]
    pub async fn stat(&self, limit: Duration) -> Result<PoolStat> {
        self.run("rados_ioctx_pool_stat", limit, |io| {
            // SAFETY: the struct is plain numbers.
            let mut stat: crate::sys::rados_pool_stat_t = unsafe { std::mem::zeroed() };
            // SAFETY: a live context and a struct to fill.
            unsafe { call!(io.on.library, io.at, rados_ioctx_pool_stat(io.raw.0, &mut stat)) }?;
            Ok(PoolStat {
                raw_bytes: stat.num_bytes,
                user_bytes: stat.num_user_bytes,
                objects: stat.num_objects,
            })
        })
        .await
    }

    /// Runs a blocking call on the context.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        symbol: &'static str,
        limit: Duration,
        work: impl FnOnce(&Arc<Io>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let io = Arc::clone(&self.io);
        self.io.on.workers.run(symbol, limit, move || work(&io)).await
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("at", &self.io.at).finish_non_exhaustive()
    }
}
