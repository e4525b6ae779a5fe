//! A machine of a test's own, as the test sees it.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Output, World, binaries};

/// How long one command may take, on a machine that does other things as well; `CHROOT0_TEST_SECONDS` says it for a slow one.
const PATIENCE: u64 = 60;

/// How long the kernel may take for what it ends by itself.
const SETTLE: Duration = Duration::from_secs(2);

/// Namespaces, a cgroup subtree and an init that holds them; all gone when this value goes.
#[derive(Debug)]
pub struct Node {
    keeper: Child,
    /// PID 1 of the node, as the test sees it.
    init: i32,
    /// Files that a process writes itself into to join the node's groups.
    joins: Vec<PathBuf>,
    before: World,
}

impl Node {
    /// A new one; it carries the name of the test.
    ///
    /// # Panics
    /// Without root, or when the tools are not built.
    #[track_caller]
    #[expect(
        clippy::new_without_default,
        reason = "what makes namespaces is no default value"
    )]
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests need root: they make namespaces and control groups of their own"
        );
        let tools = binaries::tools();
        let mut keeper = Command::new(binaries::node())
            .args([OsStr::new("keep"), name().as_ref(), tools.as_os_str()])
            .arg(binaries::scripts())
            // An interrupt at the terminal ends the test; the keeper sees that and cleans up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the node helper");
        let (mut init, mut joins, mut ready) = (None, Vec::new(), false);
        let stdout = keeper.stdout.take().expect("it is a pipe");
        for line in BufReader::new(stdout).lines() {
            let line = line.expect("the keeper's own text");
            match line.split_once(' ') {
                Some(("init", pid)) => init = pid.parse().ok(),
                Some(("join", file)) => joins.push(PathBuf::from(file)),
                _ => ready = line == "ready",
            }
            if ready && init.is_some() {
                break;
            }
        }
        let Some(init) = init.filter(|_| ready) else {
            panic!("no node: its keeper ended ({:?})", keeper.wait());
        };
        let mut node = Self {
            keeper,
            init,
            joins,
            before: World::default(),
        };
        node.before = node.world();
        node
    }

    /// Runs a bash script in `/home/namespace`, stdin closed; waits, at most a minute.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.sh_with(script, b"")
    }

    /// The same with something on stdin.
    #[track_caller]
    pub fn sh_with(&self, script: &str, input: impl AsRef<[u8]>) -> Output {
        let mut command = self.command(["bash", "-c", script]);
        self.wait(&mut command, script, input.as_ref())
    }

    /// A command that will run in the node, to be spawned by the caller.
    pub fn command<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binaries::node());
        command.arg("run").arg(self.init.to_string());
        command.args(&self.joins).arg("--").args(argv);
        command.env_clear().envs([
            (
                "PATH",
                "/mnt/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", "/tmp"),
            ("LC_ALL", "C"),
            ("TERM", "dumb"),
        ]);
        command
    }

    #[track_caller]
    fn wait(&self, command: &mut Command, script: &str, input: &[u8]) -> Output {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the node helper");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let stdout = reader(child.stdout.take());
        let stderr = reader(child.stderr.take());
        let (sender, ended) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                // Who does not read its stdin to the end may be right.
                let _ = stdin.write_all(input);
                drop(stdin);
            });
            scope.spawn(move || {
                let status = child.wait();
                let output = (status, stdout.join(), stderr.join());
                let _ = sender.send(output);
            });
            let patience = patience();
            let late = match ended.recv_timeout(patience) {
                Ok(output) => return finish(script, output),
                Err(_) => format!("after {patience:?} this still runs, or holds stdout or stderr:"),
            };
            let processes = self.processes_by_ps();
            self.kill();
            match ended.recv() {
                Ok(output) => panic!("{late}\n{}\n{processes}", finish(script, output)),
                Err(_) => panic!("{late}\n{script}\n{processes}"),
            }
        })
    }

    /// For the message of a timeout; must not wait itself.
    fn processes_by_ps(&self) -> String {
        let mut ps = self.command(["timeout", "5", "ps", "-eo", "pid,ppid,stat,wchan:20,args"]);
        let output = ps.output();
        output.map_or_else(
            |error| error.to_string(),
            |ps| String::from_utf8_lossy(&ps.stdout).into_owned(),
        )
    }

    /// What there is in the node now.
    #[track_caller]
    pub fn world(&self) -> World {
        let mut command = self.command(["/mnt/node", "world"]);
        let output = self.wait(&mut command, "node world", b"").succeeds();
        World::from_lines(&output.stdout)
    }

    /// What there was in it when it was new.
    pub fn before(&self) -> &World {
        &self.before
    }

    /// Everything is as in the new node, at once.
    #[track_caller]
    pub fn assert_as_it_was(&self) {
        self.assert_same(&self.before, "the node is not as it was");
    }

    /// Everything is as in `expected`, at once.
    #[track_caller]
    pub fn assert_same(&self, expected: &World, what: &str) {
        let now = self.world();
        if let Some(difference) = expected.difference(&now) {
            panic!("{what}:\n{difference}");
        }
    }

    /// Everything becomes as it was within two seconds: for what the kernel ends by itself and no tool waited for.
    #[track_caller]
    pub fn becomes_as_it_was(&self) {
        let until = Instant::now() + SETTLE;
        while let Some(difference) = self.before.difference(&self.world()) {
            assert!(
                Instant::now() < until,
                "the node does not become as it was:\n{difference}"
            );
        }
    }

    /// PID 1 of the node, as the machine numbers it.
    pub fn init(&self) -> i32 {
        self.init
    }

    /// The node's group in every hierarchy, as the machine sees them.
    pub fn groups(&self) -> Vec<PathBuf> {
        let dirs = self.joins.iter().filter_map(|file| file.parent());
        dirs.map(Path::to_owned).collect()
    }

    /// Whether `program` is there for a test to use. If not: the test is skipped with a line on stderr, or fails in CI.
    #[track_caller]
    pub fn has(&self, program: &str) -> bool {
        if self.sh(&format!("command -v {program}")).status == 0 {
            return true;
        }
        skip(&format!("{program} is not installed"))
    }

    /// The same of a file that tells of a feature of the kernel.
    #[track_caller]
    pub fn has_file(&self, path: &str) -> bool {
        self.sh(&format!("[ -e {path} ]")).status == 0 || skip(&format!("there is no {path}"))
    }

    fn kill(&self) {
        // Never reaped before the keeper is, so the pid is still its own.
        let _ = kill(Pid::from_raw(self.init), Signal::SIGKILL);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // End of file on stdin is what the keeper and the init wait for.
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait();
        if !thread::panicking() {
            assert!(
                ended.as_ref().is_ok_and(ExitStatus::success),
                "the node's keeper could not clean up: {ended:?}"
            );
        }
    }
}

/// Says that a test is skipped; in CI that is a failure. Always false.
#[track_caller]
fn skip(why: &str) -> bool {
    assert!(
        env::var_os("CI").is_none_or(|ci| ci.is_empty()),
        "in CI nothing is skipped: {why}"
    );
    // Not by a print macro: libtest would hide it.
    let _ = writeln!(io::stderr(), "SKIPPED {}: {why}", name());
    false
}

fn patience() -> Duration {
    let given = env::var("CHROOT0_TEST_SECONDS").ok();
    let seconds = given.and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(PATIENCE))
}

/// The name of the test, fit for a directory.
fn name() -> String {
    let thread = thread::current();
    let full = thread.name().unwrap_or("test");
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    full.chars().map(safe).take(60).collect()
}

fn reader(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

type Ended = (
    io::Result<ExitStatus>,
    thread::Result<Vec<u8>>,
    thread::Result<Vec<u8>>,
);

fn finish(script: &str, (status, stdout, stderr): Ended) -> Output {
    let status = status.expect("the child was not waited for before");
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    let text = |bytes: thread::Result<Vec<u8>>| {
        String::from_utf8_lossy(&bytes.expect("reading does not panic")).into_owned()
    };
    Output {
        script: script.to_owned(),
        status: code.expect("it exited or was killed"),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// A file of the repository, for tests of what is in it.
#[must_use]
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
