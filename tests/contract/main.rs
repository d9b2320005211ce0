//! One suite for both logs: every rule of the log that the engine leans on, as it was observed on a real Kafka.
//!
//! A case is written against the traits and knows no more. Where the logs differ, the embedded one is wrong.

#[path = "../support/mod.rs"]
mod support;

mod compaction;
mod fencing;
mod fetching;
mod groups;
mod member;
mod membership;
mod offsets;
mod reading;
mod records;
mod tail;
mod topics;
mod transactions;
mod visibility;
mod world;

/// Three tests a case: on one broker that all cases share, on a log in memory, and on one on disk.
macro_rules! cases {
    ($($theme:ident: $($case:ident)+;)+) => {
        cases!(@world kafka: $($($theme $case)+)+);
        cases!(@world embedded: $($($theme $case)+)+);
        cases!(@world durable: $($($theme $case)+)+);
    };
    (@world $world:ident: $($theme:ident $case:ident)+) => {
        mod $world {
            $(#[test] fn $case() { super::$theme::$case(&super::world::World::$world(stringify!($case))); })+
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
        a_marker_may_come_late
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
        batches_stay_below_the_limit
        a_compacted_topic_refuses_records_without_keys
        a_producer_goes_on_after_a_refused_record
        an_appender_is_told_of_what_was_refused
    ;
    offsets:
        nothing_is_committed_at_first
        offsets_are_told_in_the_order_asked
        a_transaction_of_offsets_alone_commits
        an_offset_in_an_open_transaction_is_unstable
        an_abort_leaves_the_old_offset
        offsets_and_records_are_committed_as_one
        only_pending_partitions_are_unstable
        groups_have_offsets_of_their_own
        the_last_offset_sent_is_committed
        of_two_pending_offsets_the_later_sent_wins
        offsets_pass_to_the_next_owner
        init_makes_pending_offsets_stable
        a_timeout_makes_pending_offsets_stable
        a_fenced_producer_sends_no_offsets
        an_overdue_producer_sends_no_offsets
        a_transaction_sends_no_empty_list_of_offsets
        offsets_of_a_deleted_topic_are_forgotten
        committed_offsets_may_come_late
    ;
    membership:
        a_stale_generation_is_refused
        a_generation_to_come_is_refused
        an_unknown_member_is_refused
        a_member_that_left_is_refused
        a_member_of_a_group_that_is_not_there_is_refused
        a_member_without_a_generation_is_refused
        an_unknown_member_without_a_generation_passes_an_empty_group
        nobody_passes_a_group_with_members
        nobody_passes_a_group_that_is_not_there
        nobody_with_a_generation_is_refused
        a_member_may_commit_for_partitions_of_others
        membership_needs_a_subscription
        offsets_of_a_topic_that_is_not_there_are_refused
    ;
    groups:
        one_member_gets_all
        a_second_member_gets_what_the_first_releases
        what_stays_assigned_keeps_going
        membership_follows_while_a_transaction_is_open
        offsets_of_the_generation_before_are_refused
        offsets_sent_before_a_rebalance_are_committed_after_it
        a_handover_takes_two_generations
        leaving_gives_the_partitions_to_the_others
        a_dropped_member_has_left
        three_members_share_eight_partitions
        a_member_may_have_nothing
        topics_are_added_to_a_subscription
        topics_are_taken_from_a_subscription
        members_may_subscribe_to_different_topics
        a_topic_that_comes_later_is_subscribed_to
        groups_do_not_share
        serve_tells_of_rebalances
        every_event_of_the_group_wants_its_answer
        what_was_never_assigned_is_refused
        a_member_that_is_thrown_out_has_lost_its_partitions
    ;
    fetching:
        what_was_taken_is_paused
        pausing_holds_back_what_comes
        pausing_holds_back_what_was_fetched
        resuming_goes_on_exactly_there
        resuming_drops_what_was_fetched_before
        resuming_beyond_the_end_is_out_of_range
        a_partition_begins_where_it_is_told_and_stays_there
        members_see_committed_records_only
        positions_pass_trailing_markers
        the_stable_offset_is_heard
        a_poll_of_a_member_hands_over_no_more_than_asked
        the_next_owner_begins_where_it_is_told
    ;
    topics:
        a_topic_is_described
        settings_are_told
        a_changelog_is_compacted
        created_twice_is_no_error
        topics_cannot_be_made_of_nonsense
        topics_are_listed
        a_topic_made_again_is_another
        deleting_what_is_not_there_is_no_error
        bounds_count_open_transactions
        what_is_not_there_has_no_bounds
        a_topic_goes_under_an_open_transaction
    ;
    compaction:
        the_last_value_of_every_key_survives
        what_survives_is_as_it_was
        tombstones_go_after_their_retention
        tombstones_stay_for_their_retention
        a_value_after_a_tombstone_survives
        open_transactions_are_not_compacted
        aborted_records_replace_nothing
        committed_transactions_are_compacted
        reading_starts_at_what_was_compacted_away
        compaction_leaves_the_end_alone
    ;
}
