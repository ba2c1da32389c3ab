//! Jobs that depend on each other, built in one call: a graph whose nodes have names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use super::batch::Jobs;
use super::filling::{check_name, make_member};
use super::within::Target;
use super::{BatchHandle, BoxFuture, Client, Enqueue, FlowHandle, counted, parents};
use crate::error::{Error, Result};
use crate::job::{Condition, Job, JobId, NewJob, ParentId, check_node};
use crate::storage::{NewBatch, Storage, Within};

/// Jobs that depend on each other: nodes, and edges between them. Stored when this is awaited, whole or not
/// at all; a mistake in the graph is returned by the `await`, and then nothing was stored.
///
/// A node without edges to it runs at once; each other one when all the nodes from which edges lead to it
/// have ended as the edges say. A handler finds what another node returned with
/// [`ctx.node_result`](crate::handler::JobContext::node_result).
///
/// ```
/// # use jobs_core::{client::{Client, Enqueue, Flow}, job::{Condition, Job}, storage::MemoryStorage};
/// # #[derive(serde::Serialize)] struct Step { n: i64 }
/// # impl Job for Step { const KIND: &'static str = "step"; type Output = i64; }
/// # fn step(n: i64) -> Enqueue<'static, Step> { Enqueue::new(Step { n }) }
/// # async fn example(client: Client) -> jobs_core::Result<()> {
/// let order = Flow::new()
///     .node("reserve", step(1))
///     .node("charge", step(2))
///     .node("ship", step(3))
///     .node("apologize", step(4))
///     .edge("reserve", "charge")
///     .edge("charge", "ship")
///     .edge_on(Condition::Failure, "charge", "apologize")
///     .on(&client)
///     .await?;
/// println!("{:?}", order.progress().await?.counts);
/// # Ok(()) }
/// ```
#[must_use = "a flow is stored only when this is awaited"]
pub struct Flow<'t> {
    graph: Graph,
    target: Target<'t>,
}

/// What a flow is to be, wherever it goes.
#[derive(Default)]
struct Graph {
    name: Option<String>,
    keep_for: Option<Duration>,
    nodes: Vec<(String, Jobs)>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    from: String,
    to: String,
    on: Condition,
}

impl Flow<'static> {
    /// How many nodes a flow may have: 10,000.
    pub const LIMIT: usize = 10_000;

    /// A flow without nodes.
    pub fn new() -> Self {
        Self {
            graph: Graph::default(),
            target: Target::default(),
        }
    }
}

impl Default for Flow<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'t> Flow<'t> {
    /// What people call the flow: 1 to 256 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.graph.name = Some(name.into());
        self
    }

    /// How long it and its jobs are kept once it has ended; a job's own time comes first. Defaults to the
    /// worker's retention.
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.graph.keep_for = Some(time);
        self
    }

    /// Adds a node: a job with a name of its own, `[A-Za-z0-9_.:-]{1,128}`. It cannot be a chain (give each of
    /// its jobs a node), and cannot have a unique key (another job could stand for it).
    pub fn node<J: Job>(mut self, name: impl Into<String>, job: Enqueue<'static, J>) -> Self {
        let jobs = Box::new(|client: &Client| job.jobs(client, "flow"));
        self.graph.nodes.push((name.into(), jobs));
        self
    }

    /// Lets a node wait until another has Succeeded.
    pub fn edge(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.edge_on(Condition::Success, from, to)
    }

    /// Lets a node wait until another has ended in this way. When it ends otherwise, the node is Deleted; but
    /// while it is Failed, those that need its success wait on, because it may be
    /// [run again](FlowHandle::resume).
    pub fn edge_on(
        mut self,
        on: Condition,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        let (from, to) = (from.into(), to.into());
        self.graph.edges.push(Edge { from, to, on });
        self
    }

    /// Goes to the storage of this client. Defaults to [`Client::current`].
    pub fn on(mut self, client: &Client) -> Self {
        self.target.client = Some(client.clone());
        self
    }

    /// Stores the flow within the caller's own transaction or connection, as
    /// [`Enqueue::within`](super::Enqueue::within) does.
    pub fn within<'u, S, C>(self, transaction: &'u mut C) -> Flow<'u>
    where
        't: 'u,
        S: Storage,
        C: Within<S>,
    {
        Flow {
            graph: self.graph,
            target: self.target.within(transaction),
        }
    }

    async fn send(self) -> Result<FlowHandle> {
        let Graph {
            name,
            keep_for,
            nodes,
            edges,
        } = self.graph;
        if let Some(name) = &name {
            check_name("flow", name)?;
        }
        let order = in_order(&nodes, &edges)?;
        let (client, transaction) = self.target.resolve()?;
        let mut batch = NewBatch::new(client.new_id().as_uuid().into());
        (batch.name, batch.keep_for) = (name, keep_for);
        let jobs = jobs(&client, &batch, nodes, &edges, &order)?;
        let stored = match transaction {
            Some(mut transaction) => {
                transaction
                    .create_batch(client.storage(), &batch, &jobs)
                    .await?
            }
            None => {
                let storage = client.storage();
                storage
                    .create_batch_retrying(&batch, &jobs, client.0.retry_for)
                    .await?
            }
        };
        counted(stored, jobs.len())?;
        Ok(FlowHandle::of_batch(BatchHandle::new(
            Some(client),
            batch.id,
        )))
    }
}

impl<'t> IntoFuture for Flow<'t> {
    type Output = Result<FlowHandle>;
    type IntoFuture = BoxFuture<'t, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.graph.nodes.iter().map(|(name, _)| name).collect();
        f.debug_struct("Flow")
            .field("name", &self.graph.name)
            .field("nodes", &nodes)
            .field("edges", &self.graph.edges)
            .finish_non_exhaustive()
    }
}

fn invalid(why: String) -> Error {
    Error::Invalid(why)
}

/// The jobs of the nodes in this order, each with its parents.
fn jobs(
    client: &Client,
    batch: &NewBatch,
    nodes: Vec<(String, Jobs)>,
    edges: &[Edge],
    order: &[String],
) -> Result<Vec<NewJob>> {
    let mut nodes: BTreeMap<String, Jobs> = nodes.into_iter().collect();
    let mut made: BTreeMap<String, NewJob> = BTreeMap::new();
    // Parents first: the ids ascend in this order, and people read lists in theirs.
    for name in order {
        let Some((name, jobs)) = nodes.remove_entry(name) else {
            continue;
        };
        let told = |error| match error {
            Error::Invalid(why) => invalid(format!("node `{name}`: {why}")),
            other => other,
        };
        let mut jobs = jobs(client).map_err(told)?;
        let [job] = jobs.as_mut_slice() else {
            return Err(invalid(format!(
                "node `{name}` is a chain of {} jobs: give each of them a node, and an edge between them",
                jobs.len()
            )));
        };
        make_member(job, batch).map_err(told)?;
        let rules = job.rules.get_or_insert_default();
        if rules.unique.is_some() {
            return Err(invalid(format!(
                "node `{name}` cannot have a unique key: another job could stand for it, which is no node of the flow"
            )));
        }
        rules.node = Some(name.clone());
        made.insert(name, jobs.remove(0));
    }
    let ids: BTreeMap<String, JobId> = made
        .iter()
        .map(|(name, job)| (name.clone(), job.id))
        .collect();
    for Edge { from, to, on } in edges {
        let rules = made
            .get_mut(to)
            .and_then(|job| job.rules.as_mut())
            .expect("the graph was checked");
        let parent = parents::of(ParentId::Job(ids[from]), *on);
        if !rules.parents.contains(&parent) {
            rules.parents.push(parent);
        }
    }
    Ok(order.iter().filter_map(|name| made.remove(name)).collect())
}

/// Checks the graph, and puts the nodes into an order in which parents come first.
fn in_order(nodes: &[(String, Jobs)], edges: &[Edge]) -> Result<Vec<String>> {
    if nodes.is_empty() {
        return Err(invalid(
            "a flow without nodes would do nothing: add some with `.node(name, job)`".into(),
        ));
    }
    if nodes.len() > Flow::LIMIT {
        return Err(invalid(format!(
            "a flow of {} nodes is too large: at most {}",
            nodes.len(),
            Flow::LIMIT
        )));
    }
    let mut waiting: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, _) in nodes {
        check_node(name)?;
        if waiting.insert(name, BTreeSet::new()).is_some() {
            return Err(invalid(format!(
                "two nodes are called `{name}`: give one of them another name"
            )));
        }
    }
    let mut conditions = BTreeMap::new();
    for Edge { from, to, on } in edges {
        for end in [from, to] {
            if !waiting.contains_key(end.as_str()) {
                return Err(unknown_node(from, to, end, nodes));
            }
        }
        let known = conditions.insert((from, to), *on);
        if known.is_some_and(|known| known != *on) {
            return Err(invalid(format!(
                "two edges lead from `{from}` to `{to}`, with different conditions: keep one of them"
            )));
        }
        waiting
            .get_mut(to.as_str())
            .expect("just looked for")
            .insert(from);
    }
    let mut order = Vec::with_capacity(nodes.len());
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, parents) in &waiting {
        parents
            .iter()
            .for_each(|parent| children.entry(parent).or_default().push(node));
    }
    // In the order in which they were given, as far as the edges let them.
    let mut ready: std::collections::VecDeque<&str> = nodes
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| waiting[name].is_empty())
        .collect();
    while let Some(node) = ready.pop_front() {
        order.push(node.to_owned());
        waiting.remove(node);
        for child in children.get(node).into_iter().flatten() {
            let parents = waiting
                .get_mut(child)
                .expect("a node with parents is not ready");
            parents.remove(node);
            if parents.is_empty() {
                ready.push_back(child);
            }
        }
    }
    if waiting.is_empty() {
        Ok(order)
    } else {
        Err(cycle(&waiting))
    }
}

fn unknown_node(from: &str, to: &str, end: &str, nodes: &[(String, Jobs)]) -> Error {
    let names: Vec<_> = nodes
        .iter()
        .take(20)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    let more = if nodes.len() > 20 { ", …" } else { "" };
    invalid(format!(
        "an edge leads from `{from}` to `{to}`, but no node is called `{end}`; the nodes are {}{more}",
        names.join(", ")
    ))
}

/// Names a cycle among nodes each of which waits for another of them.
fn cycle(waiting: &BTreeMap<&str, BTreeSet<&str>>) -> Error {
    let mut path: Vec<&str> = Vec::new();
    let mut node = *waiting.keys().next().expect("there is a cycle");
    let start = loop {
        if let Some(start) = path.iter().position(|&seen| seen == node) {
            break start;
        }
        path.push(node);
        node = waiting[node].first().expect("it waits for another");
    };
    // Walked from child to parent; told the other way round, from the first by name.
    let mut told: Vec<_> = path[start..]
        .iter()
        .rev()
        .map(|name| format!("`{name}`"))
        .collect();
    let first = (0..told.len()).min_by_key(|&at| &told[at]).unwrap_or(0);
    told.rotate_left(first);
    told.push(told[0].clone());
    invalid(format!(
        "the nodes {} wait for each other, so that none of them could ever run",
        told.join(" → ")
    ))
}
