//! Programs and libraries of a test's own, and what mkbox would copy of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Scratch;

/// Where each file comes from and where it goes.
pub(crate) type Copies = Vec<(PathBuf, PathBuf)>;

/// What `mkbox up --copy PROGRAM` would copy beside the program: from where to where.
pub(crate) fn copies(program: &Path, environment: &[(&str, &str)]) -> Result<Copies, String> {
    let mut found = plan(&["--copy", program.to_str().unwrap()], environment)?;
    found.remove(0);
    Ok(found)
}

/// What `mkbox up` with these flags would copy: from where to where.
pub(crate) fn plan(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Copies, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_mkbox"))
        .args(["up", "--quiet", "--dry-run"])
        .args(arguments)
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
    Ok(lines.lines().filter_map(arrow).collect())
}

/// Libraries and programs of a test's own, made by the C compiler that links these tests.
pub(crate) struct Workshop(pub(crate) Scratch);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(Scratch::new())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Links `output`: an empty library, or with `-o` of a program a main.
    pub(crate) fn cc(&self, output: &str, is_library: bool, arguments: &[&str]) {
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
            .current_dir(&self.0.0)
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
    pub(crate) fn place(&self, copies: &[(PathBuf, PathBuf)], name: &str) -> Vec<String> {
        let it = copies
            .iter()
            .filter(|(_, destination)| destination.ends_with(name));
        it.map(|(_, destination)| destination.display().to_string())
            .collect()
    }
}
