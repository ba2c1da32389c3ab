//! Every form that a function can have.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};

use jobs::prelude::*;
use serde::{Deserialize, Serialize};

use super::stage;

#[job]
async fn nothing() {}

#[job]
async fn one(number: i64) -> i64 {
    number
}

#[job]
async fn texts(first: &str, second: String, third: &str) -> String {
    tokio::task::yield_now().await;
    format!("{first} {second} {third}")
}

#[job]
async fn changing(mut total: i64, mut text: String) -> String {
    total += 1;
    text.push('!');
    format!("{text}{total}")
}

#[job]
async fn raw(r#type: String, r#fn: i64, r#in: &str) -> String {
    format!("{type} {fn} {in}", type = r#type, fn = r#fn, in = r#in)
}

#[job]
async fn measured(bytes: [u8; const { 2 }]) -> [u8; const { 2 }] {
    bytes
}

#[job]
fn blocking(text: &str, times: usize) -> String {
    text.repeat(times)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    zip: u16,
}

type Addresses = BTreeMap<String, Address>;

#[job]
async fn types(
    maybe: Option<i64>,
    list: Vec<(i64, String)>,
    address: Address,
    addresses: Addresses,
    bytes: [u8; 4],
    owned: std::borrow::Cow<'static, str>,
    unit: (),
) -> (
    Option<i64>,
    Vec<(i64, String)>,
    Address,
    Addresses,
    [u8; 4],
    String,
) {
    let () = unit;
    (maybe, list, address, addresses, bytes, owned.into_owned())
}

#[job]
#[allow(clippy::too_many_arguments)]
async fn thirty(
    a0: u8,
    a1: u8,
    a2: u8,
    a3: u8,
    a4: u8,
    a5: u8,
    a6: u8,
    a7: u8,
    a8: u8,
    a9: u8,
    b0: u8,
    b1: u8,
    b2: u8,
    b3: u8,
    b4: u8,
    b5: u8,
    b6: u8,
    b7: u8,
    b8: u8,
    b9: u8,
    c0: u8,
    c1: u8,
    c2: u8,
    c3: u8,
    c4: u8,
    c5: u8,
    c6: u8,
    c7: u8,
    c8: u8,
    c9: &str,
) -> u32 {
    let numbers = [
        a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9, c0, c1, c2,
        c3, c4, c5, c6, c7, c8,
    ];
    numbers.into_iter().map(u32::from).sum::<u32>() + c9.len() as u32
}

#[tokio::test]
async fn parameters_arrive_as_they_were_sent() {
    let (client, worker) = stage(jobs![
        nothing, one, texts, changing, raw, measured, blocking, types, thirty
    ])
    .await;
    let client = &client;
    nothing
        .enqueue()
        .on(client)
        .await
        .unwrap()
        .result()
        .await
        .unwrap();
    assert_eq!(
        one.enqueue(i64::MIN)
            .on(client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        i64::MIN
    );
    let third = &String::from("c");
    let text = texts
        .enqueue("a", String::from("b"), third)
        .on(client)
        .await
        .unwrap();
    assert_eq!(text.result().await.unwrap(), "a b c");
    let text = changing.enqueue(1, 'x').on(client).await.unwrap();
    assert_eq!(text.result().await.unwrap(), "x!2");
    let text = raw.enqueue("t", 1, "i").on(client).await.unwrap();
    assert_eq!(text.result().await.unwrap(), "t 1 i");
    let bytes = measured.enqueue([1, 2]).on(client).await.unwrap();
    assert_eq!(bytes.result().await.unwrap(), [1, 2]);
    let text = blocking.enqueue("ab", 3).on(client).await.unwrap();
    assert_eq!(text.result().await.unwrap(), "ababab");

    let (list, address) = (
        vec![(1, "x".to_owned())],
        Address {
            zip: 70_000_u32 as u16,
        },
    );
    let addresses = BTreeMap::from([("home".to_owned(), address.clone())]);
    let sent = types.enqueue(
        None,
        list.clone(),
        address.clone(),
        addresses.clone(),
        *b"abcd",
        "cow".into(),
        (),
    );
    let got = sent.on(client).await.unwrap().result().await.unwrap();
    assert_eq!(
        got,
        (None, list, address, addresses, *b"abcd", "cow".to_owned())
    );

    #[rustfmt::skip]
    let sum = thirty.enqueue(
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, "thirty",
    );
    assert_eq!(sum.on(client).await.unwrap().result().await.unwrap(), 441);
    worker.stop().await;
}

#[tokio::test]
async fn many_are_enqueued_as_bare_values_tuples_or_units() {
    let (client, worker) = stage(jobs![nothing, one, texts]).await;
    assert_eq!(
        nothing
            .enqueue_many([(), ()])
            .on(&client)
            .await
            .unwrap()
            .len(),
        2
    );
    let numbers = one.enqueue_many(1..=3).on(&client).await.unwrap();
    let mut results = Vec::new();
    for number in numbers {
        results.push(number.result().await.unwrap());
    }
    assert_eq!(results, [1, 2, 3]);
    let words = ["x", "y"].map(|word| (word, word.to_owned(), word));
    let sent = texts.enqueue_many(words).on(&client).await.unwrap();
    let mut results = Vec::new();
    for text in sent {
        results.push(text.result().await.unwrap());
    }
    assert_eq!(results, ["x x x", "y y y"]);
    worker.stop().await;
}

#[tokio::test]
async fn a_job_is_a_value_too() {
    let (client, worker) = stage(jobs![texts]).await;
    let job: Texts = texts.call("a", "b", "c");
    assert_eq!(
        format!("{job:?}"),
        r#"Texts { first: "a", second: "b", third: "c" }"#
    );
    assert_eq!(job.clone().first, "a");
    assert_eq!(
        job.clone()
            .enqueue()
            .on(&client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        "a b c"
    );
    assert_eq!(
        client.enqueue(job).await.unwrap().result().await.unwrap(),
        "a b c"
    );
    worker.stop().await;
}

/// Written by a macro: types and names come in invisible groups.
macro_rules! echoes {
    ($($name:ident: $ty:ty),*) => {
        $(#[job]
        async fn $name(value: $ty, list: Vec<$ty>) -> ($ty, Vec<$ty>) {
            (value, list)
        })*
    };
}

echoes!(echo_number: u64, echo_text: String, echo_address: Address);

#[tokio::test]
async fn macros_can_write_jobs() {
    let (client, worker) = stage(jobs![echo_number, echo_text, echo_address]).await;
    let number = echo_number
        .enqueue(u64::MAX, vec![1])
        .on(&client)
        .await
        .unwrap();
    assert_eq!(number.result().await.unwrap(), (u64::MAX, vec![1]));
    let text = echo_text.enqueue("a", vec![]).on(&client).await.unwrap();
    assert_eq!(text.result().await.unwrap(), ("a".to_owned(), vec![]));
    let address = echo_address
        .enqueue(Address { zip: 1 }, vec![])
        .on(&client)
        .await
        .unwrap();
    assert_eq!(address.result().await.unwrap().0.zip, 1);
    worker.stop().await;
}

#[tokio::test]
async fn jobs_may_stand_in_functions() {
    const FACTOR: i64 = 3;

    #[job]
    async fn tripled(number: i64) -> i64 {
        number * FACTOR
    }

    let (client, worker) = stage(jobs![tripled]).await;
    let handle = tripled.enqueue(2).on(&client).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 6);
    worker.stop().await;
}

/// What a job's body names is what stands beside the function.
mod nested {
    use super::*;

    const OFFSET: i64 = 10;

    pub(super) mod inner {
        use jobs::job;

        fn doubled(number: i64) -> i64 {
            2 * number
        }

        #[job]
        pub(in crate::macros) async fn shifted(number: i64) -> i64 {
            self::doubled(number) + super::OFFSET
        }
    }

    #[job]
    pub(super) async fn kept(pair: (i64, i64)) -> Address {
        Address {
            zip: (pair.0 + pair.1) as u16,
        }
    }
}

#[tokio::test]
async fn jobs_in_modules_see_their_modules() {
    use nested::inner::shifted;

    let (client, worker) = stage(jobs![shifted, nested::kept]).await;
    assert_eq!(
        shifted
            .enqueue(1)
            .on(&client)
            .await
            .unwrap()
            .result()
            .await
            .unwrap(),
        12
    );
    let kept = nested::kept.enqueue((1, 2)).on(&client).await.unwrap();
    assert_eq!(kept.result().await.unwrap(), Address { zip: 3 });
    let value: nested::inner::Shifted = shifted.call(5);
    assert_eq!(value.number, 5);
    worker.stop().await;
}

#[cfg(any())]
#[job]
async fn absent_above(missing: Missing) {}

#[job]
#[cfg(any())]
async fn absent_below(missing: Missing) {}

#[job]
#[cfg(test)]
#[expect(clippy::let_and_return, reason = "attributes stay on the function")]
async fn present(number: u8) -> u8 {
    let same = number;
    same
}

#[test]
fn cfg_is_kept() {
    assert_eq!(jobs![present][0].kind, "present");
    let kinds: Vec<_> = jobs::Registry::linked()
        .iter()
        .map(|entry| entry.kind)
        .collect();
    assert!(kinds.contains(&"present"));
    assert!(!kinds.iter().any(|kind| kind.starts_with("absent")));
}

/// The two ends of a meeting: each waits for the other.
static MEETING: LazyLock<(SyncSender<()>, Mutex<Receiver<()>>)> = LazyLock::new(|| {
    let (send, receive) = sync_channel(0);
    (send, Mutex::new(receive))
});

#[job]
fn waits_for_another() {
    MEETING.1.lock().unwrap().recv().unwrap();
}

#[job]
async fn meets_it() -> bool {
    loop {
        if MEETING.0.try_send(()).is_ok() {
            return true;
        }
        tokio::task::yield_now().await;
    }
}

/// On the one thread of this runtime only one of the two could run.
#[tokio::test(flavor = "current_thread")]
async fn a_plain_function_does_not_hold_up_the_others() {
    let (client, worker) = stage(jobs![waits_for_another, meets_it]).await;
    let waits = waits_for_another.enqueue().on(&client).await.unwrap();
    let meets = meets_it.enqueue().on(&client).await.unwrap();
    waits.result().await.unwrap();
    assert!(meets.result().await.unwrap());
    worker.stop().await;
}
