//! A tar archive, plain or compressed by gzip or zstd: ustar, pax and GNU's, read by the crate `tar`, of which nothing writes.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::extract::{Extractor, Node, What, clean};
use super::reader::{Budget, Seekable};
use super::reason;
use super::whiteout::whiteout;
use super::zstd;
use crate::error::Error;

const GZIP: &[u8] = b"\x1f\x8b";
/// Magics of what we do not read, and what does.
const OTHERS: [(&[u8], &str); 3] = [
    (
        b"\xfd7zXZ\0",
        "is compressed by xz (xz -d makes it readable)",
    ),
    (
        b"BZh",
        "is compressed by bzip2 (bzip2 -d makes it readable)",
    ),
    (b"\x7fELF", "is a program (--copy takes programs)"),
];
const NEITHER: &str = "is no directory, tar archive (plain, gzip or zstd) or OCI image layout";
/// Everything before the contents of a member: its long name, its pax header.
const HEADER_BYTES: u64 = 1 << 20;
/// Members of an archive that is looked through for an image layout.
const MEMBERS: usize = 1 << 20;

/// Whether `file` begins as an archive does.
pub(super) fn check(file: &File) -> Result<(), &'static str> {
    let mut head = [0; 512];
    let read = file.read_at(&mut head, 0).unwrap_or(0);
    check_head(&head[..read])
}

fn check_head(head: &[u8]) -> Result<(), &'static str> {
    if let Some((_, reason)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(reason);
    }
    if is_compressed(head) {
        return Ok(());
    }
    let header: Option<&[u8; 512]> = head.try_into().ok();
    let is_tar = header.is_some_and(|bytes| {
        let header = tar::Header::from_byte_slice(bytes);
        bytes[257..].starts_with(b"ustar")
            || header
                .cksum()
                .is_ok_and(|sum| sum > 0 && sum == checksum(bytes))
    });
    // An empty archive is zeros.
    let is_empty = header.is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0));
    if is_tar || is_empty {
        Ok(())
    } else {
        Err(NEITHER)
    }
}

fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(GZIP) || head.starts_with(zstd::MAGIC)
}

/// As tar(5) has it: the sum of all bytes, those of the sum itself taken for blanks.
fn checksum(header: &[u8; 512]) -> u32 {
    let byte = |(at, &byte): (usize, &u8)| {
        if (148..156).contains(&at) {
            32
        } else {
            u32::from(byte)
        }
    };
    header.iter().enumerate().map(byte).sum()
}

/// Where the members of a plain archive are.
#[derive(Debug)]
pub(super) struct Contents {
    members: HashMap<PathBuf, (u64, u64)>,
}

impl Contents {
    pub(super) fn is_layout(&self) -> bool {
        ["/oci-layout", "/index.json"]
            .iter()
            .all(|name| self.members.contains_key(Path::new(name)))
    }

    /// Offset and length of a member.
    pub(super) fn find(&self, path: &Path) -> Option<(u64, u64)> {
        self.members.get(path).copied()
    }
}

/// Looks through an archive that is not compressed; None where that is not possible.
pub(super) fn index(file: &File) -> Option<Contents> {
    let mut head = [0; 4];
    let read = file.read_at(&mut head, 0).ok()?;
    if is_compressed(&head[..read]) {
        return None;
    }
    let budget = Budget::default();
    let mut archive = tar::Archive::new(budget.of(Seekable { file, at: 0 }));
    let mut members = HashMap::new();
    let mut entries = archive.entries_with_seek().ok()?;
    while let Some(entry) = budget.within(HEADER_BYTES, || entries.next()) {
        let Ok(entry) = entry else {
            // It is told when the archive is extracted.
            break;
        };
        if entry.header().entry_type().is_file()
            && let Ok(path) = clean(&entry.path_bytes())
        {
            members.insert(path, (entry.raw_file_position(), entry.size()));
        }
        if members.len() == MEMBERS {
            return None;
        }
    }
    Some(Contents { members })
}

/// Extracts an archive, whichever way it is compressed; with the whiteouts of a layer if it `is_layer`.
pub(super) fn extract(
    reader: impl Read,
    extractor: &mut Extractor<'_>,
    is_layer: bool,
) -> Result<(), Error> {
    let mut reader = BufReader::with_capacity(128 << 10, reader);
    let head = reader.fill_buf();
    let head = head.map_err(|error| extractor.fail(Path::new("its beginning"), &reason(&error)))?;
    let (is_gzip, is_zstd) = (head.starts_with(GZIP), head.starts_with(zstd::MAGIC));
    if let Some((_, reason)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(extractor.fail(Path::new("a layer"), reason));
    }
    if is_gzip {
        members(MultiGzDecoder::new(&mut reader), extractor, is_layer)
    } else if is_zstd {
        members(zstd::Frames::new(&mut reader), extractor, is_layer)
    } else {
        members(&mut reader, extractor, is_layer)
    }
}

fn members(reader: impl Read, extractor: &mut Extractor<'_>, is_layer: bool) -> Result<(), Error> {
    let budget = Budget::default();
    let mut archive = tar::Archive::new(budget.of(reader));
    let mut last = PathBuf::from("its beginning");
    let broken = |extractor: &Extractor<'_>, last: &Path, error: &std::io::Error| {
        extractor.fail(
            last,
            &format!("behind it the archive is broken: {}", reason(error)),
        )
    };
    let mut entries = archive
        .entries()
        .map_err(|error| broken(extractor, &last, &error))?;
    while let Some(entry) = budget.within(HEADER_BYTES, || entries.next()) {
        let mut entry = entry.map_err(|error| broken(extractor, &last, &error))?;
        let name = PathBuf::from(OsStr::from_bytes(&entry.path_bytes()));
        let path = clean(&entry.path_bytes()).map_err(|problem| extractor.fail(&name, problem))?;
        if !is_layer || !whiteout(&path, extractor)? {
            member(&mut entry, &path, extractor)?;
        }
        // What was not wanted is skipped here, where it may be long.
        std::io::copy(&mut entry, &mut std::io::sink())
            .map_err(|error| broken(extractor, &name, &error))?;
        last = name;
    }
    Ok(())
}

fn member<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &Path,
    extractor: &mut Extractor<'_>,
) -> Result<(), Error> {
    let bad = |extractor: &Extractor<'_>, what: &str| {
        extractor.fail(path, &format!("has a broken {what}"))
    };
    let pax = pax(entry).map_err(|()| bad(extractor, "pax header"))?;
    let number = |key: &str| {
        pax.get(key.as_bytes())
            .and_then(|value| std::str::from_utf8(value).ok()?.parse().ok())
    };
    let header = entry.header().clone();
    let id = |key: &str, value: std::io::Result<u64>| {
        let id = number(key)
            .map_or(value, Ok)
            .ok()
            .and_then(|id: u64| u32::try_from(id).ok());
        id.ok_or_else(|| bad(extractor, key))
    };
    let owner = (id("uid", header.uid())?, id("gid", header.gid())?);
    let mode = header.mode().map_err(|_| bad(extractor, "mode"))?;
    let mtime = header.mtime().map_err(|_| bad(extractor, "mtime"))?;
    let mtime = pax
        .get(&b"mtime"[..])
        .and_then(|text| time(text))
        .unwrap_or((mtime.cast_signed(), 0));
    let target = |extractor: &Extractor<'_>, entry: &tar::Entry<'_, R>| {
        let target = entry.link_name_bytes().map(|name| name.into_owned());
        target
            .filter(|name| !name.is_empty())
            .ok_or_else(|| bad(extractor, "link"))
    };
    let is_directory_by_name = entry.path_bytes().ends_with(b"/");
    let kind = header.entry_type();
    let bytes = entry.size();
    let what = match kind {
        EntryType::XGlobalHeader => return Ok(()),
        EntryType::Directory => What::Directory,
        EntryType::Symlink => What::Link(OsStr::from_bytes(&target(extractor, entry)?).into()),
        EntryType::Link => {
            let target = clean(&target(extractor, entry)?);
            let target =
                target.map_err(|_| extractor.fail(path, "is a link to a name with .. in it"))?;
            What::Hard(target)
        }
        EntryType::Fifo => What::Fifo,
        EntryType::Char | EntryType::Block => What::LeftOut("devices left out"),
        // What old archives say of a directory.
        EntryType::Regular if is_directory_by_name => What::Directory,
        // tar(5): what is not known is a file.
        _ => What::File(entry, bytes),
    };
    let xattrs = pax
        .iter()
        .filter_map(|(key, value)| {
            Some((
                CString::new(key.strip_prefix(b"SCHILY.xattr.")?).ok()?,
                value.clone(),
            ))
        })
        .collect();
    extractor.put(Node {
        path: path.to_owned(),
        what,
        mode,
        owner,
        mtime,
        xattrs,
    })
}

/// The records of the pax header that stands before a member.
fn pax<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<HashMap<Vec<u8>, Vec<u8>>, ()> {
    let Some(extensions) = entry.pax_extensions().map_err(|_| ())? else {
        return Ok(HashMap::new());
    };
    let pair = |extension: std::io::Result<tar::PaxExtension<'_>>| {
        let extension = extension.map_err(|_| ())?;
        Ok((
            extension.key_bytes().to_vec(),
            extension.value_bytes().to_vec(),
        ))
    };
    extensions.map(pair).collect()
}

/// `1700000000.25` of pax.
fn time(text: &[u8]) -> Option<(i64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some((seconds.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_archive_is_told_from_what_is_compressed_otherwise() {
        assert_eq!(check_head(b"hello"), Err(NEITHER));
        assert_eq!(check_head(&[b'x'; 512]), Err(NEITHER));
        assert_eq!(check_head(&[0; 512]), Ok(()));
        assert_eq!(check_head(b"\x1f\x8b\x08"), Ok(()));
        assert_eq!(check_head(b"\x28\xb5\x2f\xfd"), Ok(()));
        assert!(check_head(b"BZh9").unwrap_err().contains("bzip2"));
        let header = tar::Header::new_old();
        let mut header = header.clone();
        header.set_cksum();
        assert_eq!(check_head(header.as_bytes()), Ok(()));
    }

    #[test]
    fn pax_times_have_fractions() {
        assert_eq!(time(b"17.25"), Some((17, 250_000_000)));
        assert_eq!(time(b"-1"), Some((-1, 0)));
        assert_eq!(time(b"x"), None);
    }
}
