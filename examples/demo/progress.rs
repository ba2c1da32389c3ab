//! Shows how far it has come: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jobs::inspect::StateCounts;
use jobs::prelude::*;

/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

/// How often to print a line where there is no bar.
const LINE: Duration = Duration::from_secs(1);

pub(crate) async fn until_all_is_done(client: &Client) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut show = Show::new();
    loop {
        let counts = client.inspect().counts().await?;
        show.update(&counts);
        if counts.unfinished() == 0 {
            show.finish();
            return Ok(start.elapsed());
        }
        tokio::time::sleep(LOOK).await;
    }
}

enum Show {
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Show {
    fn new() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Lines { last: None };
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} jobs  {msg}  {elapsed}");
        let bar = ProgressBar::new(0).with_style(style.expect("the template is fixed"));
        Self::Bar(bar)
    }

    fn update(&mut self, counts: &StateCounts) {
        let done = counts.succeeded + counts.failed + counts.deleted;
        let all = done + counts.unfinished();
        let (waiting, failed) = (counts.scheduled, counts.failed);
        let words = format!("{waiting} wait for their time, {failed} failed");
        match self {
            Self::Bar(bar) => {
                bar.set_length(all);
                bar.set_position(done);
                bar.set_message(words);
            }
            Self::Lines { last } if last.is_none_or(|last| last.elapsed() >= LINE) => {
                *last = Some(Instant::now());
                println!("{done} of {all} jobs done, {words}");
            }
            Self::Lines { .. } => {}
        }
    }

    fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
