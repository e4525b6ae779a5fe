//! A directory that holds a root file system, copied as it is: owners, links and times; without what is mounted in it.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FileType, fgetxattr};
use sys::Call;

use super::extract::{Extractor, Node, What};
use crate::error::Error;
use crate::root::Root;
use crate::walk::{Item, walk};

const CAPABILITY: &CStr = c"security.capability";
/// File capabilities are some 24 bytes.
const CAPABILITY_BYTES: usize = 256;

/// Copies everything below `top`.
pub(super) fn copy(top: &Root, extractor: &mut Extractor<'_>) -> Result<(), Error> {
    let stat = rustix::fs::fstat(top).call(|| format!("fstat({})", top.shown().display()))?;
    extractor.put(node(PathBuf::from("/"), What::Directory, &stat))?;
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    walk(top.readable()?, top.shown(), |item| {
        let key = (item.stat.st_dev, item.stat.st_ino);
        let is_linked = item.stat.st_nlink > 1 && item.kind() != FileType::Directory;
        if let Some(first) = linked.get(&key).filter(|_| is_linked) {
            let what = What::Hard(first.clone());
            return extractor.put(node(item.path.to_owned(), what, &item.stat));
        }
        if is_linked {
            linked.insert(key, item.path.to_owned());
        }
        one(item, extractor)
    })
}

fn one(item: &Item<'_>, extractor: &mut Extractor<'_>) -> Result<(), Error> {
    if item.is_mount {
        extractor.notice("what is mounted there left out", item.path);
    }
    let plain = |what| node(item.path.to_owned(), what, &item.stat);
    match item.kind() {
        FileType::RegularFile => {
            let file = File::from(item.open()?);
            let metadata = file
                .metadata()
                .call(|| format!("fstat({})", item.shown()))?;
            let mut node = plain(What::Copy(&file, &metadata));
            node.xattrs.extend(capability(&file));
            extractor.put(node)
        }
        FileType::Directory => extractor.put(plain(What::Directory)),
        FileType::Symlink => extractor.put(plain(What::Link(item.target()?))),
        FileType::Fifo => extractor.put(plain(What::Fifo)),
        FileType::Socket => extractor.put(plain(What::LeftOut("sockets left out"))),
        _ => extractor.put(plain(What::LeftOut("devices left out"))),
    }
}

fn capability(file: &File) -> Option<(CString, Vec<u8>)> {
    let mut value = vec![0; CAPABILITY_BYTES];
    let bytes = fgetxattr(file, CAPABILITY, &mut value[..]).ok()?;
    value.truncate(bytes);
    Some((CAPABILITY.to_owned(), value))
}

fn node<'a>(path: PathBuf, what: What<'a>, stat: &rustix::fs::Stat) -> Node<'a> {
    Node {
        path,
        what,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        xattrs: Vec::new(),
    }
}
