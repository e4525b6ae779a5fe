//! What programs look for while they run and no ELF file tells of: `--with nss,locale,terminfo,certs,tz` or a path.
//!
//! The paths are those of Debian, Fedora, SUSE and Alpine; what a machine has of them is taken, to the same path.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;
use crate::locales;
use crate::origin::Origin;

/// Libraries of NSS that work without a daemon of the host. In glibc 2.34 and later libc itself has what they had.
pub(crate) const NSS_LIBRARIES: [&str; 3] =
    ["libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2"];
const NSS_FILES: [&str; 5] = [
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
];
const TERMINFO: [&str; 4] = [
    "/etc/terminfo",
    "/lib/terminfo",
    "/usr/lib/terminfo",
    "/usr/share/terminfo",
];
/// What people sit at, and what their multiplexers say they are.
const TERMINALS: [&str; 10] = [
    "ansi",
    "dumb",
    "linux",
    "screen",
    "screen-256color",
    "tmux",
    "tmux-256color",
    "vt100",
    "xterm",
    "xterm-256color",
];
/// The bundle of all certificates, where curl, OpenSSL, GnuTLS, Go and Python look for it.
const CERTIFICATES: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
];
/// Debian's OpenSSL looks for `cert.pem` here, where Debian has only links to single certificates.
const OPENSSL_DIRECTORY: &str = "/usr/lib/ssl";
const ZONES: &str = "/usr/share/zoneinfo";
/// Files that one directory of `--with` may bring, at any depth.
const FILES: usize = 16_384;

/// One word of `--with`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bundle {
    /// Users and hosts: nsswitch.conf(5)
    Nss,
    /// locale(7): C.UTF-8 and those of the environment
    Locale,
    /// terminfo(5): the usual terminals and `$TERM`
    Terminfo,
    /// The certificates of TLS authorities
    Certs,
    /// tzset(3): the local time zone, `$TZ` and UTC
    Tz,
    /// A file, with its libraries if it is one itself, or all files of a directory
    Path(PathBuf),
}

impl FromStr for Bundle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "nss" => Self::Nss,
            "locale" => Self::Locale,
            "terminfo" => Self::Terminfo,
            "certs" => Self::Certs,
            "tz" => Self::Tz,
            path if path.contains('/') => Self::Path(path.into()),
            _ => return Err("is none of nss, locale, terminfo, certs, tz, and no path".into()),
        })
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nss => "nss",
            Self::Locale => "locale",
            Self::Terminfo => "terminfo",
            Self::Certs => "certs",
            Self::Tz => "tz",
            Self::Path(path) => return path.display().fmt(f),
        })
    }
}

/// What a bundle is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Files, each at the same path in the box.
    pub(crate) files: Vec<PathBuf>,
    /// Symbolic links: path and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// What is asked of the environment. A box for another machine is made the same from anywhere.
pub(crate) fn variable(origin: &Origin, name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    value.filter(|value| origin.is_here() && !value.is_empty())
}

impl Bundle {
    /// What the machine has of it.
    ///
    /// # Errors
    /// It has nothing of it.
    pub(crate) fn contents(&self, origin: &Origin) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        match self {
            // Its libraries are looked for as the loader does, for each program.
            Self::Nss => {
                contents.files = existing(origin, NSS_FILES.map(PathBuf::from));
                return Ok(contents);
            }
            Self::Locale => contents.files = locales::files(origin)?,
            Self::Terminfo => contents.files = terminals(origin),
            Self::Certs => certificates(origin, &mut contents),
            Self::Tz => contents.files = zones(origin)?,
            Self::Path(path) => contents.files = below(origin, path)?,
        }
        if contents.files.is_empty() {
            let looked_for = match self {
                Self::Locale => locales::LOCALES,
                Self::Terminfo => "/usr/share/terminfo",
                Self::Certs => CERTIFICATES[0],
                _ => ZONES,
            };
            let reason = format!("nothing of it is here (is there {looked_for}?)");
            return Err(self.fail(&reason));
        }
        Ok(contents)
    }

    fn fail(&self, reason: &str) -> Error {
        // A path may be long; the other words are as they are.
        let shown = crate::text::short(Path::new(&self.to_string()));
        Error::Failed(format!("--with {shown}: {reason}"))
    }
}

/// Those of `paths` at which there is a file.
pub(crate) fn existing(origin: &Origin, paths: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let is_file = |path: &PathBuf| origin.metadata(path).is_ok_and(|file| file.is_file());
    paths.into_iter().filter(is_file).collect()
}

/// All files below `path`, or `path` itself.
///
/// # Errors
/// There is none, or there are too many.
pub(crate) fn below(origin: &Origin, path: &Path) -> Result<Vec<PathBuf>, Error> {
    let fail = |reason: &str| Err(Bundle::Path(path.into()).fail(reason));
    match origin.metadata(path) {
        Err(_) => return fail("no such file or directory"),
        Ok(file) if file.is_file() => return Ok(vec![path.to_owned()]),
        Ok(file) if !file.is_dir() => return fail("neither a file nor a directory"),
        Ok(_) => {}
    }
    let (mut found, mut left, mut seen) = (Vec::new(), vec![path.to_owned()], Vec::new());
    while let Some(directory) = left.pop() {
        // A link may lead back up.
        let real = origin.canonicalize(&directory);
        if real.is_none() || seen.contains(&real) {
            continue;
        }
        seen.push(real);
        for name in origin.names(&directory) {
            let path = directory.join(name);
            match origin.metadata(&path) {
                Ok(file) if file.is_dir() => left.push(path),
                Ok(file) if file.is_file() => found.push(path),
                _ => {}
            }
        }
        if found.len() + left.len() > FILES {
            return fail(&format!("more than {FILES} files"));
        }
    }
    found.sort();
    Ok(found)
}

fn terminals(origin: &Origin) -> Vec<PathBuf> {
    let mut names: Vec<String> = TERMINALS.map(str::to_owned).to_vec();
    names.extend(
        variable(origin, "TERM").filter(|name| !name.contains('/') && !names.contains(name)),
    );
    let paths = names.iter().flat_map(|name| {
        let initial = name.get(..1).unwrap_or_default();
        TERMINFO.map(|root| Path::new(root).join(initial).join(name))
    });
    existing(origin, paths)
}

fn certificates(origin: &Origin, contents: &mut Contents) {
    contents.files = existing(origin, CERTIFICATES.map(PathBuf::from));
    let own = Path::new(OPENSSL_DIRECTORY).join("cert.pem");
    let is_debians = origin
        .metadata(Path::new(OPENSSL_DIRECTORY))
        .is_ok_and(|it| it.is_dir());
    if let Some(first) = contents.files.first()
        && is_debians
        && origin.metadata(&own).is_err()
    {
        contents.links.push((own, first.clone()));
    }
}

fn zones(origin: &Origin) -> Result<Vec<PathBuf>, Error> {
    let zones = Path::new(ZONES);
    let local = Path::new("/etc/localtime");
    let mut paths = vec![local.to_owned(), "/etc/timezone".into(), zones.join("UTC")];
    // What the link leads to is the name of the zone.
    let real = origin.canonicalize(local);
    paths.extend(real.filter(|real| real.starts_with(zones)));
    if let Some(zone) = variable(origin, "TZ") {
        let path = zones.join(zone.trim_start_matches(':'));
        if path
            .components()
            .all(|part| part.as_os_str() != OsStr::new(".."))
            && path.starts_with(zones)
        {
            paths.push(path);
        }
    }
    paths.dedup();
    Ok(existing(origin, paths))
}

/// Whether nsswitch.conf(5) of the machine names `service`.
pub(crate) fn names_service(origin: &Origin, service: &str) -> bool {
    let mut text = String::new();
    let read = origin
        .open_regular(Path::new(NSS_FILES[0]))
        .map(|file| file.take(1 << 20).read_to_string(&mut text));
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    read.is_ok()
        && lines
            .flat_map(str::split_whitespace)
            .any(|word| word == service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A machine of a test's own: paths and their text, or a link after `->`.
    fn machine(name: &str, files: &[&str]) -> (Origin, PathBuf) {
        let root =
            std::env::temp_dir().join(format!("mkbox-bundles-{}-{name}", std::process::id()));
        for file in files {
            let (file, target) = file
                .split_once("->")
                .map_or((*file, None), |(a, b)| (a, Some(b)));
            let path = root.join(&file[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match target {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, "passwd: files sss # compat\n").unwrap(),
            }
        }
        (Origin::new(Some(&root)).unwrap(), root)
    }

    fn files(bundle: &str, origin: &Origin) -> Vec<String> {
        let contents = bundle.parse::<Bundle>().unwrap().contents(origin).unwrap();
        contents
            .files
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn each_distribution_has_its_own_places() {
        let (debian, a) = machine(
            "debian",
            &[
                "/etc/ssl/certs/ca-certificates.crt",
                "/usr/lib/ssl/openssl.cnf",
                "/etc/nsswitch.conf",
                "/lib/terminfo/x/xterm",
                "/usr/share/zoneinfo/Europe/Oslo",
                "/usr/share/zoneinfo/UTC",
                "/etc/localtime->/usr/share/zoneinfo/Europe/Oslo",
                "/usr/lib/locale/C.utf8/LC_CTYPE",
                "/usr/lib/locale/locale-archive",
            ],
        );
        let certs = Bundle::Certs.contents(&debian).unwrap();
        assert_eq!(certs.files, [Path::new(CERTIFICATES[0])]);
        assert_eq!(
            certs.links,
            [("/usr/lib/ssl/cert.pem".into(), CERTIFICATES[0].into())]
        );
        assert!("everything".parse::<Bundle>().is_err());
        assert_eq!(files("nss", &debian), ["/etc/nsswitch.conf"]);
        assert!(names_service(&debian, "sss") && !names_service(&debian, "compat"));
        assert_eq!(files("terminfo", &debian), ["/lib/terminfo/x/xterm"]);
        assert_eq!(
            files("tz", &debian),
            [
                "/etc/localtime",
                "/usr/share/zoneinfo/UTC",
                "/usr/share/zoneinfo/Europe/Oslo"
            ]
        );
        assert_eq!(
            files("locale", &debian),
            ["/usr/lib/locale/C.utf8/LC_CTYPE"]
        );
        let (fedora, b) = machine(
            "fedora",
            &[
                "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                "/etc/pki/tls/certs/ca-bundle.crt->/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
                "/usr/share/terminfo/v/vt100",
            ],
        );
        assert_eq!(files("certs", &fedora).len(), 2);
        assert_eq!(files("terminfo", &fedora), ["/usr/share/terminfo/v/vt100"]);
        assert_eq!(
            Bundle::Tz.contents(&fedora).unwrap_err().to_string(),
            "--with tz: nothing of it is here (is there /usr/share/zoneinfo?)"
        );
        fs::remove_dir_all(a).unwrap();
        fs::remove_dir_all(b).unwrap();
    }

    #[test]
    fn a_directory_is_taken_whole_and_its_links_do_not_go_round() {
        let (origin, root) = machine(
            "whole",
            &["/d/a", "/d/e/b", "/d/e/up->../..", "/d/none->/nowhere"],
        );
        assert_eq!(files("/d", &origin), ["/d/a", "/d/e/b"]);
        assert_eq!(files("/d/a", &origin), ["/d/a"]);
        let missing = Bundle::Path("/no".into()).contents(&origin).unwrap_err();
        assert_eq!(missing.to_string(), "--with /no: no such file or directory");
        fs::remove_dir_all(root).unwrap();
    }
}
