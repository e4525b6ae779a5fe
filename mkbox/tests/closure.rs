//! The closure against ldd(1), and in the cases that no program of a distribution has.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::workshop::{Workshop, copies, plan};

mod common;

/// What ldd(1) says, by real path; None when a library is missing.
fn ldd(program: &Path) -> Option<BTreeSet<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = |line: &str| {
        let path = line
            .split_once("=> ")
            .map_or(line, |(_, path)| path)
            .split(" (")
            .next()?
            .trim();
        path.starts_with('/')
            .then(|| fs::canonicalize(path).unwrap())
    };
    (!text.contains("not found")).then(|| text.lines().filter_map(path).collect())
}

fn real(copies: &[(PathBuf, PathBuf)]) -> BTreeSet<PathBuf> {
    copies
        .iter()
        .map(|(source, _)| fs::canonicalize(source).unwrap())
        .collect()
}

fn is_elf(path: &Path) -> bool {
    let is_program = path
        .metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    is_program && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
}

/// How ldd(1) and we differ about `program`; None when we do not.
fn disagreement(program: &Path) -> Option<String> {
    let shown = program.display();
    match (copies(program, &[]), ldd(program)) {
        (Ok(ours), Some(theirs)) if real(&ours) == theirs => None,
        (Ok(ours), Some(theirs)) => {
            let ours = real(&ours);
            let only = |a: &BTreeSet<PathBuf>, b: &BTreeSet<PathBuf>| {
                format!("{:?}", a.difference(b).collect::<Vec<_>>())
            };
            let (here, there) = (only(&ours, &theirs), only(&theirs, &ours));
            Some(format!("{shown}: only ours {here}, only ldd's {there}"))
        }
        (Err(ours), None) if ours.contains("not found") => None,
        (ours, theirs) => Some(format!("{shown}: {ours:?}, {theirs:?}")),
    }
}

/// Every program of /usr/bin. One kind of difference is known, and it is ldd's: it asks the loader of this machine's own C
/// library, so programs of another one (musl) are not compared.
#[test]
fn it_is_what_ldd_says_for_every_program_of_this_machine() {
    assert!(
        Command::new("ldd").arg("--version").output().is_ok(),
        "ldd is missing: it is the reference here (glibc's libc-bin)"
    );
    let entries = fs::read_dir("/usr/bin")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> = entries
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| is_elf(path))
        .collect();
    programs.sort();
    programs.dedup();
    programs.retain(|path| {
        let bytes = fs::read(path).unwrap();
        let head = &bytes[..bytes.len().min(4096)];
        !head.windows(8).any(|window| window == b"/ld-musl")
    });
    assert!(programs.len() > 50, "only {} programs", programs.len());
    let next = AtomicUsize::new(0);
    let compare = || {
        let mut found = Vec::new();
        while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(disagreement(program));
        }
        found
    };
    let found: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(compare)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let (few, all) = (found.len(), programs.len());
    assert!(
        found.is_empty(),
        "{few} of {all} differ:\n{}",
        found.join("\n")
    );
}

#[test]
fn an_rpath_is_inherited_and_a_runpath_is_not() {
    let shop = Workshop::new();
    shop.cc("deep/libinner.so", true, &["-Wl,-soname,libinner.so"]);
    shop.cc(
        "deep/libouter.so",
        true,
        &["-Wl,-soname,libouter.so", "-Ldeep", "-linner"],
    );
    let link = |tag: &'static str| {
        [
            "-Ldeep",
            "-louter",
            "-Wl,-rpath-link,deep",
            "-Wl,-rpath,$ORIGIN/../deep",
            tag,
        ]
    };
    shop.cc("bin/old", false, &link("-Wl,--disable-new-dtags"));
    shop.cc("bin/new", false, &link("-Wl,--enable-new-dtags"));
    let old = copies(&shop.path("bin/old"), &[]).unwrap();
    assert_eq!(real(&old), ldd(&shop.path("bin/old")).unwrap());
    // $ORIGIN is /bin in the box, so the run path leads to /deep there.
    assert_eq!(shop.place(&old, "libinner.so"), ["/deep/libinner.so"]);
    assert_eq!(ldd(&shop.path("bin/new")), None);
    let missing = copies(&shop.path("bin/new"), &[]).unwrap_err();
    let (program, library) = (shop.path("bin/new"), shop.path("bin/../deep/libouter.so"));
    assert_eq!(
        missing,
        format!(
            "mkbox: closure({}): libinner.so not found (needed by {})\n",
            program.display(),
            library.display()
        )
    );
    // With the variable it is found, and lies where the box's loader finds it without.
    let deep = shop.path("deep");
    let found = copies(&program, &[("LD_LIBRARY_PATH", deep.to_str().unwrap())]).unwrap();
    let inner = shop.place(&found, "libinner.so");
    assert!(
        inner.len() == 1 && inner[0].starts_with("/lib"),
        "{inner:?}"
    );
}

#[test]
fn a_library_for_another_processor_is_passed_over() {
    let shop = Workshop::new();
    shop.cc("right/libit.so", true, &["-Wl,-soname,libit.so"]);
    let mut wrong = fs::read(shop.path("right/libit.so")).unwrap();
    wrong[18] ^= 0x40;
    fs::create_dir(shop.path("wrong")).unwrap();
    fs::write(shop.path("wrong/libit.so"), wrong).unwrap();
    shop.cc(
        "tool",
        false,
        &["-Lright", "-lit", "-Wl,-rpath,$ORIGIN/wrong:$ORIGIN/right"],
    );
    let found = copies(&shop.path("tool"), &[]).unwrap();
    assert_eq!(shop.place(&found, "libit.so"), ["/bin/right/libit.so"]);
    assert_eq!(real(&found), ldd(&shop.path("tool")).unwrap());
}

#[test]
fn a_library_under_two_names_is_one_file_in_the_box() {
    let shop = Workshop::new();
    shop.cc("libit.so", true, &[]);
    shop.cc("liba.so", true, &["-Wl,-rpath,$ORIGIN", "-lit"]);
    std::os::unix::fs::symlink("libit.so", shop.path("libalias.so")).unwrap();
    shop.cc("tool", false, &["-la", "-lalias", "-Wl,-rpath,$ORIGIN"]);
    let found = copies(&shop.path("tool"), &[]).unwrap();
    assert_eq!(
        shop.place(&found, "libit.so").len() + shop.place(&found, "libalias.so").len(),
        2,
        "{found:?}"
    );
    let run = shop.path("run");
    let output = Command::new(env!("CARGO_BIN_EXE_mkbox"))
        .args(["up", "--quiet", "--copy", "./tool", "box"])
        .current_dir(&shop.0.0)
        .env("CHROOT0_RUN", run)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    use std::os::unix::fs::MetadataExt;
    let inode = |name: &str| shop.path("box/bin").join(name).metadata().unwrap().ino();
    assert_eq!(inode("libit.so"), inode("libalias.so"));
}

#[test]
fn an_interpreter_that_is_missing_is_named() {
    let shop = Workshop::new();
    shop.cc("tool", false, &["-Wl,--dynamic-linker=/no/such/loader"]);
    let missing = copies(&shop.path("tool"), &[]).unwrap_err();
    assert_eq!(
        missing,
        format!(
            "mkbox: closure({}): its interpreter /no/such/loader does not exist\n",
            shop.path("tool").display()
        )
    );
}

/// A C file whose object carries a `.note.dlopen` with this text.
fn note(json: &str) -> String {
    let bytes: Vec<String> = json.bytes().map(|byte| byte.to_string()).collect();
    let lines = [
        r#".pushsection .note.dlopen,\"a\",%note"#.to_owned(),
        ".balign 4".into(),
        format!(".long 4, {}, 0x407c0c0a", bytes.len() + 1),
        r#".asciz \"FDO\""#.into(),
        format!(".byte {}, 0", bytes.join(",")),
        ".balign 4".into(),
        ".popsection".into(),
    ];
    format!("__asm__(\"{}\");\n", lines.join("\\n"))
}

#[test]
fn what_a_program_says_it_opens_is_taken_by_need() {
    let shop = Workshop::new();
    for name in ["libmust.so", "libmay.so", "libcould.so"] {
        shop.cc(name, true, &[]);
    }
    let entry = |names: &str, priority: &str| {
        format!(r#"{{"feature":"f","priority":"{priority}","soname":[{names}]}}"#)
    };
    let json = [
        entry(r#""libno.so","libmust.so""#, "required"),
        entry(r#""libmay.so""#, "recommended"),
        entry(r#""libcould.so""#, "suggested"),
        entry(r#""libnowhere.so""#, "suggested"),
    ];
    fs::write(shop.path("note.c"), note(&format!("[{}]", json.join(",")))).unwrap();
    shop.cc("tool", false, &["note.c", "-Wl,-rpath,$ORIGIN"]);
    let tool = shop.path("tool");
    let with = |need: &str| plan(&["--dlopen", need, "--copy", tool.to_str().unwrap()], &[]);
    let taken = |need: &str| {
        let found = with(need).unwrap();
        let names = ["libmust.so", "libmay.so", "libcould.so"];
        names
            .map(|name| shop.place(&found, name).len())
            .iter()
            .sum::<usize>()
    };
    let needs = ["none", "required", "recommended", "suggested"];
    assert_eq!(needs.map(taken), [0, 1, 2, 3]);
    let found = copies(&tool, &[]).unwrap();
    assert_eq!(shop.place(&found, "libmust.so"), ["/bin/libmust.so"]);
    fs::remove_file(shop.path("libmust.so")).unwrap();
    let shown = tool.display();
    assert_eq!(
        copies(&tool, &[]).unwrap_err(),
        format!(
            "mkbox: closure({shown}): libno.so not found, which it opens while it runs (--dlopen none leaves it out)\n"
        )
    );
    fs::write(shop.path("note.c"), note("[7]")).unwrap();
    shop.cc("tool", false, &["note.c"]);
    assert_eq!(
        copies(&tool, &[]).unwrap_err(),
        format!("mkbox: closure({shown}): the ELF file has a .note.dlopen that cannot be read\n")
    );
    assert!(with("none").is_ok());
}

#[test]
fn a_merged_box_has_links_and_its_own_loader_finds_everything() {
    let shop = Workshop::new();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mkbox"))
            .args(arguments)
            .current_dir(&shop.0.0)
            .env("CHROOT0_RUN", shop.path("run"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["up", "-q", "--merged-usr", "--copy", "ls,sh", "box"]);
    for (name, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib")] {
        let link = fs::read_link(shop.path("box").join(name)).unwrap();
        assert_eq!(link, Path::new(target));
    }
    assert!(shop.path("box/usr/bin/ls").is_file());
    // chroot(1) needs root.
    if nix::unistd::geteuid().is_root() {
        let mut command = Command::new("chroot");
        command.arg(shop.path("box"));
        let output = command
            .args(["/bin/sh", "-c", "ls /lib/"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    run(&["down", "box"]);
    assert!(!shop.path("box").exists());
}

#[test]
fn bundles_bring_what_no_closure_can_know() {
    let found = plan(&["--copy", "sh", "--with", "nss,tz,/etc/hostname"], &[]).unwrap();
    let has = |path: &str| found.iter().any(|(_, to)| to == Path::new(path));
    assert!(has("/etc/hostname") && has("/etc/localtime"), "{found:?}");
    let listed = Command::new("ldconfig").arg("-p").output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).contains("libnss_files.so.2");
    let is_nss = |path: &Path| path.ends_with("libnss_files.so.2");
    assert_eq!(found.iter().any(|(_, to)| is_nss(to)), listed);
    assert_eq!(
        plan(&["--with", "/no/such"], &[]).unwrap_err(),
        "mkbox: --with /no/such: no such file or directory\n"
    );
}

#[test]
fn a_box_that_may_lack_something_says_so_once_and_names_who_wants_it() {
    let warnings = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mkbox"))
            .args(["up", "--dry-run"])
            .args(arguments)
            .arg("/box")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let shop = Workshop::new();
    let program = |name: &str, text: &str| {
        fs::write(shop.path("text.c"), text).unwrap();
        let (name, text) = (shop.path(name), shop.path("text.c"));
        let done = Command::new("cc").arg("-o").arg(&name).arg(text).output();
        assert!(done.unwrap().status.success());
        name.to_str().unwrap().to_owned()
    };
    let asks = program(
        "asks",
        "#include <pwd.h>\nint main(void) { return getpwuid(0) == 0; }\n",
    );
    let opens = program(
        "opens",
        "#include <dlfcn.h>\nint main(int n, char **w) { return dlopen(w[0], 1) == 0; }\n",
    );
    let plain = program("plain", "int main(void) { return 0; }\n");
    assert_eq!(warnings(&["--copy", &plain]), "");
    let nss = "mkbox: no NSS in the box for asks, to look up users or hosts (--with nss)\n";
    let dlopen = "mkbox: not known what opens open while they run (--with PATH takes it along)\n";
    let all = format!("{asks},{opens},{plain}");
    assert_eq!(warnings(&["--copy", &all]), format!("{nss}{dlopen}"));
    assert_eq!(warnings(&["--copy", &all, "--with", "nss"]), "");
    assert_eq!(warnings(&["--copy", &all, "--with", "/etc/hostname"]), nss);
    assert_eq!(warnings(&["--quiet", "--copy", &all]), "");
}
