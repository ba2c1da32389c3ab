//! What limits promise, with many jobs and workers in processes of their own, and PostgreSQL as the witness.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection};
use sqlx::{Executor, PgConnection, Row};

use crate::counters::assert_exact;
use crate::kinds::{one_of_two, ten_a_second};
use crate::setup::{PATIENCE, Place, long, on_each, until};

/// Writes down each moment at which a start is counted.
const WITNESS: &str = "
create table public.began (at timestamptz);
create function public.note_start() returns trigger language plpgsql as $fn$
begin
    insert into public.began values (new.started_at);
    return null;
end
$fn$;
create trigger note_start after update on jobs.permit for each row
    when (old.started_at is null and new.started_at is not null) execute function public.note_start();
";

/// How many jobs of each tenant are in the hands of workers, at one moment.
const HELD: &str = "
select j.args ->> 'tenant' as tenant, count(*) as n
  from jobs.claim c cross join lateral unnest(c.job_ids, c.runs) x (id, run)
  join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
 group by 1";

on_each!(never_more_than_two_of_a_tenant: postgres);

async fn never_more_than_two_of_a_tenant(place: &Place) {
    let (jobs, tenants) = if long() { (10_000, 50) } else { (500, 10) };
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(place.process(|orders| orders.concurrency = 16).await);
    }
    let began = Instant::now();
    let tenant = |n: usize| (n % tenants).to_string();
    let all = one_of_two.enqueue_many((0..jobs).map(|n| (tenant(n), 3_u64)));
    let ids = all.on(&place.client).await.unwrap().ids().to_vec();
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    let (mut most, mut looks) = (0, 0);
    let patience = Duration::from_secs(if long() { 600 } else { 120 });
    loop {
        for row in connection.fetch_all(HELD).await.unwrap() {
            let (tenant, n): (String, i64) = (row.get(0), row.get(1));
            most = most.max(n);
            assert!(n <= 2, "{n} of tenant {tenant}");
        }
        looks += 1;
        let counts = place.storage.inspect().counts().await.unwrap();
        if counts.unfinished() == 0 {
            break;
        }
        assert!(began.elapsed() < patience, "{counts:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "{jobs} jobs of {tenants} tenants in {:?}; {most} at most, in {looks} looks",
        began.elapsed()
    );
    assert_eq!(most, 2, "two at once are allowed, and were never seen");
    // As the jobs saw it themselves.
    let of: HashMap<_, _> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| (id.to_string(), tenant(n)))
        .collect();
    let mut effects = place.effects.all();
    effects.sort_by_key(|effect| effect.at);
    let mut at_once: HashMap<&str, i32> = HashMap::new();
    for effect in &effects {
        let now = at_once.entry(&of[&effect.job]).or_default();
        *now += if effect.what == "start" { 1 } else { -1 };
        assert!(*now <= 2, "{effect:?}");
    }
    assert_eq!(effects.len(), 2 * jobs, "each ran once");
    assert_exact(place).await;
}

on_each!(never_more_than_ten_starts_in_a_second: postgres);

async fn never_more_than_ten_starts_in_a_second(place: &Place) {
    let mut connection = PgConnection::connect(&place.url).await.unwrap();
    connection.execute(AssertSqlSafe(WITNESS)).await.unwrap();
    let jobs = if long() { 300 } else { 35 };
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(place.process(|_| {}).await);
    }
    let began = Instant::now();
    let all = ten_a_second.enqueue_many(vec![(); jobs]);
    all.on(&place.client).await.unwrap();
    let counts = async || place.storage.inspect().counts().await.unwrap();
    let patience = PATIENCE + Duration::from_secs(jobs as u64 / 5);
    let counts = until("all ran", patience, counts, |counts| {
        counts.unfinished() == 0
    })
    .await;
    let took = began.elapsed();
    let worst = "select max(n)::bigint, (select count(*) from public.began)
                   from (select count(*) as n from public.began b
                           join public.began o on o.at >= b.at and o.at < b.at + interval '1 s' group by b.ctid) w";
    let row = connection.fetch_one(worst).await.unwrap();
    let (most, starts): (i64, i64) = (row.get(0), row.get(1));
    println!("{jobs} jobs in {took:?}; {most} starts at most in a second");
    assert!(most <= 10, "{most} starts within a second");
    assert_eq!(starts, jobs as i64);
    assert_eq!(counts.succeeded, jobs as u64, "none failed for waiting");
    assert_exact(place).await;
    drop(workers);
}
