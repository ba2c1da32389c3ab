//! Names: a unit struct takes one that a function does not.

use jobs::prelude::*;

use super::stage;

/// Jobs with the names that generated code likes to use for its own variables.
mod traps {
    use jobs::job;

    macro_rules! traps {
        ($($name:ident),* $(,)?) => {
            $(#[job]
            pub(super) async fn $name(number: i64, text: &str) -> i64 {
                number + text.len() as i64
            })*

            pub(super) fn all() -> Vec<&'static jobs::JobEntry> {
                jobs::jobs![$($name),*]
            }
        };
    }

    traps!(
        a,
        b,
        de,
        e,
        f,
        field,
        fmt,
        formatter,
        i,
        it,
        item,
        items,
        key,
        map,
        marker,
        n,
        s,
        seq,
        serializer,
        t,
        this,
        v,
        val,
        value,
        values,
        variant,
        x,
        args,
        call,
        cancel,
        client,
        ctx,
        entry,
        enqueue,
        error,
        handle,
        job,
        kind,
        len,
        lifetime,
        name,
        other,
        output,
        perform,
        queue,
        run,
        self_argument,
        state,
        task,
        worker,
    );
}

#[tokio::test]
async fn no_name_disturbs_what_is_generated() {
    let (client, worker) = stage(traps::all()).await;
    let handle = traps::f.enqueue(1, "ab").on(&client).await.unwrap();
    assert_eq!(handle.result().await.unwrap(), 3);
    assert_eq!(traps::value(1, "a").await, 2);
    assert_eq!(
        format!("{:?} {:?}", traps::f, traps::a.call(1, "x")),
        r#"f A { number: 1, text: "x" }"#
    );
    worker.stop().await;
}

/// Words of the language.
#[job]
async fn r#match(r#type: String) -> String {
    r#type
}

#[job]
async fn _unused(_reason: String, __other: u8, _1st: u8) {}

#[tokio::test]
async fn raw_names_and_underscores_are_not_stored() {
    let (client, worker) = stage(jobs![r#match, _unused]).await;
    let matched: Match = r#match.call("x");
    assert_eq!((Match::KIND, matched.r#type.as_str()), ("match", "x"));
    let handle = matched.enqueue().on(&client).await.unwrap();
    assert_eq!(handle.record().await.unwrap().args, r#"{"type":"x"}"#);
    let value: Unused = _unused.call("why", 1, 2);
    assert_eq!((Unused::KIND, value.reason.as_str()), ("_unused", "why"));
    let handle = value.enqueue().on(&client).await.unwrap();
    assert_eq!(
        handle.record().await.unwrap().args,
        r#"{"reason":"why","other":1,"_1st":2}"#
    );
    worker.stop().await;
}

#[job]
fn typed(
    list: Vec<Option<String>>,
    text: &str,
    map: std::collections::BTreeMap<String, (u8, [u8; 2])>,
    ctx: JobContext,
) -> usize {
    list.len() + text.len() + map.len() + ctx.tags().len()
}

#[test]
fn entries_say_where_they_are_and_what_they_take() {
    let entry = jobs![r#match][0];
    assert!(
        entry.file.ends_with("tests/it/macros/names.rs"),
        "{}",
        entry.file
    );
    assert_eq!(entry.module, module_path!());
    assert_eq!(entry.arguments, [jobs::Argument::new("type", "String")]);
    let source = include_str!("names.rs")
        .lines()
        .nth(entry.line as usize - 1);
    assert_eq!(source, Some("async fn r#match(r#type: String) -> String {"));
    assert!(!entry.blocking);
    let types: Vec<_> = jobs![typed][0]
        .arguments
        .iter()
        .map(|argument| argument.type_text)
        .collect();
    let written = [
        "Vec<Option<String>>",
        "&str",
        "std::collections::BTreeMap<String, (u8, [u8; 2])>",
    ];
    assert_eq!(types, written);
}

mod twice {
    use jobs::job;

    #[job(name = "names.same")]
    pub(super) async fn first() {}

    #[job(name = "names.other", aliases("names.same"))]
    pub(super) async fn second() {}
}

#[tokio::test]
async fn two_jobs_of_one_name_are_found_when_a_worker_starts() {
    let storage = jobs::connect("memory:").await.unwrap();
    let worker = Worker::builder(storage).jobs(jobs![twice::first, twice::second, twice::first]);
    let error = worker.start().await.unwrap_err().to_string();
    assert!(error.starts_with("kind \"names.same\" twice: "), "{error}");
    assert_eq!(
        error.matches("tests/it/macros/names.rs:").count(),
        2,
        "{error}"
    );
}
