//! Which directories glibc's loader was compiled with. Only in its own file they are written down, and they differ between
//! distributions.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sys::Call;

use crate::elf;
use crate::origin::Origin;

/// Debian's ld.so has 200 KB.
const LOADER_BYTES: u64 = 16 << 20;

/// Those of the loader at `path`; none when it is no loader of glibc.
pub(crate) fn directories(origin: &Origin, path: &Path) -> Vec<PathBuf> {
    let Ok((mut file, metadata)) = origin.open_known(path) else {
        return Vec::new();
    };
    let found = among_constants(&file, metadata.len());
    if !found.is_empty() {
        return found;
    }
    let mut bytes = Vec::new();
    let read = file.by_ref().take(LOADER_BYTES).read_to_end(&mut bytes);
    let read = read.call(|| format!("read({})", path.display()));
    // Half a loader would be another one.
    let _ = read.inspect_err(|error| origin.note(error));
    find(&bytes)
}

/// Looks where they are in a loader that keeps its constants apart from its code, a fifth of the file.
fn among_constants(file: &File, bytes: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (at, length) in elf::constants(file, bytes.min(LOADER_BYTES)) {
        let mut text = vec![0; length];
        if file.read_exact_at(&mut text, at).is_ok() {
            let directories = find(&text);
            if directories.len() > found.len() {
                found = directories;
            }
        }
    }
    found
}

/// A run of strings that each begin and end with a slash.
fn find(loader: &[u8]) -> Vec<PathBuf> {
    let is_directory = |text: &[u8]| {
        text.len() > 1
            && text.ends_with(b"/")
            && text.iter().all(u8::is_ascii_graphic)
            && text.windows(4).any(|part| part == b"/lib")
    };
    let (mut best, mut run): (Vec<&[u8]>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut next = 0;
    for begin in slashes(loader).filter(|&at| at == 0 || loader[at - 1] == 0) {
        let text = loader[begin..]
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        if begin != next {
            run.clear();
        }
        if is_directory(text) {
            run.push(text);
            next = begin + text.len() + 1;
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    let path = |text: &[u8]| PathBuf::from(OsStr::from_bytes(&text[..text.len() - 1]));
    best.into_iter().map(path).collect()
}

/// Where the slashes are. In pieces, so that the compiler looks at many bytes of a piece without one at once.
fn slashes(bytes: &[u8]) -> impl Iterator<Item = usize> {
    const PIECE: usize = 64;
    let has_slash = |piece: &[u8]| {
        piece
            .iter()
            .fold(false, |found, &byte| found | (byte == b'/'))
    };
    let pieces = bytes
        .chunks(PIECE)
        .enumerate()
        .filter(move |(_, piece)| has_slash(piece));
    pieces.flat_map(|(at, piece)| {
        let inside = piece.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
        inside.map(move |(inside, _)| at * PIECE + inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_in_a_loader() {
        let loader = b"\0/lib/ld.so\0x\0/lib/t/\0/usr/lib/t/\0/lib/\0\0\0/lib/other/\0";
        let wanted = ["/lib/t", "/usr/lib/t", "/lib"].map(PathBuf::from);
        assert_eq!(find(loader), wanted);
        assert_eq!(find(b""), Vec::<PathBuf>::new());
    }

    #[test]
    fn this_machines_loader_has_them_among_its_constants() {
        let path = Path::new("/lib64/ld-linux-x86-64.so.2");
        let Ok(bytes) = std::fs::read(path) else {
            return;
        };
        let whole = find(&bytes);
        assert!(
            whole.iter().any(|directory| directory == Path::new("/lib")),
            "{whole:?}"
        );
        let file = File::open(path).unwrap();
        let some = among_constants(&file, bytes.len() as u64);
        assert!(some.is_empty() || some == whole, "{some:?}");
        assert_eq!(directories(&Origin::default(), path), whole);
    }
}
