//! Where glibc's loader finds libraries that are in no path of their own: /etc/ld.so.cache. ldconfig(8).

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// ldconfig writes some 100 KB for a full desktop.
const CACHE_BYTES: u64 = 64 << 20;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const NEW_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const NEW_HEADER: usize = 48;
const NEW_ENTRY: usize = 24;
/// Byte order of the cache (glibc 2.33): 2 little, 3 big, 0 not told.
const FLAGS_AT: usize = 28;
const OTHER_ENDIAN: u8 = if cfg!(target_endian = "little") { 3 } else { 2 };
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const EXTENSION_HWCAPS: u32 = 1;
/// In an entry's hwcap: its low half is an index into the names of the extension (glibc 2.33).
const HWCAP_EXTENSION: u64 = 1 << 62;

/// Where ldconfig(8) found a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    /// Subdirectory of glibc-hwcaps it came from (`x86-64-v3`); it is for such processors only.
    pub(crate) hwcaps: Option<OsString>,
}

/// A whole cache, as it is on disk: some 1000 entries, of which a box asks for a few dozen.
#[derive(Debug)]
pub(crate) struct Cache {
    /// From the header of the new format on.
    bytes: Vec<u8>,
    hwcaps: Vec<OsString>,
}

impl Cache {
    /// /etc/ld.so.cache; None when it is in no format of glibc 2.2 or later, or a machine's of the other byte order.
    pub(crate) fn read(file: File) -> Option<Self> {
        let length = file.metadata().ok()?.len().min(CACHE_BYTES);
        let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
        file.take(CACHE_BYTES).read_to_end(&mut bytes).ok()?;
        Self::new(bytes)
    }

    /// The new format, alone or behind the old one; its numbers are in the machine's own byte order.
    fn new(mut bytes: Vec<u8>) -> Option<Self> {
        if bytes.starts_with(OLD_MAGIC) {
            let entries = usize::try_from(u32_at(&bytes, OLD_MAGIC.len())?).ok()?;
            let end = entries
                .checked_mul(OLD_ENTRY)?
                .checked_add(OLD_HEADER)?
                .checked_next_multiple_of(8)?;
            bytes.get(end)?;
            bytes.drain(..end);
        }
        if *bytes.get(FLAGS_AT)? == OTHER_ENDIAN {
            return None;
        }
        let hwcaps = hwcaps_names(&bytes);
        bytes
            .starts_with(NEW_MAGIC)
            .then_some(Self { bytes, hwcaps })
    }

    /// The entries of `name`, in the cache's order, found as the loader finds them: by halves.
    pub(crate) fn find(&self, name: &OsStr) -> Vec<Entry> {
        let count = u32_at(&self.bytes, NEW_MAGIC.len()).unwrap_or(0);
        let count = usize::try_from(count).unwrap_or(0);
        let table = self.bytes.get(NEW_HEADER..).unwrap_or_default();
        let (table, _) = table.as_chunks::<NEW_ENTRY>();
        let table = &table[..count.min(table.len())];
        let key = |entry: &[u8]| {
            let at = u32_at(entry, 4).and_then(|at| usize::try_from(at).ok());
            at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
        };
        // The last names come first.
        let first = table.partition_point(|entry| order(key(entry), name.as_bytes()).is_gt());
        let equal = table[first..]
            .iter()
            .take_while(|entry| order(key(*entry), name.as_bytes()).is_eq());
        // Names are equal to the loader that are not the same: libx.so.1 and libx.so.01.
        let is_it =
            |text: &[u8]| text.get(name.len()) == Some(&0) && text.starts_with(name.as_bytes());
        equal
            .filter(|entry| is_it(key(*entry)))
            .filter_map(|entry| self.entry(entry))
            .collect()
    }

    fn entry(&self, entry: &[u8]) -> Option<Entry> {
        let hwcap = u64::from_ne_bytes(entry.get(16..24)?.try_into().ok()?);
        let hwcaps = match hwcap {
            0 => None,
            index if index & HWCAP_EXTENSION != 0 => Some(
                self.hwcaps
                    .get(usize::try_from(index & 0xffff_ffff).ok()?)?
                    .clone(),
            ),
            // A directory of glibc before 2.37 (tls, haswell …): never the only one that has the library.
            _ => return None,
        };
        let path = PathBuf::from(string_at(&self.bytes, u32_at(entry, 8)?)?);
        path.is_absolute().then_some(Entry { path, hwcaps })
    }
}

/// The order of the names in a cache, that of ldconfig(8) and of the loader: numbers count as numbers and come after all
/// other bytes. Both texts end with a zero byte or by themselves.
fn order(mut one: &[u8], mut other: &[u8]) -> Ordering {
    loop {
        let heads = (head(one), head(other));
        match (heads.0.is_ascii_digit(), heads.1.is_ascii_digit()) {
            (true, true) => {
                let numbers = (number(&mut one), number(&mut other));
                if numbers.0 != numbers.1 {
                    return numbers.0.cmp(&numbers.1);
                }
            }
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if heads.0 != heads.1 => return heads.0.cmp(&heads.1),
            (false, false) if heads.0 == 0 => return Ordering::Equal,
            (false, false) => (one, other) = (&one[1..], &other[1..]),
        }
    }
}

fn head(text: &[u8]) -> u8 {
    text.first().copied().unwrap_or(0)
}

/// Takes the digits off the front of `text`.
fn number(text: &mut &[u8]) -> u64 {
    let mut value = 0u64;
    while let Some((digit, rest)) = text
        .split_first()
        .filter(|(digit, _)| digit.is_ascii_digit())
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        *text = rest;
    }
    value
}

/// The names that entries refer to by number.
fn hwcaps_names(cache: &[u8]) -> Vec<OsString> {
    let names = || {
        let at = usize::try_from(u32_at(cache, 32)?).ok()?;
        let extension = cache.get(at..).filter(|_| at != 0)?;
        if u32_at(extension, 0)? != EXTENSION_MAGIC {
            return None;
        }
        let sections = usize::try_from(u32_at(extension, 4)?).ok()?;
        let section = extension
            .get(8..)?
            .chunks_exact(16)
            .take(sections)
            .find(|section| u32_at(section, 0) == Some(EXTENSION_HWCAPS))?;
        let (at, bytes) = (u32_at(section, 8)?, u32_at(section, 12)?);
        let at = usize::try_from(at).ok()?;
        let list = cache.get(at..at.checked_add(usize::try_from(bytes).ok()?)?)?;
        Some(
            list.chunks_exact(4)
                .map_while(|at| string_at(cache, u32_at(at, 0)?))
                .collect(),
        )
    };
    names().unwrap_or_default()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

fn string_at(bytes: &[u8], at: u32) -> Option<OsString> {
    let rest = bytes.get(usize::try_from(at).ok()?..)?;
    let end = rest.iter().take(4096).position(|&byte| byte == 0)?;
    Some(OsStr::from_bytes(&rest[..end]).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn cache() -> Vec<u8> {
        let strings = b"libz.so.1\0/lib/libz.so.1\0/v3/libz.so.1\0x86-64-v3\0/old/libz.so.1\0";
        let strings_at = (NEW_HEADER + 3 * NEW_ENTRY) as u32;
        let extension_at = (strings_at as usize + strings.len()).next_multiple_of(4);
        let mut bytes = NEW_MAGIC.to_vec();
        for value in [3, strings.len() as u32, 2, extension_at as u32, 0, 0, 0] {
            bytes.extend(u32::to_ne_bytes(value));
        }
        for (path, hwcap) in [(25, HWCAP_EXTENSION), (10, 0u64), (50, 4)] {
            for value in [0x303, strings_at, strings_at + path, 0] {
                bytes.extend(u32::to_ne_bytes(value));
            }
            bytes.extend(hwcap.to_ne_bytes());
        }
        bytes.extend(strings);
        bytes.resize(extension_at, 0);
        let list_at = extension_at as u32 + 24;
        for value in [
            EXTENSION_MAGIC,
            1,
            EXTENSION_HWCAPS,
            0,
            list_at,
            4,
            strings_at + 39,
        ] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }

    fn entry(path: &str, hwcaps: Option<&str>) -> Entry {
        Entry {
            path: path.into(),
            hwcaps: hwcaps.map(Into::into),
        }
    }

    #[test]
    fn the_new_format_is_read_with_its_hwcaps_and_old_subdirectories_are_left_out() {
        let wanted = vec![
            entry("/v3/libz.so.1", Some("x86-64-v3")),
            entry("/lib/libz.so.1", None),
        ];
        let find = |bytes: Vec<u8>, name: &str| Cache::new(bytes).unwrap().find(OsStr::new(name));
        assert_eq!(find(cache(), "libz.so.1"), wanted);
        assert_eq!(find(cache(), "libz.so"), []);
        let mut both = OLD_MAGIC.to_vec();
        both.extend(1u32.to_ne_bytes());
        both.resize(OLD_HEADER + OLD_ENTRY, 7);
        both.resize(both.len().next_multiple_of(8), 0);
        both.extend(cache());
        assert_eq!(find(both, "libz.so.1"), wanted);
    }

    #[test]
    fn names_are_in_the_loaders_order() {
        for (smaller, larger) in [
            ("libc.so.6", "libd.so.6"),
            ("libc.so.9", "libc.so.10"),
            ("libc.so.", "libc.so.1"),
            ("libcz.so", "libc9.so"),
            ("", "a"),
            ("a-", "a."),
        ] {
            let text = |name: &str| [name.as_bytes(), b"\0rest"].concat();
            assert_eq!(
                order(&text(smaller), &text(larger)),
                Ordering::Less,
                "{smaller}"
            );
            assert_eq!(order(&text(larger), smaller.as_bytes()), Ordering::Greater);
        }
        assert_eq!(order(b"x.so.01\0", b"x.so.1"), Ordering::Equal);
    }

    #[test]
    fn each_name_of_this_machines_cache_is_found() {
        let file = File::open("/etc/ld.so.cache").unwrap();
        let cache = Cache::read(file).unwrap();
        let count = u32_at(&cache.bytes, NEW_MAGIC.len()).unwrap();
        assert!(count > 0);
        for at in 0..count as usize {
            let entry = &cache.bytes[NEW_HEADER + at * NEW_ENTRY..];
            let name = string_at(&cache.bytes, u32_at(entry, 4).unwrap()).unwrap();
            let path = string_at(&cache.bytes, u32_at(entry, 8).unwrap()).unwrap();
            let found = cache.find(&name);
            let is_old = u64::from_ne_bytes(entry[16..24].try_into().unwrap()) & !HWCAP_EXTENSION
                > 0xffff_ffff;
            assert!(
                is_old || found.iter().any(|entry| entry.path == Path::new(&path)),
                "{path:?}"
            );
        }
    }

    proptest::proptest! {
        /// Whatever a cache says of itself, a name is found or not, and what is found is a path.
        #[test]
        fn whatever_the_bytes_are_there_is_an_answer(
            changes in proptest::collection::vec((0usize..260, proptest::num::u8::ANY), 0..16),
            cut in 0usize..300,
            name in "[a-z0-9.]{0,12}",
        ) {
            let mut bytes = cache();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(cut.max(20));
            if let Some(cache) = Cache::new(bytes) {
                for name in [name.as_str(), "libz.so.1"] {
                    let found = cache.find(OsStr::new(name));
                    proptest::prop_assert!(found.iter().all(|entry| entry.path.is_absolute()));
                }
            }
        }

        /// It is an order: two names are told apart the same way from both sides.
        #[test]
        fn the_order_is_one(one in "[a-c0-9.]{0,8}", other in "[a-c0-9.]{0,8}") {
            let (one, other) = (one.as_bytes(), other.as_bytes());
            proptest::prop_assert_eq!(order(one, other), order(other, one).reverse());
            proptest::prop_assert_eq!(order(one, one), Ordering::Equal);
        }
    }

    #[test]
    fn a_cache_cut_or_changed_anywhere_never_panics() {
        let whole = cache();
        let look =
            |bytes: Vec<u8>| Cache::new(bytes).map(|cache| cache.find(OsStr::new("libz.so.1")));
        for cut in 0..whole.len() {
            look(whole[..cut].to_vec());
            for value in [0, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[cut] = value;
                look(broken);
            }
        }
        assert_eq!(look(b"something else".to_vec()), None);
    }
}
