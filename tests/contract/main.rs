//! One suite for both logs: every rule of the log that the engine leans on, as it was observed on a real Kafka.
//!
//! A case is written against the traits and knows no more. Where the logs differ, the embedded one is wrong.

#[path = "../support/mod.rs"]
mod support;

mod fencing;
mod reading;
mod records;
mod transactions;
mod visibility;
mod world;

/// Two tests a case: on one broker that all cases share, and on a log in memory of its own.
macro_rules! cases {
    ($($theme:ident: $($case:ident)+;)+) => {
        mod kafka {
            $($(#[test] fn $case() { super::$theme::$case(&super::world::World::kafka(stringify!($case))); })+)+
        }
    };
}

cases! {
    visibility:
        open_transaction_is_unseen
        aborted_records_are_never_seen
        a_transaction_is_atomic_over_partitions_and_topics
        an_abort_is_atomic_over_partitions
        appended_records_wait_behind_an_open_transaction
        the_stable_offset_goes_on_to_the_next_open_transaction
        interleaved_transactions_end_each_for_itself
        aborted_and_committed_ones_of_a_producer_alternate
        a_marker_takes_one_offset_in_each_touched_partition
        an_abort_marker_takes_an_offset_too
        an_empty_transaction_writes_nothing
        what_is_aborted_at_once_holds_nobody_up
    ;
    reading:
        an_empty_partition_ends_at_once
        the_end_is_the_stable_offset_then_the_real_one
        the_end_lies_beyond_trailing_markers
        an_abort_moves_the_end_of_a_waiting_reader
        an_end_is_told_once_until_something_comes
        reading_starts_within_a_batch
        reading_starts_at_a_marker
        reading_starts_at_the_end
        reading_starts_within_an_aborted_transaction
        reading_beyond_the_end_is_out_of_range
        reading_may_start_beyond_the_stable_offset
        reading_stops
        a_poll_hands_over_no_more_than_asked
        partitions_end_each_for_itself
    ;
    transactions:
        acknowledged_is_the_highest_offset_of_a_partition
        records_without_a_chosen_partition_are_not_tracked
        a_producer_goes_on_after_an_abort
        a_commit_flushes_what_was_sent
        calls_out_of_order_are_refused
        a_transaction_that_outlives_its_timeout_is_aborted
        an_overdue_producer_writes_nothing_more
        an_overdue_abort_is_unknown_too
        a_transaction_without_records_has_no_timeout
        each_transaction_has_its_timeout_for_itself
    ;
    fencing:
        init_ends_what_an_earlier_producer_left_open
        the_commit_of_a_fenced_producer_stops
        a_fenced_producer_writes_nothing_more
        a_fenced_producer_cannot_begin_anew
        the_empty_transaction_of_a_fenced_producer_passes
        the_abort_of_a_fenced_producer_is_unknown
        a_third_producer_fences_the_second
        producers_of_other_ids_are_left_alone
        a_dropped_producer_leaves_its_transaction_open
    ;
    records:
        null_and_empty_are_two_things
        headers_keep_order_names_and_bytes
        headers_survive_a_transaction
        timestamps_are_the_senders
        large_values_come_back_byte_for_byte
        keys_choose_partitions_by_murmur2
        records_without_keys_go_anywhere
        a_chosen_partition_beats_the_key
        an_unknown_topic_fails_the_commit
        an_unknown_partition_is_refused
        a_record_beyond_the_topics_limit_fails_the_commit
        a_compacted_topic_refuses_records_without_keys
        a_producer_goes_on_after_a_refused_record
        an_appender_is_told_of_what_was_refused
    ;
}
