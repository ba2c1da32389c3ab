use super::*;
use crate::job::{JobId, Priority};

fn taken(priority: i16, queue: &str) -> Taken {
    let job = ClaimedJob {
        id: JobId::new(),
        kind: "k".into(),
        args: String::new(),
        queue: queue.into(),
        priority: Priority::new(priority),
        options: None,
        rules: None,
        attempt: 0,
        lost: 0,
        run: 0,
        due_at: chrono::Utc::now(),
    };
    Taken {
        job,
        claim: ClaimId::new(),
        taken: Instant::now(),
    }
}

fn held(slots: usize) -> Held {
    Held::new(slots, Caps::default())
}

fn order(held: &Held) -> Vec<i16> {
    std::iter::from_fn(|| match held.next() {
        Next::Run(taken, _) => Some(taken.job.priority.get()),
        Next::End => None,
    })
    .collect()
}

#[test]
fn earlier_queues_and_smaller_priorities_come_first() {
    let held = held(1);
    let started = held.put([(1, taken(-9, "b")), (0, taken(5, "a")), (0, taken(1, "a"))]);
    assert_eq!(started, 1);
    assert_eq!(order(&held), [1, 5, -9]);
}

#[test]
fn equal_ones_stay_in_order() {
    let held = held(1);
    let jobs: Vec<_> = (0..50).map(|_| taken(0, "a")).collect();
    let ids: Vec<_> = jobs.iter().map(|taken| taken.job.id).collect();
    held.put(jobs.into_iter().map(|taken| (0, taken)));
    let mut got = Vec::new();
    while let Next::Run(taken, _) = held.next() {
        got.push(taken.job.id);
    }
    assert_eq!(got, ids);
}

#[test]
fn there_are_never_more_runners_than_slots() {
    let held = held(2);
    assert_eq!(held.put((0..5).map(|_| (0, taken(0, "a")))), 2);
    assert_eq!(held.put([(0, taken(0, "a"))]), 0);
    assert_eq!(held.len_and_free(), (6, 0));
    assert_eq!(order(&held).len(), 6);
    assert_eq!(held.len_and_free(), (0, 1));
}

#[test]
fn closed_means_nothing_starts_until_reopened() {
    let held = held(2);
    held.set_closed(true);
    assert_eq!(held.put([(0, taken(0, "a"))]), 0);
    assert_eq!(held.set_closed(false), 1);
    assert_eq!(order(&held).len(), 1);
}

fn lost(times: u32) -> Taken {
    let mut lost = taken(0, "a");
    lost.job.lost = times;
    lost
}

#[test]
fn of_those_on_their_last_chance_one_runs_and_keeps_nobody_else_waiting() {
    let held = held(3);
    let jobs = [lost(2), lost(2), lost(2), lost(1), lost(0)];
    let ids = jobs.each_ref().map(|taken| taken.job.id);
    assert_eq!(held.put(jobs.map(|taken| (0, taken))), 3);
    let take = || match held.next() {
        Next::Run(taken, _) => Some(taken.job.id),
        Next::End => None,
    };
    assert_eq!([take(), take(), take()], [0, 3, 4].map(|n| Some(ids[n])));
    assert_eq!(held.len_and_free(), (0, 0));
    // The runners of the other two find nothing, and their slots are free.
    assert_eq!([take(), take()], [None, None]);
    assert_eq!(held.len_and_free(), (0, 2));
    held.risk_is_over();
    assert_eq!(take(), Some(ids[1]));
    // What waits apart can be taken out like everything else.
    held.put([(0, lost(2))]);
    assert_eq!(take(), None);
    assert_eq!(held.take_if(|_| true).len(), 2);
    held.risk_is_over();
    assert_eq!(take(), None);
}

#[test]
fn so_many_may_wait_apart() {
    let held = held(2);
    held.put((0..MOST_APART + 3).map(|_| (0, lost(2))));
    assert!(matches!(held.next(), Next::Run(..)));
    assert!(matches!(held.next(), Next::End));
    assert_eq!(held.len_and_free(), (2, 1));
}

#[test]
fn unwanted_jobs_can_be_taken_out() {
    let held = held(1);
    held.put([(0, taken(0, "a")), (0, taken(0, "b"))]);
    let out = held.take_if(|taken| &*taken.job.queue == "a");
    assert_eq!(out.len(), 1);
    assert_eq!(held.len_and_free().0, 1);
}

#[test]
fn a_cap_keeps_its_jobs_out_of_the_slots_of_others() {
    let mut caps = Caps::default();
    caps.add("mail.*".into(), 2).unwrap();
    let held = Held::new(4, caps);
    assert_eq!(held.rooms(0), [2]);
    assert_eq!(held.rooms(8), [2 + 4]);
    let mails = [1, 2, 3, 4].map(|n| (0, taken(n, "mail.a")));
    let others = [5, 6, 7].map(|n| (0, taken(n, "b")));
    assert_eq!(held.put(mails.into_iter().chain(others)), 4);
    let take = || match held.next() {
        Next::Run(taken, _) => Some(taken.job.priority.get()),
        Next::End => None,
    };
    assert_eq!(
        [take(), take(), take(), take()],
        [Some(1), Some(2), Some(5), Some(6)]
    );
    assert_eq!(held.rooms(0), [0]);
    assert_eq!(
        held.len_and_free(),
        (1, 0),
        "two wait for others of their queue"
    );
    // One of the others ends, then a mail: the runner takes the next mail.
    assert_eq!(take(), Some(7));
    held.cap_has_room(0);
    assert_eq!(take(), Some(3));
    assert_eq!(take(), None, "the last mail waits");
    assert!(!held.is_empty());
    assert_eq!(held.take_stale(Instant::now(), PATIENCE).len(), 0);
    let later = Instant::now() + 2 * PATIENCE;
    assert_eq!(
        held.take_stale(later, PATIENCE).len(),
        1,
        "others may have a slot"
    );
    held.cap_has_room(0);
    held.cap_has_room(0);
    assert_eq!(held.rooms(0), [2]);
}

const PATIENCE: Duration = Duration::from_secs(1);
