//! Reads a Kubernetes Pod manifest and writes records. A pure filter: it reads, it writes, and touches nothing.

#[cfg(test)]
mod bad_input;
mod cli;
mod complete;
mod container;
mod error;
mod expand;
mod field;
mod image;
mod input;
mod metadata;
mod names;
mod network;
mod pod;
mod quantity;
mod resources;
mod sandbox;
mod security;
mod spec;
mod unsupported;
mod volumes;
mod words;
mod yaml;

use std::io::Write as _;
use std::process::ExitCode;

use record::Failure as _;
use serde_json::{Map, Value};

use cli::Cli;
use complete::Node;
use error::Error;

/// The name in errors.
const TOOL: &str = "podspec";

#[cfg(not(test))]
#[global_allocator]
static ARENA: sys::Arena = sys::Arena::new();

/// The same, counted for tests of bad input.
#[cfg(test)]
#[global_allocator]
static ARENA: fuzz::Counting<sys::Arena> = fuzz::Counting::new(sys::Arena::new());

fn main() -> ExitCode {
    let cli: Cli = match record::parse_cli(TOOL) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match run(&cli) {
        Ok(None) => ExitCode::FAILURE,
        // Who reads no more has what he wanted, or says so himself.
        Ok(Some(text)) => match std::io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// What is printed; None: a value that is not there.
fn run(cli: &Cli) -> Result<Option<String>, Error> {
    if let Some(key) = &cli.get {
        let records = input::jsons(cli.file.as_deref())?;
        let values = records
            .iter()
            .filter_map(|record| words::value(record, key));
        let text: String = values.map(|value| value + "\n").collect();
        return Ok((!text.is_empty()).then_some(text));
    }
    if let Some(tool) = cli.words {
        let record = input::json(cli.file.as_deref())?;
        return Ok(Some(words::words(tool, &record)? + "\n"));
    }
    if cli.pod.is_some() || cli.image.is_some() {
        return complete(cli).map(Some);
    }
    let bytes = input::bytes(cli.file.as_deref(), yaml::MAX_BYTES, "manifest")?;
    let run_dir = match &cli.run_dir {
        Some(dir) => dir.clone(),
        None => run_dir()?,
    };
    if !run_dir.starts_with('/') {
        return Err(Error::Input(format!(
            "--run-dir: {run_dir:?} is no absolute path"
        )));
    }
    let records = pod::records(&yaml::documents(&bytes)?, &run_dir)?;
    let lines = records.iter().map(|record| format!("{record}\n"));
    Ok(Some(lines.collect()))
}

fn run_dir() -> Result<String, Error> {
    let dir = record::names::run_dir();
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    dir.into_os_string()
        .into_string()
        .map_err(|dir| Error::Input(format!("CHROOT0_RUN: {dir:?} is not UTF-8")))
}

/// A container's record with what its pod and its image say.
fn complete(cli: &Cli) -> Result<String, Error> {
    let record = input::json(cli.file.as_deref())?;
    let mut record: Map<String, Value> = match record {
        Value::Object(map) => map,
        _ => return Err(Error::Input("no record, it must be an object".into())),
    };
    if let Some(path) = &cli.pod {
        let pod = input::json(Some(path))?;
        let resolv_conf = match &cli.resolv_conf {
            Some(path) => input::bytes(Some(path), input::MAX_RECORD, "resolv.conf")?,
            None => Vec::new(),
        };
        let servers: Vec<String> = cli.cluster_dns.iter().map(ToString::to_string).collect();
        let node = Node {
            resolv_conf: &String::from_utf8_lossy(&resolv_conf),
            cluster_dns: &servers,
            cluster_domain: &cli.cluster_domain,
        };
        complete::of_pod(&mut record, &pod, &node);
    }
    if let Some(path) = &cli.image {
        image::of_image(&mut record, &input::json(Some(path))?)?;
    }
    image::check_user(&record)?;
    Ok(format!("{}\n", Value::Object(record)))
}
