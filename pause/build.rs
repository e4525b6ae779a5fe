//! Links `pause` by its own script, without libc, start files and section headers.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=pause.ld");
    let script = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("pause.ld");
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,--no-eh-frame-hdr",
        "-Wl,-z,nosectionheader",
        "-Wl,--strip-all",
        &format!("-Wl,-T,{}", script.display()),
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // GNU ld before 2.41 cannot leave the section headers out, which are as long as half the program. Rust brings lld,
    // and uses it by itself on x86_64-unknown-linux-gnu only (1.95).
    if let Some(lld) = rust_lld() {
        println!("cargo::rustc-link-arg-bins=-B{}", lld.display());
        println!("cargo::rustc-link-arg-bins=-fuse-ld=lld");
    }
}

/// The directory of the `ld.lld` that comes with rustc; a distribution's Rust may have none.
fn rust_lld() -> Option<PathBuf> {
    let printed = Command::new(variable("RUSTC"))
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = PathBuf::from(String::from_utf8(printed.stdout).ok()?.trim_end());
    let directory = sysroot
        .join("lib/rustlib")
        .join(variable("HOST"))
        .join("bin/gcc-ld");
    directory.join("ld.lld").exists().then_some(directory)
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for build scripts")
}
