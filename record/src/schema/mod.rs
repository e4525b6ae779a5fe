//! The JSON Schema of the record, made from types: `pod-record.schema.json`, which every tool prints with `--schema`.
//!
//! The types are for tests alone: a tool reads and writes JSON values, so that what it does not know passes through. Keys of one tool
//! are closed: a key that a tool writes and its type here does not have is found by the tests that validate what the tools write.

#![expect(dead_code, reason = "of the types only the shape is of use")]

mod cgset;
mod made;
mod mkbox;
mod netwire;
mod nsrun;
mod oci;
mod podspec;
mod process;
mod resources;

use std::collections::BTreeMap;
use std::{env, fs};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Id;

/// What the tools of chroot0 tell each other about a pod: an OCI runtime configuration that grows as it passes through a pipe,
/// pod-record(5). A key has one writer; what is not described here is the user's, and passes through untouched.
#[derive(JsonSchema)]
#[schemars(rename = "Record", title = "pod-record")]
struct Shape {
    /// Version of the OCI runtime specification
    #[schemars(rename = "ociVersion")]
    oci_version: Option<String>,
    id: Option<Id>,
    /// At most 64 bytes
    #[schemars(length(max = 64))]
    hostname: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    root: Option<oci::Root>,
    mounts: Option<Vec<oci::Mount>>,
    process: Option<process::Process>,
    linux: Option<oci::Linux>,
    /// Lines of the pod's /etc/hosts, as in a Kubernetes manifest
    #[schemars(rename = "hostAliases")]
    host_aliases: Option<Vec<netwire::HostAlias>>,
    mkbox: Option<mkbox::Mkbox>,
    nsrun: Option<nsrun::Nsrun>,
    cgset: Option<cgset::Cgset>,
    netwire: Option<netwire::Netwire>,
    podspec: Option<podspec::Podspec>,
    failed: Option<Failed>,
}

/// The tool that failed, and its error line
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Failed {
    tool: String,
    error: String,
}

#[test]
fn the_schema_is_made_from_the_types() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pod-record.schema.json");
    let made = made::schema::<Shape>();
    if env::var_os("CHROOT0_WRITE").is_some() {
        fs::write(path, &made).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap();
    assert!(
        kept == made,
        "{path} is not what the types say: CHROOT0_WRITE=1 cargo test -p record schema"
    );
}
