//! The closure against ldd(1), and in the cases that no program of a distribution has.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs compared with ldd: enough to meet every library of a small system, few enough for a test.
const SAMPLE: usize = 120;

/// What `mkbox up --copy PROGRAM` would copy beside the program: from where to where.
fn copies(program: &Path, environment: &[(&str, &str)]) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_mkbox"))
        .args(["up", "--dry-run", "--copy"])
        .arg(program)
        .arg("/box")
        .env_remove("LD_LIBRARY_PATH")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if !output.status.success() {
        return Err(text(output.stderr));
    }
    let lines = text(output.stdout);
    let arrow = |line: &str| {
        let (source, destination) = line.trim_matches('\'').split_once("' -> '/box")?;
        Some((source.into(), destination.into()))
    };
    Ok(lines.lines().filter_map(arrow).skip(1).collect())
}

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

#[test]
fn it_is_what_ldd_says_for_the_programs_of_this_machine() {
    assert!(
        Command::new("ldd").arg("--version").output().is_ok(),
        "ldd is missing: it is the reference here (glibc's libc-bin)"
    );
    let entries = fs::read_dir("/usr/bin")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> = entries
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    programs.sort();
    programs.dedup();
    // Spread over the whole alphabet: families of programs share their libraries.
    let step = (programs.len() / SAMPLE).max(1);
    let mut compared = 0;
    for program in programs.iter().step_by(step).filter(|path| is_elf(path)) {
        let (ours, theirs) = (copies(program, &[]), ldd(program));
        match theirs {
            Some(theirs) => assert_eq!(real(&ours.unwrap()), theirs, "{}", program.display()),
            None => assert!(
                ours.unwrap_err().contains("not found"),
                "{}",
                program.display()
            ),
        }
        compared += 1;
    }
    assert!(compared > 10, "only {compared} programs compared");
}

/// Libraries and programs of a test's own, made by the C compiler that links these tests.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir()
            .canonicalize()
            .unwrap()
            .join(format!("mkbox-closure-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Links `output`: an empty library, or with `-o` of a program a main.
    fn cc(&self, output: &str, is_library: bool, arguments: &[&str]) {
        let output = self.path(output);
        fs::create_dir_all(output.parent().unwrap()).unwrap();
        let source = self.path(if is_library { "empty.c" } else { "main.c" });
        fs::write(
            &source,
            if is_library {
                ""
            } else {
                "int main(void) { return 0; }\n"
            },
        )
        .unwrap();
        let mut command = Command::new("cc");
        command
            .current_dir(&self.0)
            .arg("-o")
            .arg(&output)
            .arg(&source)
            .arg("-Wl,--no-as-needed")
            .arg("-L.");
        command
            .args(if is_library {
                &["-shared", "-fPIC"][..]
            } else {
                &[]
            })
            .args(arguments);
        let done = command.output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Where in the box `name` lies.
    fn place(&self, copies: &[(PathBuf, PathBuf)], name: &str) -> Vec<String> {
        let it = copies
            .iter()
            .filter(|(_, destination)| destination.ends_with(name));
        it.map(|(_, destination)| destination.display().to_string())
            .collect()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_rpath_is_inherited_and_a_runpath_is_not() {
    let shop = Workshop::new("paths");
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
    let shop = Workshop::new("machine");
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
    let shop = Workshop::new("names");
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
        .args(["up", "--copy", "./tool", "box"])
        .current_dir(&shop.0)
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
    let shop = Workshop::new("interpreter");
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
