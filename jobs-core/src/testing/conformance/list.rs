//! Every test there is, by module. Longer than other files because it is the whole list.

/// Writes a test function for every test of the conformance suite, in a module for each method of the
/// storage. The argument is a function or closure without parameters that makes a fresh, empty storage,
/// ready to be used: `async fn fresh() -> impl Provision`, where
/// [`Provision`](crate::testing::conformance::Provision) is a storage or a handle, alone or in a pair
/// with something that must outlive the test.
///
/// ```
/// use jobs_core::storage::MemoryStorage;
///
/// async fn fresh() -> MemoryStorage {
///     MemoryStorage::new()
/// }
///
/// jobs_core::testing::conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    ($fresh:expr $(,)?) => {
        async fn __fresh() -> impl $crate::testing::conformance::Provision {
            ($fresh)().await
        }

        $crate::__conformance_list! { $crate::__conformance_tests! }
    };
}

/// A module of test functions for each module of tests.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($($module:ident { $($test:ident)* })*) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                $crate::testing::conformance::run(
                    super::__fresh(),
                    $crate::testing::conformance::$module::$test,
                );
            })*
        })*
    };
}

/// Hands the list of all tests to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ($($then:tt)*) => {
        $($then)* {
            insert {
                a_job_is_stored_as_it_was_given
                a_repeated_insert_stores_once
                an_insert_sent_many_times_at_once_stores_once
                a_repeat_beside_new_jobs_stores_the_new
                arguments_come_back_to_the_letter
                options_come_back
                a_job_may_be_for_later
                a_job_for_the_past_is_due_at_once
                a_job_for_later_becomes_due
                ten_thousand_jobs_are_one_insert
                a_dropped_insert_is_whole_or_nothing
                many_tasks_insert_at_once
                an_empty_insert_does_nothing
                ids_may_be_of_any_day
                names_may_be_long
                priorities_may_be_extreme
                an_answer_means_that_it_is_there
            }
            insert_taken {
                what_was_taken_is_the_workers
                a_lost_answer_is_healed_by_a_beat
                a_dead_workers_jobs_come_back
                nothing_is_taken_that_is_paused
                nothing_is_taken_of_a_limited_queue
                the_dead_get_nothing
                what_is_stored_already_is_left_alone
            }
            claim {
                a_claimed_job_is_processing
                the_more_urgent_comes_first
                equals_are_first_in_first_out
                what_fell_due_earlier_comes_first
                queues_are_served_in_order
                limits_hold
                the_first_share_that_matches_serves
                other_queues_are_left_alone
                in_a_pattern_priority_comes_first
                in_a_pattern_no_queue_starves
                unknown_kinds_are_left_alone
                a_stranger_gets_nothing
                a_claim_may_be_large
                jobs_for_later_are_passed_over
                nobody_gets_a_job_twice
            }
            next_due {
                is_zero_while_a_job_is_due
                is_the_time_until_the_first
                is_nothing_where_nothing_waits
                leaves_out_paused_queues
                leaves_out_unknown_kinds
            }
            settle {
                a_success_is_final
                times_are_the_storages
                a_result_comes_back_to_the_letter
                a_missing_result_says_why
                a_failure_is_final_and_keeps_the_error
                a_retry_waits
                a_retry_without_delay_is_enqueued
                a_retry_becomes_due
                a_snooze_uses_no_attempt
                a_release_leaves_no_trace
                every_way_to_fail_is_kept
                what_never_started_has_no_start
                a_flush_may_be_mixed
                a_flush_may_be_large
                a_dropped_flush_is_whole_or_nothing
                an_empty_flush_does_nothing
            }
            fence {
                an_outcome_sent_twice_counts_once
                an_outcome_sent_many_times_at_once_counts_once
                an_outcome_of_an_old_run_is_refused
                an_outcome_of_another_worker_is_refused
                an_outcome_without_claim_is_refused
                an_outcome_of_a_future_run_is_refused
                an_outcome_of_an_unknown_job_is_refused
                an_outcome_of_a_deleted_job_is_refused
                two_runs_of_a_job_are_told_apart
                a_run_taken_away_is_not_already_settled
                the_rest_of_a_flush_is_applied
                an_outcome_after_giving_back_is_refused
                nobody_closes_anothers_claim
            }
            beat {
                a_beat_moves_the_number
                registering_twice_is_harmless
                a_claim_whose_answer_was_lost_is_given_back
                a_claim_younger_than_the_beat_is_kept
                a_beat_says_what_is_gone
                what_was_settled_is_not_given_back
                others_claims_are_kept
                a_dropped_claim_is_given_back
                the_dead_hear_of_it
                a_stranger_is_as_good_as_dead
            }
            retire {
                what_is_held_goes_back
                the_retired_are_gone
                retiring_again_is_harmless
            }
            rescue {
                a_dead_workers_jobs_go_back
                a_worker_that_beats_is_left_alone
                a_rescue_may_be_repeated
                many_rescuers_take_each_job_once
                a_limit_holds
                the_dead_are_listed_while_they_hold_jobs
                a_worker_without_jobs_dies_too
                a_claim_after_death_loses_nothing
                what_was_settled_stays_settled
                a_late_outcome_is_refused
                a_rescue_and_outcomes_at_once_agree
                a_job_that_kills_its_workers_is_failed
                the_limit_of_deaths_is_the_callers
                only_the_suspect_is_to_blame
                a_cleared_suspect_is_forgotten
                who_is_on_its_last_chance_is_blamed_only_if_noted
                bystanders_survive_a_poisoned_job
                others_jobs_are_left_alone
                a_stranger_holds_nothing
            }
            revoked {
                it_names_what_a_run_no_longer_owns
                it_may_be_asked_about_nothing
            }
            command {
                every_verb_on_every_state
                an_unknown_job_is_unknown
                answers_come_in_order
                a_deleted_job_says_by_whom
                a_running_job_can_be_deleted
                a_requeued_job_starts_anew
                a_requeued_job_has_no_result
                run_now_makes_a_job_due
                a_rescheduled_job_waits_for_its_new_time
                a_job_that_was_moved_about_is_there_once
                of_many_operators_one_wins
                deleting_and_claiming_at_once_agree
                the_others_still_run
                very_many_that_run_are_deleted_at_once
            }
            control {
                nothing_of_a_paused_queue_starts
                who_paused_it_and_why_is_kept
                what_was_told_is_on_record
                a_claim_says_what_workers_are_told
                an_order_is_kept
                a_pattern_pauses_what_it_matches
                a_paused_kind_stays_where_it_is
                a_pause_ends_by_itself
                running_jobs_are_not_touched
                a_queue_without_jobs_may_be_paused
                resuming_again_is_harmless
            }
            retain {
                only_finished_jobs_go
                what_is_young_stays
                each_state_has_its_time
                the_time_counts_from_the_end
                a_job_may_say_how_long_it_is_kept
                what_is_kept_for_ever_is_in_nobodys_way
                a_requeued_job_stays
                many_may_go
                what_is_gone_is_gone
            }
            inspect {
                an_empty_storage_is_empty
                jobs_are_listed_newest_first
                a_page_is_bounded
                jobs_can_be_listed_by_state
                jobs_can_be_listed_by_kind_queue_and_tag
                counts_say_how_many_stand_where
                queues_are_listed
                workers_are_listed
                looking_changes_nothing
            }
            stats {
                outcomes_are_counted
                deletions_and_deaths_are_counted
                counters_are_exact_under_load
                counters_outlive_the_jobs
                counters_are_by_the_minute
            }
            schema {
                a_ready_storage_is_ready
                migrating_again_keeps_everything
                many_may_migrate_at_once
                many_may_tick_at_once
            }
            wake {
                an_insert_wakes
                what_comes_back_wakes
                deleting_a_running_job_wakes
                pausing_and_resuming_wake
            }
            parents {
                a_child_waits_for_its_parent
                rules_come_back
                a_child_runs_as_its_condition_says
                a_parent_that_has_ended_counts_at_once
                one_condition_that_fails_is_enough
                a_whole_graph_runs_in_order
                a_due_time_counts_from_the_insert
                who_waits_is_counted_and_listed
                those_that_a_parent_blocks_are_listed
                what_is_deleted_at_once_is_counted
                a_ready_child_wakes
            }
            children {
                a_failed_parent_may_be_run_again
                a_requeued_parent_does_not_run_its_children_again
                a_repeated_outcome_does_not_run_them_again
                a_parent_that_goes_on_has_not_ended
                deletions_are_passed_on
                the_death_of_a_worker_ends_a_parent_too
                run_now_waits_for_nobody
                a_waiting_child_can_be_deleted
                a_deleted_child_can_be_requeued
                a_waiting_child_is_not_rescheduled
                removing_a_failed_parent_ends_the_waiting
            }
            recurring {
                a_record_comes_back_as_it_was_given
                a_run_is_stored_with_its_occurrence
                what_is_due_comes_in_order
                what_is_paused_is_not_due
                a_stale_change_is_not_made
                a_repeated_change_is_made_once
                a_request_makes_what_it_can
                many_schedulers_fire_once
                an_error_changes_nothing
                a_run_may_be_for_later
                a_thousand_are_fired_in_two_steps
            }
            recurring_overlap {
                a_queued_run_waits_for_the_one_before
                a_run_holds_the_next_wherever_it_is
                what_is_final_holds_nothing
                a_held_occurrence_is_passed_over
            }
            recurring_keys {
                an_occurrence_whose_key_is_held_is_passed_over
                whatever_becomes_of_a_conflict
                of_several_at_once_the_first_has_the_key
                a_trigger_may_be_refused
            }
            recurring_events {
                each_verb_leaves_one
                what_is_not_done_leaves_none
                schedulers_and_code_leave_none
            }
            recurring_year {
                a_year_of_schedules_fires_what_they_say
                an_hour_of_seconds_fires_each_once
            }
            unique {
                a_key_is_held_by_one
                a_repeat_is_no_conflict
                of_a_hundred_at_once_one_is_stored
                many_keys_at_once_are_each_held_once
                in_a_request_the_first_gets_the_key
                thousands_of_keys_may_be_held
                a_key_is_free_when_its_job_is_final
                a_key_is_free_by_whatever_door
                a_key_may_be_free_at_the_start
                a_key_may_be_held_for_a_period
                a_requeued_job_takes_its_key_again
                a_key_has_a_length
                no_two_of_a_key_run_at_once
            }
            unique_time {
                it_is_free_when_its_job_is_final
                it_is_free_at_the_start
                it_is_free_after_its_time_though_its_job_waits
                it_is_free_after_its_time_though_its_job_runs
                a_requeued_job_has_its_time_again
                a_time_may_be_very_long
            }
            conflict {
                a_skipped_job_leaves_the_holder_alone
                a_replaced_holder_keeps_its_time
                a_scheduled_holder_is_replaced_too
                a_debounced_holder_takes_the_new_time
                a_running_holder_is_left_alone
                a_waiting_child_is_replaced
                a_duplicate_may_be_refused
                a_child_waits_for_the_holder
                a_child_does_not_wait_for_itself_as_holder
                replacing_and_claiming_at_once_agree
                a_child_heeds_both_conditions_of_one_holder
            }
            batch {
                what_waits_for_a_batch_runs_after_the_last
                a_batch_ends_as_its_members_do
                an_empty_batch_ends_at_once
                members_may_wait_for_each_other
                batches_may_be_nested
                members_are_listed
                an_ended_batch_goes_when_its_time_is_up
            }
            members {
                members_may_be_added_while_it_runs
                nothing_is_added_to_an_ended_batch
                a_repeated_member_is_counted_once
                a_reopened_batch_takes_members_again
                a_requeued_member_opens_the_batch
                every_end_of_a_member_counts
                adding_and_ending_at_once_agree
                a_batch_is_exact_under_many_hands
                deleting_and_requeueing_a_member_balances
                a_failed_member_may_be_deleted
            }
            expiry {
                what_is_not_started_in_time_is_deleted
                the_longest_time_never_ends
                whatever_it_waits_for_it_expires
                in_whatever_line_it_waits_it_expires
                what_was_started_does_not_expire
                what_is_held_is_left_to_its_worker
                a_requeued_job_does_not_expire
                a_worker_may_delete_what_it_does_not_start
                expiring_and_claiming_at_once_agree
            }
            limits {
                no_more_than_allowed_are_to_be_had
                every_end_of_a_run_makes_room
                what_comes_back_waits_for_its_turn
                keys_are_counted_apart
                a_limit_may_be_shared
                a_paused_kind_holds_up_no_other
                the_longest_times_hold_up_no_other
                weights_count
                all_limits_must_let_a_job_in
                a_repeat_counts_once
                a_replaced_job_counts_anew
                what_can_never_run_is_refused
                never_more_than_allowed_run_at_once
            }
            rates {
                no_more_start_than_allowed
                a_start_that_was_not_made_is_given_back
                a_start_that_was_made_counts
                only_the_owner_starts_a_run
                a_start_that_was_not_reported_counts
                starts_have_weights
                a_start_counts_for_its_window_only
                no_window_sees_more_than_allowed
                a_bucket_fills_again
            }
            excess {
                the_excess_may_be_rescheduled
                the_excess_may_be_deleted
                the_excess_of_a_rate_may_go_too
                a_limit_can_be_set
                the_last_declaration_holds
                a_limit_may_be_set_before_it_is_declared
                a_job_heavier_than_the_limit_runs_alone
                a_wrong_rule_is_refused
                each_change_of_a_limit_is_on_record
                a_queue_can_be_limited
                a_limited_queue_may_hold_limited_jobs
                a_queue_limit_may_be_declared
            }
            graphs {
                an_unknown_parent_is_refused
                parents_may_be_in_the_request
                what_waits_for_itself_is_refused
                a_repeated_insert_of_a_child_changes_nothing
                a_repeated_insert_does_not_wait_again
            }
            families {
                two_parents_may_end_in_the_same_flush
                two_parents_may_end_at_the_same_moment
                a_child_stored_while_its_parent_ends_is_not_forgotten
                a_family_may_be_large
                of_verbs_and_ends_at_once_one_wins
            }
            batch_creation {
                members_wait_until_the_batch_is_complete
                a_batch_may_be_large
                a_batch_is_created_whole_or_not_at_all
                a_repeated_batch_is_stored_once
                what_waits_for_its_own_batch_is_refused
                who_is_not_stored_is_no_member
            }
            circles {
                batches_that_wait_for_each_other_are_refused
                circles_through_jobs_are_refused
                circles_through_batches_around_are_refused
                circles_within_a_request_are_refused
                what_is_no_circle_is_taken
                a_circle_beyond_the_search_may_be_broken_by_hand
                of_two_who_close_a_circle_at_once_one_is_refused
                a_search_beside_many_is_short
            }
            nested {
                all_are_complete_with_the_outermost
                one_in_a_complete_batch_is_completed_by_itself
                one_that_is_reopened_waits_for_the_outermost
                one_of_which_a_part_is_gone_is_completed
                completing_and_adding_at_once_agree
            }
            cancelling {
                a_cancelled_batch_deletes_what_is_left
                an_ended_batch_is_not_cancelled
                batches_in_it_are_cancelled_too
                a_cancelled_batch_may_be_reopened
                cancelling_and_ending_at_once_agree
            }
            turns {
                turns_come_in_order
                keys_are_served_in_turn
                a_job_for_later_uses_nothing
                verbs_apply_to_who_waits
                a_job_that_loses_its_ticket_makes_room
                a_child_waits_for_its_turn_too
                what_is_paused_is_passed_over
                ordinary_jobs_run_beside_them
            }
            race {
                the_books_balance
                the_books_balance_with_rules
            }
        }
    };
}
