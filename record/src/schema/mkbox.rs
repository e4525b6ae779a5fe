//! `mkbox`: what a box was made of.

use schemars::JsonSchema;

/// What mkbox made, and of what
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Mkbox {
    /// The box, absolute
    root: String,
    identity: Option<Identity>,
    /// How many were copied
    files: Option<u64>,
    /// How many were copied
    bytes: Option<u64>,
    /// Programs that were asked for
    copy: Option<Vec<String>>,
    with: Option<Vec<String>>,
    dlopen: Option<Need>,
    sysroot: Option<String>,
    from: Option<String>,
    #[schemars(rename = "ref")]
    reference: Option<String>,
    merged_usr: Option<bool>,
    privileges: Option<bool>,
    /// Directories above the box that were made for it
    made: Option<Vec<String>>,
    /// The box was an empty directory
    existed: Option<bool>,
    bind_programs: Option<Vec<String>>,
    etc: Option<Vec<String>>,
    /// What of the box a `down` that was interrupted was to leave
    keep: Option<Vec<String>>,
    store: Option<Store>,
    overlay: Option<Overlay>,
    mounted: Option<Mounted>,
}

/// Of a directory, by which it is known again
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Identity {
    dev: u64,
    ino: u64,
}

/// The directory beside the box; empty: about to be made
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Store {
    dev: Option<u64>,
    ino: Option<u64>,
}

/// How much a program needs a library that it opens by name
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
enum Need {
    None,
    Required,
    Recommended,
    Suggested,
}

/// Layers below the box, topmost first
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Overlay {
    lower: Vec<String>,
    /// What is written is in memory
    ephemeral: Option<bool>,
}

/// The mount namespace in which the mounts were made
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Mounted {
    inode: u64,
    /// Without one: that of the caller
    namespace: Option<String>,
}
