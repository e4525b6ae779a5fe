//! Where a program's own loader looks for libraries, on this machine and later in the box: ld.so(8).

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::compiled;
use crate::elf::Target;
use crate::host::Host;
use crate::origin::Origin;

/// A list of directories.
const PATH_FILE_BYTES: u64 = 1 << 20;

/// The two families of loaders. They differ in the order of the paths and in what they know without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Family {
    Glibc,
    Musl,
}

/// One `PT_INTERP` and its rules.
#[derive(Debug, Clone)]
pub(crate) struct Loader {
    pub(crate) family: Family,
    /// The directories that are compiled into it (glibc) or in its path file (musl): searched last, on this machine.
    pub(crate) directories: Vec<PathBuf>,
    /// Where it finds a library in the box, which has neither cache nor path file.
    pub(crate) default: PathBuf,
    /// What `$LIB` stands for.
    lib: OsString,
    /// `e_machine` of its programs.
    machine: u16,
    /// Asked for once, and only where it matters: on virtual machines each question to the processor takes 10 µs.
    level: OnceCell<u8>,
}

impl Loader {
    /// The rules of the loader at `interpreter`; a file without one (a library by itself) follows glibc's.
    pub(crate) fn new(origin: &Origin, interpreter: Option<&Path>, target: Target) -> Self {
        let name = interpreter
            .and_then(Path::file_name)
            .unwrap_or_default()
            .as_bytes();
        match name.strip_prefix(b"ld-musl-").zip(interpreter) {
            Some((name, interpreter)) => Self::musl(origin, interpreter, name, target),
            None => Self::glibc(origin, interpreter, target),
        }
    }

    fn glibc(origin: &Origin, interpreter: Option<&Path>, target: Target) -> Self {
        let mut directories = interpreter
            .map(|path| compiled::directories(origin, path))
            .unwrap_or_default();
        if directories.is_empty() {
            let names: &[&str] = if target.is_64 {
                &["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
            } else {
                &["/lib", "/usr/lib"]
            };
            directories = names.iter().map(PathBuf::from).collect();
        }
        let default = directories[0].clone();
        let lib = default
            .strip_prefix("/usr")
            .or_else(|_| default.strip_prefix("/"))
            .unwrap_or(&default);
        Self {
            family: Family::Glibc,
            lib: lib.as_os_str().to_owned(),
            default,
            directories,
            machine: target.machine,
            level: first_level(origin),
        }
    }

    /// `name` is what follows `ld-musl-`: the architecture and `.so.1`.
    fn musl(origin: &Origin, interpreter: &Path, name: &[u8], target: Target) -> Self {
        let architecture = OsStr::from_bytes(name.strip_suffix(b".so.1").unwrap_or(name));
        let prefix = interpreter
            .parent()
            .and_then(Path::parent)
            .unwrap_or(Path::new("/"));
        let mut file = OsString::from("ld-musl-");
        file.push(architecture);
        file.push(".path");
        let mut text = Vec::new();
        if let Ok(file) = origin.open_regular(&prefix.join("etc").join(file)) {
            // As musl: a file that cannot be read is none.
            let _ = file.take(PATH_FILE_BYTES).read_to_end(&mut text);
        }
        let listed = text.split(|&byte| byte == b':' || byte == b'\n');
        let mut directories: Vec<PathBuf> = listed
            .map(|path| PathBuf::from(OsStr::from_bytes(path)))
            .filter(|path| path.is_absolute())
            .collect();
        if directories.is_empty() {
            directories = ["/lib", "/usr/local/lib", "/usr/lib"]
                .map(PathBuf::from)
                .to_vec();
        }
        Self {
            family: Family::Musl,
            directories,
            default: "/lib".into(),
            lib: OsString::new(),
            machine: target.machine,
            level: first_level(origin),
        }
    }

    /// Subdirectories of `glibc-hwcaps` that this processor takes, best first.
    pub(crate) fn hwcaps(&self) -> &'static [&'static str] {
        if self.family == Family::Musl {
            return &[];
        }
        match self.level() {
            4.. => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
            3 => &["x86-64-v3", "x86-64-v2"],
            2 => &["x86-64-v2"],
            _ => &[],
        }
    }

    /// What `$PLATFORM` stands for; glibc before 2.37 says "haswell" on an x86-64-v3.
    fn platforms(&self) -> &'static [&'static str] {
        match object::elf::Machine(self.machine) {
            object::elf::EM_X86_64 if self.level() >= 3 => &["haswell", "x86_64"],
            object::elf::EM_X86_64 => &["x86_64"],
            object::elf::EM_386 => &["i686", "i386"],
            object::elf::EM_AARCH64 => &["aarch64"],
            _ => &[std::env::consts::ARCH],
        }
    }

    /// The x86-64 level of this processor, 1 to 4; 0 where the program is for another kind.
    fn level(&self) -> u8 {
        let is_x86_64 = self.machine == object::elf::EM_X86_64.0;
        *self
            .level
            .get_or_init(|| if is_x86_64 { x86_64_level() } else { 0 })
    }

    /// Whether `name` is part of the loader itself: musl's libc, libm, libpthread … are all one file.
    pub(crate) fn is_itself(&self, name: &OsStr) -> bool {
        let library = name.as_bytes().strip_prefix(b"lib");
        let parts: [&[u8]; 7] = [
            b"c.",
            b"pthread.",
            b"rt.",
            b"m.",
            b"dl.",
            b"util.",
            b"xnet.",
        ];
        self.family == Family::Musl
            && library.is_some_and(|library| parts.iter().any(|part| library.starts_with(part)))
    }

    /// Whether the loader finds `directory` by itself.
    pub(crate) fn knows(&self, host: &mut Host, directory: &Path) -> bool {
        let real = host.real_directory(directory);
        real.is_some()
            && self
                .directories
                .iter()
                .any(|own| host.real_directory(own) == real)
    }

    /// The directories of an `DT_RPATH` or `DT_RUNPATH`: here, for an object whose `$ORIGIN` is `here`, and in the box, for
    /// one that lies in `there`.
    ///
    /// A relative directory would be looked for in whatever directory the program is started in: it is left out.
    pub(crate) fn expand(
        &self,
        path: &OsStr,
        here: &Path,
        there: &Path,
    ) -> Vec<(PathBuf, PathBuf)> {
        let parts = path
            .as_bytes()
            .split(|&byte| byte == b':')
            .filter(|part| !part.is_empty());
        parts
            .flat_map(|part| {
                let spellings = if contains(part, b"PLATFORM") {
                    self.platforms()
                } else {
                    &[""]
                };
                spellings.iter().map(move |platform| (part, platform))
            })
            .map(|(part, platform)| {
                let one = |origin| PathBuf::from(self.substitute(part, origin, platform));
                (one(here), one(there))
            })
            .filter(|(here, there)| here.is_absolute() && there.is_absolute())
            .map(|(here, there)| (here, normalize(&there)))
            .collect()
    }

    /// `text` with `$ORIGIN`, `$LIB` and `$PLATFORM`, also in braces, replaced.
    fn substitute(&self, text: &[u8], origin: &Path, platform: &str) -> OsString {
        let mut result = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
            result.extend_from_slice(&rest[..at]);
            let after = &rest[at + 1..];
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let (name, used) = match after.strip_prefix(b"{") {
                Some(braced) => {
                    let end = braced
                        .iter()
                        .position(|&byte| byte == b'}')
                        .unwrap_or(braced.len());
                    (&braced[..end], (end + 2).min(after.len()))
                }
                None => {
                    let end = after
                        .iter()
                        .position(|byte| !is_name(byte))
                        .unwrap_or(after.len());
                    (&after[..end], end)
                }
            };
            match name {
                b"ORIGIN" => result.extend_from_slice(origin.as_os_str().as_bytes()),
                b"LIB" => result.extend_from_slice(self.lib.as_bytes()),
                b"PLATFORM" => result.extend_from_slice(platform.as_bytes()),
                _ => result.extend_from_slice(&rest[at..=at + used]),
            }
            rest = &after[used..];
        }
        result.extend_from_slice(rest);
        OsString::from_vec(result)
    }
}

/// Known from the start where the box is for another machine: what every processor of its kind can do.
fn first_level(origin: &Origin) -> OnceCell<u8> {
    if origin.is_here() {
        OnceCell::new()
    } else {
        OnceCell::from(1)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `path` without `.`, `..` and doubled slashes. In a box that is right: none of its directories is a link.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => result.push(name),
            Component::ParentDir => drop(result.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    result
}

#[cfg(target_arch = "x86_64")]
fn x86_64_level() -> u8 {
    use std::arch::is_x86_feature_detected as has;
    let two = has!("cmpxchg16b") && has!("popcnt") && has!("sse4.2") && has!("ssse3");
    let three = has!("avx2")
        && has!("bmi1")
        && has!("bmi2")
        && has!("f16c")
        && has!("fma")
        && has!("lzcnt")
        && has!("movbe");
    let four = has!("avx512f")
        && has!("avx512bw")
        && has!("avx512cd")
        && has!("avx512dq")
        && has!("avx512vl");
    match (two, three, four) {
        (false, ..) => 1,
        (_, false, _) => 2,
        (.., false) => 3,
        _ => 4,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn x86_64_level() -> u8 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glibc() -> Loader {
        Loader {
            family: Family::Glibc,
            directories: vec!["/lib/t".into(), "/lib".into()],
            default: "/lib/t".into(),
            lib: "lib/t".into(),
            machine: object::elf::EM_X86_64.0,
            level: OnceCell::from(3),
        }
    }

    fn expanded(path: &str) -> Vec<(String, String)> {
        let pairs = glibc().expand(OsStr::new(path), Path::new("/opt/x/bin"), Path::new("/bin"));
        pairs
            .into_iter()
            .map(|(a, b)| (a.display().to_string(), b.display().to_string()))
            .collect()
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.into(), b.into())
    }

    #[test]
    fn tokens_stand_for_different_places_here_and_in_the_box() {
        assert_eq!(
            expanded("$ORIGIN/../lib"),
            [pair("/opt/x/bin/../lib", "/lib")]
        );
        assert_eq!(
            expanded("${ORIGIN}/a:/abs"),
            [pair("/opt/x/bin/a", "/bin/a"), pair("/abs", "/abs")]
        );
        assert_eq!(expanded("/x/$LIB"), [pair("/x/lib/t", "/x/lib/t")]);
        assert_eq!(expanded("/x/$PLATFORM").len(), 2);
        assert_eq!(
            expanded("/$ORIGINAL/${X}"),
            [pair("/$ORIGINAL/${X}", "/$ORIGINAL/${X}")]
        );
        assert_eq!(expanded("/a${ORIGIN"), [pair("/a/opt/x/bin", "/a/bin")]);
    }

    #[test]
    fn no_path_leads_out_of_the_box_or_into_the_current_directory() {
        assert_eq!(
            expanded("$ORIGIN/../../../../etc"),
            [pair("/opt/x/bin/../../../../etc", "/etc")]
        );
        assert_eq!(expanded("lib::.:$LIB"), []);
    }

    #[test]
    fn musls_own_parts_are_the_loader() {
        let target = Target {
            is_64: true,
            is_big_endian: false,
            machine: 62,
        };
        let musl = Loader::musl(
            &Origin::default(),
            Path::new("/no/such/lib/ld-musl-x86_64.so.1"),
            b"x86_64.so.1",
            target,
        );
        assert_eq!(
            musl.directories,
            ["/lib", "/usr/local/lib", "/usr/lib"].map(PathBuf::from)
        );
        assert!(musl.is_itself(OsStr::new("libc.musl-x86_64.so.1")));
        assert!(!musl.is_itself(OsStr::new("libz.so.1")));
        assert!(!glibc().is_itself(OsStr::new("libc.so.6")));
    }
}
