//! Links `pause` and `pause-hold` by a script of their own, without libc and start files.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=pause.ld");
    let script = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("pause.ld");
    let (machine, flags) = match variable("CARGO_CFG_TARGET_ARCH").as_str() {
        "x86_64" => (62, 0),
        "aarch64" => (183, 0),
        // EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE
        "riscv64" => (243, 0x5),
        other => panic!("pause is not written for {other}"),
    };
    // A linker that is called by itself (RUSTC_LINKER is what cargo's configuration names) takes its own options, and a compiler
    // that calls one takes them behind -Wl.
    let driven = !env::var("RUSTC_LINKER").is_ok_and(|linker| linker.ends_with("lld"));
    let to_linker = |option: String| {
        if driven {
            format!("-Wl,{option}")
        } else {
            option
        }
    };
    if driven {
        for option in ["-nostartfiles", "-nostdlib"] {
            println!("cargo::rustc-link-arg-bins={option}");
        }
        // GNU ld takes no dead code out of what is not ELF to it. Rust brings lld, and uses it by itself on
        // x86_64-unknown-linux-gnu only (1.95).
        if let Some(lld) = rust_lld() {
            println!("cargo::rustc-link-arg-bins=-B{}", lld.display());
            println!("cargo::rustc-link-arg-bins=-fuse-ld=lld");
        }
    }
    for option in ["-static", "-no-pie"] {
        println!("cargo::rustc-link-arg-bins={option}");
    }
    for option in [
        "--build-id=none".to_owned(),
        "--no-eh-frame-hdr".to_owned(),
        "--oformat=binary".to_owned(),
        format!("--defsym=MACHINE={machine}"),
        format!("--defsym=FLAGS={flags}"),
        format!("-T{}", script.display()),
    ] {
        println!("cargo::rustc-link-arg-bins={}", to_linker(option));
    }
    for (program, entry) in [("pause", "pause_start"), ("pause-hold", "pause_hold_start")] {
        for option in [
            format!("--entry={entry}"),
            format!("--defsym=START={entry}"),
        ] {
            println!("cargo::rustc-link-arg-bin={program}={}", to_linker(option));
        }
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
