//! The symbol table: every C function this crate calls, and since which release of Ceph it is there.
//!
//! `cargo xtask bindings` reads the names below and generates `sys/bindings.rs` from exactly them; the macro makes
//! the compiler refuse a name that the bindings lack, and a test refuses one that no wrapper calls.

use crate::sys;

/// A function of librados or librbd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    /// The function's name.
    pub name: &'static str,
    /// The first release of Ceph that has it; 16 or less means every release supported.
    pub since: u8,
}

impl Symbol {
    /// Whether the library is refused without it.
    pub fn is_required(self) -> bool {
        self.since <= OLDEST_RELEASE
    }
}

/// The oldest release of Ceph that has every required function.
pub const OLDEST_RELEASE: u8 = 16;

macro_rules! symbols {
    ($($since:literal: $($name:ident)*;)*) => {
        /// Every function called, required ones and optional ones.
        pub const SYMBOLS: &[Symbol] = &[$($(Symbol { name: stringify!($name), since: $since },)*)*];

        /// The functions that a library lacks.
        pub(crate) fn missing(table: &sys::Table) -> Vec<Symbol> {
            let mut missing = Vec::new();
            $($(if table.$name.is_err() {
                missing.push(Symbol { name: stringify!($name), since: $since });
            })*)*
            missing
        }
    };
}

symbols! {
    16:
    rados_version rados_create2 rados_conf_read_file rados_conf_set rados_conf_get rados_connect rados_shutdown
    rados_cluster_fsid rados_cluster_stat rados_get_instance_id rados_blocklist_add rados_mon_command rados_buffer_free
    rados_pool_list rados_pool_lookup rados_pool_reverse_lookup
    rados_ioctx_create rados_ioctx_create2 rados_ioctx_destroy rados_ioctx_get_id rados_ioctx_set_namespace rados_set_pool_full_try
    rados_ioctx_snap_set_read rados_ioctx_pool_stat rados_stat rados_read rados_get_last_version rados_list_lockers
    rados_create_read_op rados_release_read_op rados_read_op_operate rados_read_op_omap_get_vals2
    rados_read_op_omap_get_vals_by_keys2
    rados_omap_get_next2 rados_omap_get_end
    rados_create_write_op rados_release_write_op rados_write_op_operate rados_write_op_create
    rados_write_op_omap_cmp2 rados_write_op_omap_set2 rados_write_op_omap_rm_keys2
    rados_write_op_cmpext rados_write_op_remove rados_write_op_exec rados_exec rados_notify2
    rados_aio_create_completion2 rados_aio_release rados_aio_flush_async
    rbd_version rbd_list2 rbd_image_spec_list_cleanup rbd_create4 rbd_clone3 rbd_rename rbd_remove_with_progress
    rbd_image_options_create rbd_image_options_destroy rbd_image_options_set_uint64 rbd_image_options_set_string
    rbd_open rbd_open_read_only rbd_open_by_id rbd_open_by_id_read_only rbd_close
    rbd_stat rbd_get_size rbd_get_id rbd_get_name rbd_get_features rbd_get_flags rbd_get_op_features
    rbd_get_create_timestamp rbd_get_modify_timestamp
    rbd_get_data_pool_id rbd_get_overlap rbd_get_parent rbd_linked_image_spec_cleanup rbd_snap_spec_cleanup
    rbd_list_children3 rbd_linked_image_spec_list_cleanup
    rbd_resize2 rbd_flatten_with_progress rbd_rebuild_object_map
    rbd_snap_list rbd_snap_list_end rbd_snap_create rbd_snap_remove2 rbd_snap_remove_by_id rbd_snap_set_by_id
    rbd_snap_rename rbd_snap_protect rbd_snap_unprotect rbd_snap_is_protected rbd_snap_rollback_with_progress rbd_snap_get_timestamp
    rbd_snap_get_namespace_type
    rbd_metadata_list rbd_metadata_get rbd_metadata_set rbd_metadata_remove
    rbd_trash_move rbd_trash_list rbd_trash_list_cleanup rbd_trash_get rbd_trash_get_cleanup rbd_trash_restore
    rbd_trash_remove_with_progress
    rbd_diff_iterate2
    rbd_watchers_list rbd_watchers_list_cleanup rbd_list_lockers rbd_lock_exclusive rbd_lock_shared rbd_unlock rbd_break_lock
    rbd_lock_acquire rbd_lock_release rbd_lock_get_owners rbd_lock_get_owners_cleanup rbd_lock_break rbd_get_group rbd_group_info_cleanup
    rbd_mirror_image_get_info rbd_mirror_image_get_info_cleanup
    rbd_namespace_create rbd_namespace_remove rbd_namespace_list rbd_namespace_exists
    rbd_aio_create_completion rbd_aio_release rbd_aio_get_return_value
    rbd_aio_read rbd_aio_write rbd_aio_write_zeroes rbd_aio_flush;
    20:
    rbd_clone4;
}
