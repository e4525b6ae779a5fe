//! The record that passes through the pipe, and its laws.
//!
//! A pod is described by one JSON object on one line: an OCI runtime `config.json` that grows from tool to
//! tool. Each tool writes the keys it owns, hands every other on untouched, and undoes exactly what it wrote.
//!
//! | here | is |
//! |---|---|
//! | [`Record`] | the object: reading, writing, keys in order, and typed views of the OCI keys |
//! | [`up()`], [`down()`], [`show`], [`for_exec`] | the verbs: one reading, one writing, failures that flow, write-ahead |
//! | [`names`] | what is derived from an id: groups, interfaces, the run directory |
//! | [`ProcessId`] | a process that cannot be mistaken for another |
//! | [`Namespace`] | the eight kinds, in every spelling |

/// Counted for tests of bad input.
#[cfg(test)]
#[global_allocator]
static MEMORY: fuzz::Counting<std::alloc::System> = fuzz::Counting::new(std::alloc::System);

#[cfg(test)]
mod bad_input;
mod check;
mod cli;
mod down;
mod error;
mod filter;
mod hidden;
mod id;
mod index;
mod mappings;
pub mod names;
mod namespace;
mod object;
mod oci;
mod process;
#[cfg(test)]
mod schema;
mod source;
mod strict;
mod trace;
mod up;

pub use check::check_run_dir;
pub use cli::{SchemaArgs, parse_cli, report};
pub use down::{Down, down};
pub use error::{Error, Failure};
pub use filter::{for_exec, one, show};
pub use hidden::{MASKED_PATHS, READ_ONLY_PATHS};
pub use id::Id;
pub use index::{Known, ids, indexed, known, try_known};
pub use mappings::IdMapping;
pub use namespace::Namespace;
pub use object::Record;
pub use oci::{Groups, Mount, NamespaceEntry};
pub use process::{ProcessId, boot_id};
pub use source::SourceArgs;
pub use trace::{trace, trace_all};
pub use up::{RESTORES, Up, up};

/// Version of the OCI runtime specification whose keys a new record carries.
///
/// Not the newest: runtimes refuse a version they have not heard of, and the keys written here are all in this one.
pub const OCI_VERSION: &str = "1.0.2";

/// The JSON Schema of the record, with a newline. Made by this crate's tests: reading one is all that a tool does.
pub const SCHEMA: &str = include_str!("../pod-record.schema.json");

/// The tools that keep what they made under a key of their own name.
pub(crate) const TOOLS: [&str; 4] = ["cgset", "mkbox", "netwire", "nsrun"];
