//! What every engine must do, as cases that see nothing but the traits.
//!
//! A case gets a namespace of its own, so that cases run side by side in one store. [`conformance_tests!`](crate::conformance_tests) makes
//! a test of each, named for it; the table at its end is the list of all cases, and a case missing there is dead
//! code to the compiler.
#![allow(clippy::unwrap_used, clippy::cloned_ref_to_slice_refs)]

mod check;
mod clones;
mod data;
mod directory;
mod extents;
mod flatten;
mod lockers;
mod metadata;
mod namespaces;
mod open;
mod reading;
mod records;
mod resize;
mod rollback;
mod snapshots;
mod stage;
mod trash;

pub use stage::Stage;
pub(crate) use stage::{assert_same, check_extents};

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use volary::engine::Engine;

type Run = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One case of the suite.
pub struct Case {
    /// Its topic and name, as `topic::name`.
    pub name: &'static str,
    /// Plays it; panics where the engine does not conform.
    pub run: Run,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    crate::conformance_tests!(@table cases)
}

/// Plays one case on an engine, in namespaces whose names begin with `prefix`.
///
/// # Panics
/// Where the engine does not conform, or when there is no such case.
pub async fn play(engine: Arc<dyn Engine>, prefix: &str, name: &str) {
    let case = cases().into_iter().find(|case| case.name == name).expect("a case of the table");
    (case.run)(&Stage::new(Arc::clone(&engine), prefix, name).await).await;
    engine.shutdown().await.expect("an engine that lets go");
}

/// Makes a test of each case: `conformance_tests!(factory)`, where `factory` is an async function that returns
/// an `Arc<dyn Engine>`, what the names of the case's namespaces shall begin with, and whatever keeps the store, or cleans it up,
/// while the test runs and however it ends.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:path) => { $crate::conformance_tests!(@table tests $factory); };
    (@tests [$factory:path] $($s10:ident = $topic:ident: $($case:ident)*;)*) => { $(
        mod $s10 { $(
            #[tokio::test]
            async fn $case() {
                let (engine, prefix, _store) = $factory().await;
                let case = concat!(stringify!($topic), "::", stringify!($case));
                $crate::conformance::play(engine, &prefix, case).await;
            }
        )* }
    )* };
    (@cases [] $($s10:ident = $topic:ident: $($case:ident)*;)*) => {
        vec![$($($crate::conformance::Case {
            name: concat!(stringify!($topic), "::", stringify!($case)),
            run: |stage| Box::pin($topic::$case(stage)),
        },)*)*]
    };
    (@table $mode:ident $($factory:path)?) => { $crate::conformance_tests! { @$mode [$($factory)?]
        s10_directory = directory:
            a_new_volume_is_listed_found_and_zero a_taken_name_is_refused two_creators_of_one_name
            names_of_any_bytes find_opens_nothing_and_misses_politely a_head_is_told_without_opening rename_keeps_the_id_and_open_handles
            rename_refuses_stale_entries_and_taken_names a_name_that_was_away_has_another_version remove_frees_the_name remove_refuses_stale_entries
            remove_is_blocked_by_snapshots remove_is_blocked_by_a_writer remove_is_blocked_by_a_reader
            a_long_listing_is_complete cancelled_calls_change_nothing;
        s10_data = data:
            writes_read_back sizes_of_all_kinds out_of_range_is_usage_and_changes_nothing zero_length_is_nothing
            zeroing_whole_and_partial_blocks zeroing_over_a_parent zeroing_under_a_snapshot
            parallel_writes_keep_apart close_keeps_what_was_written used_bytes_follow_the_data
            cancelled_io_is_interrupted modified_changes_with_the_data leaves_change_nothing_that_is_seen;
        s10_extents = extents:
            an_empty_volume_is_one_hole they_cover_any_window they_show_a_parents_data
            a_walk_sees_what_is_written_on_the_way windows_are_bounded holes_are_found_again expected_writes_count_as_data_only_once_written;
        s13_reading = reading:
            what_stays_is_confirmed other_names_more_bytes_and_trash_change_nothing a_head_that_was_shrunk_is_not
            what_was_removed_is_not what_was_removed_below_a_clone_is_not;
        s10_check = check:
            each_volume_is_looked_at_once_in_the_order_of_names a_writer_disturbs_no_check what_nothing_repairs_is_usage;
        s10_open = open:
            by_name_and_by_id missing_things_are_not_found one_writer_at_a_time snapshots_are_read_only
            a_read_handle_changes_nothing a_closed_handle_is_usage a_dropped_writer_lets_go
            holders_name_others_only nobody_fences_itself readers_beside_a_writer_see_old_or_new volumes_outlive_shutdown;
        s10_snapshots = snapshots:
            a_snapshot_keeps_what_was they_are_listed_oldest_first names_are_exclusive
            removing_one_leaves_the_others_intact missing_ones_are_not_found protection_blocks_removal
            an_open_one_is_not_removed renamed_ones_keep_everything ids_are_never_used_again
            each_that_is_made_counts_for_good unflushed_writes_are_kept many_generations;
        s10_clones = clones:
            a_clone_reads_its_parent it_needs_protection it_needs_parent_snapshot_and_a_free_name
            writes_stay_in_the_clone a_grown_parent_shows_the_snapshots_size children_are_listed
            children_block_unprotect_and_removal a_clone_of_a_clone it_crosses_namespaces
            names_of_parents_follow_renames partial_writes_copy_up;
        s10_resize = resize:
            growing_reads_zeros shrinking_cuts_for_good snapshots_keep_their_size
            the_overlap_shrinks_and_never_grows_back a_snapshot_keeps_its_overlap to_nothing_and_back
            too_much_is_usage;
        s10_rollback = rollback:
            content_comes_back size_comes_back a_shrunk_clone_gets_its_parents_data_back
            a_missing_snapshot_is_not_found back_and_forth over_a_dirty_head;
        s10_flatten = flatten:
            it_parts_with_the_parent snapshots_are_filled_too own_data_and_zeros_win
            without_parent_is_usage the_clones_of_a_clone_stay_whole only_the_overlap_comes_in;
        s10_trash = trash:
            it_takes_the_name_away everything_works_in_trash restore_brings_it_back restore_under_another_name
            restore_of_a_taken_name_leaves_it_in_trash restore_is_idempotent restore_publishes_an_open_volume
            move_refuses_stale_entries move_is_blocked_by_a_writer removal_waits_for_the_deferment
            removal_is_blocked_by_snapshots_and_handles missing_ids_are_not_found
            made_there_it_has_no_name_before cloned_there_it_has_no_name_before
            a_parent_in_trash_serves_its_clones a_child_in_trash_still_counts two_of_one_name
            two_restores_of_one_name;
        s10_namespaces = namespaces:
            they_keep_names_apart they_are_listed_sorted only_empty_ones_go missing_ones_are_not_found
            the_default_one_stays pools_are_known the_store_describes_itself;
        s10_metadata = metadata:
            keys_and_values_of_any_bytes limits_are_usage it_is_inherited_and_then_apart
            missing_keys_are_not_found it_survives_everything;
        s10_lockers = lockers:
            a_lock_is_told_and_broken one_alone_or_many_of_one_tag a_lock_keeps_writers_and_removal_away
            a_writer_keeps_locks_away strange_cookies_are_usage it_outlives_the_handle locks_of_a_snapshots_handle;
        s10_records = records:
            absent_present_changed_removed listing_by_prefix
            pages_begin_after_a_key_that_need_not_be_there one_of_many_swaps_wins
            counting_loses_nothing namespaces_keep_them_apart limits_are_usage;
    } };
}
