//! Starts the runs, each in a process of its own, and gathers their rows.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::options::Options;
use crate::table::table;
use crate::workload::{WORKLOADS, Workload};
use crate::{Result, database::Kind};

/// Runs what the options say, and prints the rows to standard output and the table to standard error.
pub(crate) fn drive(options: &Options) -> Result<()> {
    let mut out = match &options.out {
        Some(file) => Some(OpenOptions::new().create(true).append(true).open(file)?),
        None => None,
    };
    let begun = Instant::now();
    let this = std::env::current_exe()?;
    let builds: Vec<(&str, &Path)> = match &options.against {
        Some(other) => vec![("this", &this), ("other", other)],
        None => vec![("this", &this)],
    };
    let mut rows = Vec::new();
    for (workload, storage) in chosen(options) {
        for run in 1..=options.runs {
            // One after the other, so that both builds meet the same weather; in turn the first, which may be the
            // worse place to be in.
            let (first, then) = builds.split_at(run % builds.len());
            for (build, binary) in then.iter().chain(first) {
                let seconds = begun.elapsed().as_secs();
                let name = workload.name;
                eprintln!(
                    "[{seconds} s] {storage} {name} {run}/{} {build}",
                    options.runs
                );
                let mut row = start(binary, workload, storage, options)
                    .unwrap_or_else(|error| failed(workload, storage, &*error));
                row["run"] = json!(run);
                row["build"] = json!(build);
                println!("{row}");
                if let Some(out) = &mut out {
                    writeln!(out, "{row}")?;
                }
                rows.push(row);
            }
        }
    }
    eprintln!("\n{}", table(&rows));
    Ok(())
}

/// Prints the table of rows that were recorded earlier.
pub(crate) fn table_of(file: &Path) -> Result<()> {
    let lines = BufReader::new(File::open(file)?).lines();
    let rows = lines.map(|line| Ok(serde_json::from_str(&line?)?));
    println!("{}", table(&rows.collect::<Result<Vec<Value>>>()?));
    Ok(())
}

fn chosen(options: &Options) -> Vec<(&'static Workload, Kind)> {
    let mut chosen = Vec::new();
    for workload in WORKLOADS {
        let wanted = |name: &String| workload.name.starts_with(name.as_str());
        if options.only.is_empty() || options.only.iter().any(wanted) {
            let storages = options.storages.iter();
            let storages = storages.filter(|storage| workload.storages.contains(storage));
            chosen.extend(storages.map(|&storage| (workload, storage)));
        }
    }
    chosen
}

fn start(binary: &Path, workload: &Workload, storage: Kind, options: &Options) -> Result<Value> {
    let mut command = Command::new(binary);
    command
        .args(["run", workload.name, "--storage", &storage.to_string()])
        .args(["--scale", &options.scale.to_string()])
        .args(["--cap", &options.cap.to_string()])
        .stdout(Stdio::piped());
    if let Some(db) = &options.db {
        command.args(["--db", db]);
    }
    if !options.analyze {
        command.arg("--no-analyze");
    }
    let output = command.spawn()?.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the run ended with {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let row = text.lines().last().ok_or("the run printed no row")?;
    Ok(serde_json::from_str(row)?)
}

fn failed(workload: &Workload, storage: Kind, error: &dyn std::error::Error) -> Value {
    eprintln!("{storage} {}: {error}", workload.name);
    json!({
        "storage": storage.to_string(),
        "workload": workload.name,
        "error": error.to_string(),
    })
}
