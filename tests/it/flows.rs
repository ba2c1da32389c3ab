//! Flows: graphs of named jobs, checked and stored as a whole.

use jobs::prelude::*;
use jobs::{Condition, Error, JobEntry, JobError, State};

use crate::setup::{Effects, PATIENCE, Place, on_each, until};

#[job(retries = 0)]
async fn flow_step(
    gate: String,
    effects: Data<Effects>,
    ctx: JobContext,
) -> Result<String, JobError> {
    if !gate.is_empty() && effects.of(&gate).is_empty() {
        effects.write(&gate, &ctx);
        Err("not yet")?;
    }
    Ok(ctx.node().unwrap_or_default().to_uppercase())
}

#[job]
async fn flow_join(ctx: JobContext) -> Result<String, JobError> {
    let (b, c): (String, String) = (ctx.node_result("b").await?, ctx.node_result("c").await?);
    Ok(format!("{b}{c}"))
}

fn all() -> Vec<&'static JobEntry> {
    jobs![flow_step, flow_join]
}

fn plain() -> jobs::Enqueue<'static, FlowStep> {
    flow_step.enqueue("")
}

on_each!(a_flow_runs_along_its_edges: memory, sqlite, postgres);

async fn a_flow_runs_along_its_edges(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let flow = Flow::new()
        .name("diamond")
        .node("d", flow_join.enqueue())
        .node("a", plain())
        .node("b", plain())
        .node("c", plain())
        .node("alarm", plain())
        .edge("a", "b")
        .edge("a", "c")
        .edge("b", "d")
        .edge("c", "d")
        .edge_on(Condition::Failure, "d", "alarm")
        .on(&place.client)
        .await
        .unwrap();
    let progress = flow.wait().await.unwrap();
    assert!(progress.is_finished());
    let names: Vec<_> = progress
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d", "alarm"]);
    assert_eq!((progress.counts.succeeded, progress.counts.deleted), (4, 1));
    assert_eq!(flow.result::<String>("d").await.unwrap(), "BC");
    let error = flow.node::<String>("e").await.unwrap_err().to_string();
    assert!(
        error.contains("no node of the flow is called `e`; they are `a`, `b`"),
        "{error}"
    );
    assert_eq!(
        flow.batch().record().await.unwrap().name.as_deref(),
        Some("diamond")
    );
    worker.stop().await;
}

on_each!(a_flow_goes_on_from_what_failed: memory, sqlite, postgres);

async fn a_flow_goes_on_from_what_failed(place: &Place) {
    let worker = place.worker(all()).start().await.unwrap();
    let flow = Flow::new()
        .node("first", plain())
        .node("shaky", flow_step.enqueue("once"))
        .node("last", plain())
        .edge("first", "shaky")
        .edge("shaky", "last")
        .on(&place.client)
        .await
        .unwrap();
    let progress = flow.wait().await.unwrap();
    assert!(progress.stands_still() && !progress.is_finished());
    let states: Vec<_> = progress.nodes.iter().map(|node| node.state).collect();
    assert_eq!(states, [State::Succeeded, State::Failed, State::Awaiting]);
    assert_eq!(flow.resume().await.unwrap(), ["shaky"]);
    let look = async || flow.progress().await.unwrap();
    let progress = until("it ends well", PATIENCE, look, |progress| {
        progress.is_finished()
    })
    .await;
    assert_eq!(progress.counts.succeeded, 3);
    let first = progress.nodes[0].job;
    assert_eq!(place.record(first).await.attempt, 1);
    assert!(flow.resume().await.unwrap().is_empty());
    worker.stop().await;
}

on_each!(a_flow_is_cancelled_as_a_whole: memory, sqlite, postgres);

async fn a_flow_is_cancelled_as_a_whole(place: &Place) {
    let flow = Flow::new()
        .node("a", plain().delay(hours(1)))
        .node("b", plain())
        .edge("a", "b")
        .on(&place.client)
        .await
        .unwrap();
    assert!(!flow.progress().await.unwrap().stands_still());
    assert_eq!(flow.cancel().await.unwrap(), 2);
    let progress = place.client.flow(flow.id()).wait().await.unwrap();
    assert_eq!(progress.counts.deleted, 2);
}

on_each!(a_graph_that_cannot_be_is_refused: memory);

async fn a_graph_that_cannot_be_is_refused(place: &Place) {
    let refused = async |flow: Flow<'static>, says: &str| match flow.on(&place.client).await {
        Err(Error::Invalid(why)) => assert!(why.contains(says), "{why} should say {says}"),
        other => panic!("{other:?} should be refused: {says}"),
    };
    let three = || {
        Flow::new()
            .node("a", plain())
            .node("b", plain())
            .node("c", plain())
    };
    refused(Flow::new(), "without nodes").await;
    refused(three().node("b", plain()), "two nodes are called `b`").await;
    refused(three().node("b c", plain()), "name of a node").await;
    refused(
        three().edge("a", "d"),
        "from `a` to `d`, but no node is called `d`; the nodes are `a`, `b`, `c`",
    )
    .await;
    refused(three().edge("a", "a"), "`a` → `a`").await;
    let cycle = three().edge("a", "b").edge("b", "c").edge("c", "a");
    refused(cycle, "`a` → `b` → `c` → `a` wait for each other").await;
    let both = three().edge("a", "b").edge_on(Condition::Any, "a", "b");
    refused(both, "two edges lead from `a` to `b`").await;
    refused(
        three().node("u", plain().unique("x")),
        "node `u` cannot have a unique key",
    )
    .await;
    refused(
        three().node("k", plain().queue("No")),
        "node `k`: \"No\" cannot be the name of a queue",
    )
    .await;
    assert_eq!(
        place.storage.inspect().counts().await.unwrap().unfinished(),
        0
    );
}
