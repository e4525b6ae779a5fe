//! Archives, member by member.

use std::io::Write;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use tar::{EntryType, Header};

/// One member: its name as bytes, however hostile.
pub(crate) fn member(kind: EntryType, name: &str, link: &str, text: &str) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory {
        0o755
    } else {
        0o644
    });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(text.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    sealed(header, text.as_bytes())
}

pub(crate) fn sealed(mut header: Header, contents: &[u8]) -> Vec<u8> {
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn file(name: &str, text: &str) -> Vec<u8> {
    member(EntryType::Regular, name, "", text)
}

pub(crate) fn directory(name: &str) -> Vec<u8> {
    member(EntryType::Directory, name, "", "")
}

pub(crate) fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// In two frames, as `zstd -c a; zstd -c b` writes them.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let halves = bytes.split_at(bytes.len() / 2);
    let pack = |half| compress_to_vec(half, CompressionLevel::Fastest);
    [pack(halves.0), pack(halves.1)].concat()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}
