//! The command line.

use std::path::PathBuf;

use crate::Result;
use crate::database::Kind;

pub(crate) const USAGE: &str = "\
Usage: jobs-bench [OPTION]...

  --db URL            the PostgreSQL server, as its superuser; a database is made in it for each run and
                      dropped again. Defaults to DATABASE_URL. Without one only SQLite is measured
  --storage NAME,..   which of postgres, sqlite, memory. Defaults to postgres and sqlite
  --only NAME,..      which workloads: whole names, or beginnings of names. Defaults to all
  --runs N            how often each is run; the medians are reported. Defaults to 5
  --scale X           multiplies the numbers of jobs and the times. Defaults to 1
  --cap SECS          a run is cut off after this long. Defaults to 120
  --against BINARY    another build of jobs-bench: beside each run there is one of that, in turn before
                      and after it, and the ratios are taken pair by pair
  --no-analyze        leave the statistics of filled tables to autovacuum
  --out FILE          also append the rows (JSON, one a line) to this file
  --table-from FILE   only print the table of rows recorded earlier
  --list              only list the workloads
";

/// What to do.
pub(crate) enum Command {
    Help,
    List,
    Table(PathBuf),
    /// Start the runs.
    Drive(Options),
    /// One run, in a process of its own.
    Run(Run),
    /// Another process's part of a run: enqueue.
    Fill(Fill),
    /// Another process's part of a run: a worker that says which jobs it starts.
    Work(String),
}

/// What to run, and how often.
pub(crate) struct Options {
    pub(crate) db: Option<String>,
    pub(crate) storages: Vec<Kind>,
    pub(crate) only: Vec<String>,
    pub(crate) runs: usize,
    pub(crate) scale: f64,
    pub(crate) cap: f64,
    pub(crate) against: Option<PathBuf>,
    pub(crate) analyze: bool,
    pub(crate) out: Option<PathBuf>,
}

/// One run of one workload on one storage.
pub(crate) struct Run {
    pub(crate) workload: String,
    pub(crate) storage: Kind,
    pub(crate) db: Option<String>,
    pub(crate) scale: f64,
    pub(crate) cap: f64,
    pub(crate) analyze: bool,
}

/// Jobs to enqueue in chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fill {
    pub(crate) url: String,
    pub(crate) first: u64,
    pub(crate) jobs: u64,
    /// Bytes of arguments; 0 for small ones.
    pub(crate) bytes: usize,
    pub(crate) sort: Sort,
    /// Due in a day.
    pub(crate) scheduled: bool,
    /// Into this queue.
    pub(crate) queue: Option<String>,
}

/// What sort of jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Plain,
    /// Of twenty kinds in four queues.
    Kinds,
    /// Each with a child that waits for it.
    Parents,
    /// Of which one may run in an hour.
    Barred,
    /// Of fifty tenants, two of each at once.
    TwoAtOnce,
    /// Of fifty tenants with a limit that is never reached.
    Rated,
    /// A thousand in a second.
    ThousandASecond,
}

const SORTS: [(&str, Sort); 7] = [
    ("plain", Sort::Plain),
    ("kinds", Sort::Kinds),
    ("parents", Sort::Parents),
    ("barred", Sort::Barred),
    ("two_at_once", Sort::TwoAtOnce),
    ("rated", Sort::Rated),
    ("thousand_a_second", Sort::ThousandASecond),
];

impl Options {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command> {
        let mut args = args.peekable();
        match args.peek().map(String::as_str) {
            Some("run") => return parse_run(args.skip(1)).map(Command::Run),
            Some("fill") => return parse_fill(args.skip(1)).map(Command::Fill),
            Some("work") => return Ok(Command::Work(args.nth(1).ok_or("work needs a URL")?)),
            _ => {}
        }
        let mut options = Self {
            db: std::env::var("DATABASE_URL").ok(),
            storages: Vec::new(),
            only: Vec::new(),
            runs: 5,
            scale: 1.0,
            cap: 120.0,
            against: None,
            analyze: true,
            out: None,
        };
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--db" => options.db = Some(value(&flag, &mut args)?),
                "--storage" => {
                    for name in value(&flag, &mut args)?.split(',') {
                        options.storages.push(name.parse()?);
                    }
                }
                "--only" => {
                    let names = value(&flag, &mut args)?;
                    options.only.extend(names.split(',').map(str::to_owned));
                }
                "--runs" => options.runs = number(&flag, &mut args)?,
                "--scale" => options.scale = number(&flag, &mut args)?,
                "--cap" => options.cap = number(&flag, &mut args)?,
                "--against" => options.against = Some(value(&flag, &mut args)?.into()),
                "--no-analyze" => options.analyze = false,
                "--out" => options.out = Some(value(&flag, &mut args)?.into()),
                "--table-from" => return Ok(Command::Table(value(&flag, &mut args)?.into())),
                "--list" => return Ok(Command::List),
                "--help" | "-h" => return Ok(Command::Help),
                // What `cargo bench` adds.
                "--bench" => {}
                _ => return Err(format!("unknown option `{flag}`; see --help").into()),
            }
        }
        options.choose_storages()?;
        Ok(Command::Drive(options))
    }

    fn choose_storages(&mut self) -> Result<()> {
        if self.storages.is_empty() {
            self.storages.push(Kind::Sqlite);
            if self.db.is_some() {
                self.storages.insert(0, Kind::Postgres);
            } else {
                eprintln!("no server for PostgreSQL: give --db or DATABASE_URL; measuring SQLite");
            }
        }
        if self.storages.contains(&Kind::Postgres) && self.db.is_none() {
            return Err("PostgreSQL needs --db or DATABASE_URL".into());
        }
        Ok(())
    }
}

fn parse_run(mut args: impl Iterator<Item = String>) -> Result<Run> {
    let mut run = Run {
        workload: args.next().ok_or("run needs a workload")?,
        storage: Kind::Postgres,
        db: None,
        scale: 1.0,
        cap: 120.0,
        analyze: true,
    };
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--storage" => run.storage = value(&flag, &mut args)?.parse()?,
            "--db" => run.db = Some(value(&flag, &mut args)?),
            "--scale" => run.scale = number(&flag, &mut args)?,
            "--cap" => run.cap = number(&flag, &mut args)?,
            "--no-analyze" => run.analyze = false,
            _ => return Err(format!("unknown option `{flag}` of run").into()),
        }
    }
    Ok(run)
}

fn parse_fill(mut args: impl Iterator<Item = String>) -> Result<Fill> {
    let mut fill = Fill::default();
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--url" => fill.url = value(&flag, &mut args)?,
            "--first" => fill.first = number(&flag, &mut args)?,
            "--jobs" => fill.jobs = number(&flag, &mut args)?,
            "--bytes" => fill.bytes = number(&flag, &mut args)?,
            "--sort" => {
                let name = value(&flag, &mut args)?;
                let sort = SORTS.iter().find(|(known, _)| *known == name);
                fill.sort = sort.ok_or_else(|| format!("no sort `{name}` of jobs"))?.1;
            }
            "--scheduled" => fill.scheduled = true,
            "--queue" => fill.queue = Some(value(&flag, &mut args)?),
            _ => return Err(format!("unknown option `{flag}` of fill").into()),
        }
    }
    Ok(fill)
}

impl Fill {
    /// The same as arguments of this program.
    pub(crate) fn to_args(&self) -> Vec<String> {
        let mut args = vec!["fill".to_owned()];
        let mut add = |flag: &str, value: &str| args.extend([flag.to_owned(), value.to_owned()]);
        add("--url", &self.url);
        add("--first", &self.first.to_string());
        add("--jobs", &self.jobs.to_string());
        add("--bytes", &self.bytes.to_string());
        let sort = SORTS.iter().find(|(_, sort)| *sort == self.sort);
        add("--sort", sort.map_or("plain", |(name, _)| name));
        if let Some(queue) = &self.queue {
            add("--queue", queue);
        }
        args.extend(self.scheduled.then(|| "--scheduled".to_owned()));
        args
    }
}

fn value(flag: &str, args: &mut impl Iterator<Item = String>) -> Result<String> {
    Ok(args.next().ok_or_else(|| format!("{flag} needs a value"))?)
}

fn number<T: std::str::FromStr>(flag: &str, args: &mut impl Iterator<Item = String>) -> Result<T> {
    let text = value(flag, args)?;
    Ok(text
        .parse()
        .map_err(|_| format!("{flag} needs a number, not `{text}`"))?)
}
