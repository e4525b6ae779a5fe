//! Boxes of another machine's files.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::path::Path;

use common::workshop::{Workshop, plan};

mod common;

/// Makes `path` a file for ARM: the two bytes of `e_machine`.
fn for_arm(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[18..20].copy_from_slice(&183u16.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn another_machines_files_are_found_below_a_sysroot() {
    let shop = Workshop::new();
    let loader = "-Wl,--dynamic-linker=/lib/ld-musl-aarch64.so.1";
    shop.cc("root/opt/own/libit.so", true, &["-Wl,-soname,libit.so"]);
    shop.cc(
        "root/usr/bin/tool",
        false,
        &["-Lroot/opt/own", "-lit", loader],
    );
    shop.cc("root/usr/lib/ld-musl-aarch64.so.1", true, &[]);
    for file in [
        "opt/own/libit.so",
        "usr/bin/tool",
        "usr/lib/ld-musl-aarch64.so.1",
    ] {
        for_arm(&shop.path("root").join(file));
    }
    // Links and lists of the other machine are about itself.
    std::os::unix::fs::symlink("/usr/lib", shop.path("root/lib")).unwrap();
    fs::create_dir(shop.path("root/etc")).unwrap();
    fs::write(
        shop.path("root/etc/ld-musl-aarch64.path"),
        "/lib:/opt/own\n",
    )
    .unwrap();
    let root = shop.path("root");
    let root = root.to_str().unwrap();
    let found = plan(&["--sysroot", root, "--copy", "tool"], &[]).unwrap();
    let pair = |from: &str, to: &str| (format!("{root}{from}").into(), to.into());
    assert_eq!(
        found,
        [
            pair("/usr/bin/tool", "/bin/tool"),
            pair("/lib/ld-musl-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"),
            pair("/opt/own/libit.so", "/lib/libit.so"),
        ]
    );
    fs::remove_file(shop.path("root/opt/own/libit.so")).unwrap();
    assert_eq!(
        plan(&["--sysroot", root, "--copy", "tool"], &[]).unwrap_err(),
        "mkbox: closure(/usr/bin/tool): libit.so not found (needed by /usr/bin/tool)\n"
    );
    // This machine's program is no help.
    assert_eq!(
        plan(&["--sysroot", root, "--copy", "ls"], &[]).unwrap_err(),
        "mkbox: --copy ls: no such program in PATH\n"
    );
}

#[test]
fn a_sysroot_without_a_cache_is_searched_by_its_own_configuration() {
    let shop = Workshop::new();
    let loader = "-Wl,--dynamic-linker=/lib/ld-linux-aarch64.so.1";
    shop.cc("root/opt/a/libfirst.so", true, &["-Wl,-soname,libfirst.so"]);
    shop.cc(
        "root/opt/b/libsecond.so",
        true,
        &["-Wl,-soname,libsecond.so"],
    );
    let libraries = [
        "-Lroot/opt/a",
        "-lfirst",
        "-Lroot/opt/b",
        "-lsecond",
        loader,
    ];
    shop.cc("root/bin/tool", false, &libraries);
    shop.cc("root/lib/ld-linux-aarch64.so.1", true, &[]);
    // Libraries for some processors only are no help: nobody knows which one the other machine has.
    shop.cc("root/opt/a/glibc-hwcaps/x86-64-v2/libfirst.so", true, &[]);
    shop.cc("root/lib/libc.so.6", true, &["-Wl,-soname,libc.so.6"]);
    fs::create_dir_all(shop.path("root/etc/ld.so.conf.d")).unwrap();
    fs::write(
        shop.path("root/etc/ld.so.conf"),
        "include /etc/ld.so.conf.d/*.conf\n",
    )
    .unwrap();
    fs::write(shop.path("root/etc/ld.so.conf.d/1.conf"), "/opt/a\n").unwrap();
    fs::write(shop.path("root/etc/ld.so.conf.d/2.conf"), "# two\n/opt/b\n").unwrap();
    let root = shop.path("root");
    let root = root.to_str().unwrap();
    for file in [
        "opt/a/libfirst.so",
        "opt/b/libsecond.so",
        "bin/tool",
        "lib/ld-linux-aarch64.so.1",
        "lib/libc.so.6",
    ] {
        for_arm(&shop.path("root").join(file));
    }
    let found = plan(&["--sysroot", root, "--copy", "tool"], &[]).unwrap();
    let mut sources: Vec<&str> = found
        .iter()
        .map(|(from, _)| from.to_str().unwrap().strip_prefix(root).unwrap())
        .collect();
    sources.sort_unstable();
    let wanted = [
        "/bin/tool",
        "/lib/ld-linux-aarch64.so.1",
        "/lib/libc.so.6",
        "/opt/a/libfirst.so",
        "/opt/b/libsecond.so",
    ];
    assert_eq!(sources, wanted);
}
