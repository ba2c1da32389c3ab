//! Measures `jobs`: what the figures in the README come from. See `README.md` beside this.
//!
//! The driver starts a process of its own for each run, so that runs do not warm each other up, and so
//! that the most memory a process ever had is that of one run.

mod database;
mod driver;
mod kinds;
mod meter;
mod options;
mod row;
mod seen;
mod table;
mod workload;

use std::process::ExitCode;

use options::{Command, Options};

/// What goes wrong in a bench ends it, in words.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let done = match Options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}\n{}", options::USAGE, workload::list());
            Ok(())
        }
        Ok(Command::List) => {
            println!("{}", workload::list());
            Ok(())
        }
        Ok(Command::Table(file)) => driver::table_of(&file),
        Ok(Command::Drive(options)) => driver::drive(&options),
        Ok(Command::Run(run)) => in_runtime(workload::run(&run)),
        Ok(Command::Fill(fill)) => in_runtime(workload::fill(&fill)),
        Ok(Command::Work(url)) => in_runtime(workload::work(&url)),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jobs-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(work);
    // Workers may still be running: nobody waits for them.
    runtime.shutdown_background();
    done
}
