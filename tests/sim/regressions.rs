//! Worlds that once broke a rule, each with what it found. What a seed holds changes with the simulator, so each was
//! seen to fail again with its fault put back.

use crate::plan::Plan;
use crate::run::live;

fn comes_right(seed: u64) {
    live(Plan { brain: None, ..Plan::of(seed).bounded() }, false).expect_right();
}

/// The config was read again while the log was read for a webhook: a second read for it went out beside the first.
#[test]
fn a_reload_does_not_read_twice_for_one_reader() {
    comes_right(6);
}

/// The config was read again while ALEX OS took an event: its answer was dropped and the event sent again.
#[test]
fn a_reload_does_not_send_again_what_is_underway() {
    comes_right(5);
}

/// Our version changed in the config, and with it went the answer to the event that was underway.
#[test]
fn another_name_does_not_send_again_what_is_underway() {
    comes_right(9);
}

/// Each reload tried a waiting webhook at once and used up a step of its schedule, until the event was given up.
#[test]
fn reloads_do_not_use_up_the_schedule_of_a_webhook() {
    comes_right(30);
}

/// A gate before ALEX OS said 401 for some minutes, and every event of that time was parked as if it were no good.
#[test]
fn a_gate_before_alex_os_costs_no_event() {
    comes_right(17);
}

/// A control: with the word that a call was begun put aside, this world ran a tool again after a restart.
#[test]
fn what_a_restart_interrupted_is_not_run_again() {
    live(Plan::of(49).bounded(), false).expect_right();
}

/// The config was read again without the provider that a question was at; it failed there, and the tries of its new way were
/// counted below none.
#[test]
fn a_question_outlives_its_provider() {
    live(Plan::of(2068).bounded(), false).expect_right();
}

/// The disk was broken for minutes, and each reader of the ledger went on waiting, longer from try to try, after it was well again: a
/// webhook that the clock had kept from its peer waited for the disk.
#[test]
fn readers_go_on_as_soon_as_the_ledger_works_again() {
    live(Plan::of(5765).bounded(), false).expect_right();
}

/// ALEX OS became one without registration before an event had shown how it takes events: it was shown as registered for good.
#[test]
fn a_registration_that_is_no_longer_offered_is_noticed() {
    live(Plan::of(1271).bounded(), false).expect_right();
}

/// A webhook came back from 410 by a reload, at the end of the log; it said 410 again, and a restart forgot that before it was
/// durable. The rule then owed it everything since the first 410. The rule was wrong, not the agent.
#[test]
fn a_webhook_that_came_back_is_owed_what_comes_after_its_return() {
    live(Plan::of(4575).bounded(), false).expect_right();
}

/// Both paths for events said that they were not there, just before all was well again. They are left alone for a quarter of an hour
/// then, longer than the rule waited for a report. The rule was wrong, not the agent.
#[test]
fn a_path_that_was_not_there_is_found_again_in_its_time() {
    live(Plan::of(4990).bounded(), false).expect_right();
}

/// A webhook was taken out of the config and put in again while the log was read for it: a second read went out beside the first.
#[test]
fn a_webhook_that_comes_back_waits_for_its_old_read() {
    live(crate::power::unplugged(537_748), false).expect_right();
}

/// After a lost commit the next place is a thousand further on. A reader at the end of the log was told of nothing behind its place, and
/// asked again at once, for ever.
#[test]
fn a_reader_before_a_gap_at_the_end_of_the_log_rests() {
    live(Plan::of(234).bounded(), false).expect_right();
}

/// The documented path was gone, something was taken over the public one, and then that was away for two minutes: the event that waited was
/// given up as one of a type that is not offered. The public path is the same for all types.
#[test]
fn an_event_is_not_given_up_for_a_path_that_is_away() {
    live(Plan::of(7429).bounded(), false).expect_right();
}

/// An event was tried while ALEX OS was away, then not before it was away again, and a report was taken in between: it was given up
/// for a type that is not offered.
#[test]
fn an_event_is_not_given_up_for_two_outages() {
    live(Plan::of(1304).bounded(), false).expect_right();
}
