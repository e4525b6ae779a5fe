//! /etc/ld.so.conf, for machines without a cache: ldconfig(8).

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::origin::Origin;

/// Files that one ld.so.conf may include, at any depth.
const INCLUDES: usize = 1_000;

/// The directories of /etc/ld.so.conf, `include` followed, in order.
pub(crate) fn read(origin: &Origin, path: &Path) -> Vec<PathBuf> {
    let (mut directories, mut left) = (Vec::new(), INCLUDES);
    read_into(origin, path, &mut directories, &mut left);
    directories
}

fn read_into(origin: &Origin, path: &Path, directories: &mut Vec<PathBuf>, left: &mut usize) {
    let Some(rest) = left.checked_sub(1) else {
        return;
    };
    *left = rest;
    let mut text = Vec::new();
    let Ok(file) = origin.open_regular(path) else {
        return;
    };
    if file.take(1 << 20).read_to_end(&mut text).is_err() {
        return;
    }
    for line in text.split(|&byte| byte == b'\n') {
        let line = line
            .split(|&byte| byte == b'#')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let mut words = line.split(u8::is_ascii_whitespace);
        match words.next().unwrap_or_default() {
            b"include" => {
                for pattern in words.filter(|word| !word.is_empty()) {
                    let pattern = path
                        .parent()
                        .unwrap_or(path)
                        .join(OsStr::from_bytes(pattern));
                    for included in glob(origin, &pattern) {
                        read_into(origin, &included, directories, left);
                    }
                }
            }
            b"hwcap" => {}
            _ => {
                let parts =
                    line.split(|&byte| byte == b':' || byte == b',' || byte.is_ascii_whitespace());
                let paths = parts.map(|part| PathBuf::from(OsStr::from_bytes(part)));
                directories.extend(paths.filter(|path| path.is_absolute()));
            }
        }
    }
}

/// The files that `pattern` names, sorted; wildcards are understood in its last component, as distributions use them.
fn glob(origin: &Origin, pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let wants_hidden = name.as_bytes().starts_with(b".");
    let names = origin.names(directory).into_iter();
    names
        .filter(|found| wants_hidden || !found.as_bytes().starts_with(b"."))
        .filter(|found| matches(name.as_bytes(), found.as_bytes()))
        .map(|found| directory.join(found))
        .collect()
}

/// Whether `name` fits a pattern of `*`, `?` and plain bytes; glob(7).
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // After a mismatch the latest star swallows one byte more: linear in practice, and no recursion.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                (p, n) = (p + 1, n + 1);
            }
            _ => {
                let Some((at, swallowed)) = star else {
                    return false;
                };
                star = Some((at, swallowed + 1));
                (p, n) = (at + 1, swallowed + 1);
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.dpkg", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.conf", "ab.conf", false),
            ("x", "x", true),
            ("*", "", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_configuration_that_includes_itself_ends() {
        let directory = std::env::temp_dir().join(format!("mkbox-conf-{}", std::process::id()));
        fs::create_dir_all(directory.join("d")).unwrap();
        fs::write(
            directory.join("conf"),
            "/a # why\ninclude d/*.conf\n/z /y:/x\nhwcap 1 no\n",
        )
        .unwrap();
        fs::write(directory.join("d/1.conf"), "/one\nrelative\n").unwrap();
        fs::write(directory.join("d/2.conf"), "include ../conf\n").unwrap();
        let found = read(&Origin::default(), &directory.join("conf"));
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found[..3], ["/a", "/one", "/a"].map(PathBuf::from));
        assert_eq!(
            found[found.len() - 3..],
            ["/z", "/y", "/x"].map(PathBuf::from)
        );
        assert!(found.len() < 6 * INCLUDES);
    }
}
