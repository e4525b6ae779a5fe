//! Chain loading: the rest of the command line replaces this process, as in env(1).

use std::ffi::{CStr, CString, OsString};
use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, access, execv, execve, execveat};

use crate::{ToErrno, callers_mask, restore_sigpipe, set_disposition, set_mask};

/// Why CMD does not run.
#[derive(Debug)]
pub struct ExecError {
    name: OsString,
    errno: Errno,
    /// The file was there all the same.
    is_there: bool,
}

impl ExecError {
    /// Of the attempt to run `name`.
    #[must_use]
    pub fn new(name: OsString, errno: impl ToErrno) -> Self {
        Self {
            name,
            errno: errno.to_errno(),
            is_there: false,
        }
    }

    /// As env(1) and the shells have it: 127 not found, 126 found and not runnable.
    #[must_use]
    pub fn status(&self) -> u8 {
        if self.errno == Errno::ENOENT {
            127
        } else {
            126
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exec({}): {}",
            self.name.to_string_lossy(),
            self.errno.desc()
        )?;
        if self.errno == Errno::ENOENT && self.is_there {
            f.write_str(" (its interpreter or loader is not there)")?;
        }
        Ok(())
    }
}

impl std::error::Error for ExecError {}

/// Replaces this process by `command`, looked up in PATH; returns only when that failed.
///
/// Environment, directories and the descriptors that are not close-on-exec stay as they are; SIGPIPE and the mask become
/// what the caller of this program had.
///
/// An empty `command` is "not found".
#[must_use]
pub fn exec(command: &[OsString]) -> ExecError {
    restore_signals();
    let error = Command::new(command).exec();
    // We are still here, and go on to say why: that must not end us, whoever has stopped reading.
    set_disposition(libc::SIGPIPE, true);
    error
}

/// Gives CMD the disposition of SIGPIPE and the mask that the caller of this program had, as if we had not been there.
pub fn restore_signals() {
    restore_sigpipe();
    // No kernel refuses it.
    let _ = set_mask(callers_mask());
}

/// A program that is there.
#[derive(Debug)]
pub enum Program {
    /// By path: its name is what ps(1) shows.
    Path(CString),
    /// By descriptor, where the path may lead elsewhere by then.
    File(OwnedFd),
}

impl Program {
    /// By path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self::Path(c_string(path.as_os_str().as_bytes()))
    }
}

/// What is run and with what.
#[derive(Debug)]
pub struct Command {
    name: OsString,
    /// `argv`, the name included.
    arguments: Vec<CString>,
    /// `NAME=VALUE`; None is that of this process.
    environment: Option<Vec<CString>>,
    /// What is run whatever the name means by then.
    program: Option<Program>,
}

impl Command {
    /// Of `argv`; an empty one, or an empty name, is "not found".
    #[must_use]
    pub fn new(argv: &[OsString]) -> Self {
        let arguments = argv
            .iter()
            .map(|argument| c_string(argument.as_bytes()))
            .collect();
        Self {
            name: argv.first().cloned().unwrap_or_default(),
            arguments,
            environment: None,
            program: None,
        }
    }

    /// With `variables` instead of the environment of this process. The PATH among them is where it is looked up.
    #[must_use]
    pub fn with_environment(mut self, variables: &[(OsString, OsString)]) -> Self {
        self.environment = Some(variables.iter().cloned().map(variable).collect());
        self
    }

    /// PATH, else where every system has its programs.
    fn path(&self) -> OsString {
        let path = match &self.environment {
            None => std::env::var_os("PATH"),
            Some(variables) => variables
                .iter()
                .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
                .map(|path| OsString::from_vec(path.to_vec())),
        };
        path.unwrap_or_else(|| "/bin:/usr/bin".into())
    }

    /// With a program that was found before this process went elsewhere: [`Command::exec`] looks for none.
    #[must_use]
    pub fn found(mut self, program: Program) -> Self {
        self.program = Some(program);
        self
    }

    /// As a user reads it in a plan.
    #[must_use]
    pub fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        format!("execve({})", words.collect::<Vec<_>>().join(" "))
    }

    /// Replaces this process by the command, looked up in PATH as the shells do it; returns only when that failed.
    ///
    /// Not by `std::process::Command`: that one gives SIGPIPE its default even where the caller ignores it, and
    /// musl's execvp runs no script without `#!`, which the shells and glibc do.
    #[must_use]
    pub fn exec(&self) -> ExecError {
        if let Some(program) = &self.program {
            return self.exec_program(program, true);
        }
        let name = self.name.as_bytes();
        if name.is_empty() || name.contains(&b'/') {
            let path = c_string(name);
            let errno = self.try_path(&path);
            return self.failed(errno, access(path.as_c_str(), AccessFlags::F_OK).is_ok());
        }
        let path = self.path();
        let mut answer = Errno::ENOENT;
        let mut is_there = false;
        for dir in path.as_bytes().split(|&byte| byte == b':') {
            let dir = if dir.is_empty() { b"." } else { dir };
            let file = c_string(&[dir, b"/", name].concat());
            match self.try_path(&file) {
                Errno::ENOENT => is_there |= access(file.as_c_str(), AccessFlags::F_OK).is_ok(),
                Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                // Another directory may have one that runs.
                Errno::EACCES => answer = Errno::EACCES,
                errno => return self.failed(errno, true),
            }
        }
        self.failed(answer, is_there)
    }

    /// Whether there is a program to run, as it looks from here and now.
    ///
    /// # Errors
    /// It is not found, or found and not executable.
    pub fn find(&self) -> Result<(), ExecError> {
        let name = self.name.as_bytes();
        let path = self.path();
        let candidates: Vec<PathBuf> = if name.is_empty() || name.contains(&b'/') {
            vec![PathBuf::from(&self.name)]
        } else {
            std::env::split_paths(&path)
                .map(|dir| dir.join(&self.name))
                .collect()
        };
        let mut answer = Errno::ENOENT;
        for file in candidates {
            match access(&file, AccessFlags::X_OK) {
                Ok(()) if file.is_file() => return Ok(()),
                Ok(()) | Err(Errno::EACCES) => answer = Errno::EACCES,
                Err(_) => {}
            }
        }
        Err(self.failed(answer, false))
    }

    /// execve(2), and the shell for a text without `#!`.
    fn try_path(&self, path: &CString) -> Errno {
        let errno = self.run(path, &self.arguments);
        if errno != Errno::ENOEXEC {
            return errno;
        }
        let mut script = vec![c"/bin/sh".to_owned(), path.clone()];
        script.extend(self.arguments.iter().skip(1).cloned());
        self.run(c"/bin/sh", &script);
        Errno::ENOEXEC
    }

    fn run(&self, path: &CStr, arguments: &[CString]) -> Errno {
        let Err(errno) = match &self.environment {
            None => execv(path, arguments),
            Some(variables) => execve(path, arguments, variables),
        };
        errno
    }

    /// Replaces this process by `program`, found before this process went elsewhere, with or without the environment;
    /// returns only when that failed.
    ///
    /// execveat(2) with `AT_EMPTY_PATH`, Linux 3.19. A script behind a descriptor is "not found": its interpreter could
    /// not open it.
    #[must_use]
    pub fn exec_program(&self, program: &Program, environment: bool) -> ExecError {
        let variables: Vec<CString> = match &self.environment {
            Some(given) => given.clone(),
            None => std::env::vars_os()
                .filter(|_| environment)
                .map(variable)
                .collect(),
        };
        let errno = match program {
            Program::Path(path) => execve(path, &self.arguments, &variables).err(),
            Program::File(fd) => {
                execveat(fd, c"", &self.arguments, &variables, AtFlags::AT_EMPTY_PATH).err()
            }
        };
        self.failed(errno.unwrap_or(Errno::ENOENT), true)
    }

    fn failed(&self, errno: Errno, is_there: bool) -> ExecError {
        ExecError {
            name: self.name.clone(),
            errno,
            is_there,
        }
    }
}

fn variable((mut name, value): (OsString, OsString)) -> CString {
    name.push("=");
    name.push(value);
    c_string(&name.into_vec())
}

/// An argument or path never holds a NUL: it came as a C string, or was checked where it was read.
fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_found_is_127_and_not_runnable_126() {
        let missing = exec(&["/no/such/program".into()]);
        assert_eq!(missing.status(), 127);
        assert_eq!(
            missing.to_string(),
            "exec(/no/such/program): No such file or directory"
        );
        assert_eq!(exec(&["no-such-program".into()]).status(), 127);
        assert_eq!(exec(&["/".into()]).status(), 126);
        assert_eq!(
            exec(&["/".into()]).to_string(),
            "exec(/): Permission denied"
        );
        assert_eq!(exec(&[]).status(), 127);
        assert_eq!(exec(&["".into()]).status(), 127);
    }

    #[test]
    fn what_can_be_found_is_told_before_it_is_run() {
        let find = |name: &str| {
            Command::new(&[name.into()])
                .find()
                .map_err(|error| error.status())
        };
        assert_eq!(find("sh"), Ok(()));
        assert_eq!(find("/bin/sh"), Ok(()));
        assert_eq!(find("no-such-program"), Err(127));
        assert_eq!(find("/no/such"), Err(127));
        assert_eq!(find(""), Err(127));
        assert_eq!(find("/bin"), Err(126));
        assert_eq!(find("/proc/version"), Err(126));
    }

    #[test]
    fn a_program_whose_interpreter_is_missing_says_so() {
        let path = std::env::temp_dir().join(format!("chroot0-exec-{}", std::process::id()));
        std::fs::write(&path, "#!/no/such/interpreter\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        let error = exec(&[path.clone().into()]);
        std::fs::remove_file(&path).unwrap();
        assert!(
            error
                .to_string()
                .ends_with("(its interpreter or loader is not there)"),
            "{error}"
        );
    }
}
