//! What the tests of this crate share: starting `pause`, watching it in /proc, ending it whatever happens.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, geteuid, sysconf};

/// The file under test: `$CHROOT0_BIN/pause`, else the one cargo built with the tests.
pub(crate) fn pause() -> String {
    shipped("pause").unwrap_or_else(|| env!("CARGO_BIN_EXE_pause").to_owned())
}

/// The same for `pause-hold`, which is not installed: who tests what is installed tests cargo's.
pub(crate) fn pause_hold() -> String {
    shipped("pause-hold")
        .filter(|file| Path::new(file).exists())
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_pause-hold").to_owned())
}

fn shipped(program: &str) -> Option<String> {
    let dir = env::var_os("CHROOT0_BIN").filter(|dir| !dir.is_empty())?;
    let file = PathBuf::from(dir).join(program);
    Some(file.into_os_string().into_string().unwrap())
}

/// `pause -- perl -e SCRIPT`, with pipes.
pub(crate) fn init(script: &str) -> Command {
    let mut command = Command::new(pause());
    command
        .args(["--", "perl", "-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// `command` as PID 1 of a new pid namespace with a /proc of its own; needs root or user namespaces. It goes with the `unshare`
/// that is the process started here, and which ends as it does.
pub(crate) fn as_pid_1(command: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    if !geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare
        .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .args(command);
    unshare
}

/// `command` by perl, which every Debian has: it can set masks and take signals without a race, a shell cannot.
pub(crate) fn perl(script: &str) -> Command {
    let mut perl = Command::new("perl");
    perl.args(["-e", script]).env("PAUSE", pause());
    perl
}

/// Perl's `orphans(N)`: makes N children, never waits, says `done`. Those that ended become orphans as zombies when the caller ends,
/// and one in twenty lives on until then.
pub(crate) const ORPHANS: &str = r#"
    use POSIX;
    sub orphans {
        pipe(my $end, my $keep) or die;
        for my $n (1 .. $_[0]) {
            next if fork // die "fork: $!";
            POSIX::_exit(0) if $n % 20;
            close $keep;
            sysread $end, my $nothing, 1;
            POSIX::_exit(0);
        }
        syswrite STDOUT, "done\n";
    }
"#;

/// A process that is gone after the test, whatever the test says.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Its status as a shell has it.
    #[track_caller]
    pub(crate) fn status(&mut self) -> i32 {
        let mut status = None;
        wait_until("the end of the process", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        shell_status(status.unwrap())
    }

    pub(crate) fn lines(&mut self) -> Lines {
        Lines::of(self.0.stdout.take().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deref for Running {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

pub(crate) fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// What a process says, line by line.
pub(crate) struct Lines(Receiver<String>);

impl Lines {
    /// Read by a thread, because a read knows no deadline.
    fn of(stdout: ChildStdout) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let _ = lines
                .map(|line| sender.send(line))
                .take_while(Result::is_ok)
                .count();
        });
        Self(lines)
    }

    /// The next line.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.0.recv_timeout(PATIENCE).expect("a line")
    }

    /// All lines until the end of the file.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut lines = vec![];
        loop {
            match self.0.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("no end after {lines:?}"),
            }
        }
    }
}

/// Runs to its end, within the time: status as a shell has it, stdout, stderr.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> (i32, String, String) {
    let mut started = Running::start(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let stdout = text_of(started.stdout.take().unwrap());
    let stderr = text_of(started.stderr.take().unwrap());
    let text =
        |receiver: Receiver<String>| receiver.recv_timeout(PATIENCE).expect("an end of the file");
    (started.status(), text(stdout), text(stderr))
}

/// All that comes from `pipe`, read by a thread.
fn text_of(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, text) = mpsc::channel();
    thread::spawn(move || {
        let mut all = String::new();
        pipe.read_to_string(&mut all).unwrap();
        let _ = sender.send(all);
    });
    text
}

/// How long anything may take on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `state`.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut state: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !state() {
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        thread::yield_now();
    }
}

/// Name, state and parent of process `pid`, from /proc/PID/stat.
pub(crate) fn stat(pid: i32) -> Option<(String, char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(") ")?;
    let mut fields = tail.split(' ');
    let name = head.split_once('(')?.1.to_owned();
    Some((
        name,
        fields.next()?.chars().next()?,
        fields.next()?.parse().ok()?,
    ))
}

/// The process is gone, or nothing but a zombie.
pub(crate) fn ended(pid: i32) -> bool {
    stat(pid).is_none_or(|(_, state, _)| state == 'Z')
}

/// The processes whose parent is `pid`, zombies too.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|child| stat(*child).is_some_and(|(_, _, parent)| parent == pid))
        .collect()
}

/// A line of /proc/PID/FILE that begins with `key:`, without it.
pub(crate) fn proc_line(pid: i32, file: &str, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {text}"))
        .trim()
        .to_owned()
}

pub(crate) fn page_in_kb() -> i64 {
    sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() / 1024
}

/// Of what is called `kind` in smaps_rollup. `Anonymous` is what no other process can share: a page of the file counts as private
/// while nobody else runs it, and as dirty while it is not on the disk.
pub(crate) fn kb(pid: i32, kind: &str) -> i64 {
    proc_line(pid, "smaps_rollup", kind)
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

pub(crate) fn resident_kb(pid: i32) -> i64 {
    kb(pid, "Rss")
}

pub(crate) fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Waits until `pid` is a pause that has nothing left to do: it sleeps nowhere else.
#[track_caller]
pub(crate) fn wait_until_it_holds(pid: i32) {
    wait_until(
        "a pause that holds",
        || matches!(stat(pid), Some((name, 'S', _)) if name == "pause"),
    );
}

/// `pause-hold` takes no notice of arguments.
pub(crate) fn hold(program: &str) -> Running {
    let pause = Running::start(Command::new(program).args(["--id", "foo"]));
    wait_until_it_holds(pause.pid());
    pause
}

/// Waits until `parent` has a child that is a pause that has nothing left to do; its pid.
#[track_caller]
pub(crate) fn wait_for_pause_below(parent: i32) -> i32 {
    let mut found = None;
    wait_until("a pause that holds", || {
        found = children(parent).first().copied();
        found.is_some_and(|pid| matches!(stat(pid), Some((name, 'S', _)) if name == "pause"))
    });
    found.unwrap()
}

/// A directory of this test process, for `name`.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let dir = env::temp_dir().join(format!("pause-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}
