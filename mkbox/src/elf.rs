//! What an ELF file says about the files it needs. Nothing of it is ever run.
//!
//! elf(5), and the dynamic section as glibc's and musl's loaders read it. Any field may be hostile: each
//! read is bounded by the file's own size and by a limit of its own.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use object::elf;
use object::read::ReadRef;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endian, Endianness};

use crate::dlopen::{self, Dlopen};
use crate::window::Window;

/// The kernel refuses more than 64 KiB of program headers; execve(2) of Linux, `load_elf_phdrs`.
const PROGRAM_HEADERS_BYTES: u64 = 65_536;
/// `PATH_MAX`: the kernel's limit on `PT_INTERP`, and ours on any other name in the file.
const NAME_BYTES: u64 = 4_096;
/// The largest dynamic sections known have a few hundred entries of 16 bytes.
const DYNAMIC_BYTES: u64 = 1 << 20;
/// From the first name to the last: the largest string tables known, of C++ libraries, have a few MB.
const STRINGS_BYTES: u64 = 16 << 20;
/// Notes of one segment; systemd's, with all that it opens, have 4 KiB.
const NOTES_BYTES: u64 = 64 << 10;
/// Libraries that one file may ask for by name.
const NEEDED: usize = 4_096;
/// Of read-only segments; linkers make two.
const PIECES: usize = 4;
/// `DT_FLAGS_1`'s bit for "do not look into the default directories".
const DF_1_NODEFLIB: u64 = 0x800;

/// Which processor and word size a file is for: a program takes only libraries of its own target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// 64 bits, else 32.
    pub(crate) is_64: bool,
    pub(crate) is_big_endian: bool,
    /// `e_machine`
    pub(crate) machine: u16,
}

/// The parts of an ELF file that name other files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    pub(crate) target: Target,
    /// `ET_EXEC` or `ET_DYN`: something that can be mapped, and no object file or core.
    pub(crate) is_loadable: bool,
    /// `ET_DYN`: the only kind that a loader takes as a library.
    pub(crate) is_shared: bool,
    /// `PT_INTERP`
    pub(crate) interpreter: Option<PathBuf>,
    /// `DT_NEEDED`, in order.
    pub(crate) needed: Vec<OsString>,
    /// `DT_SONAME`
    pub(crate) soname: Option<OsString>,
    /// `DT_RPATH`; void where there is a `DT_RUNPATH`.
    pub(crate) rpath: Option<OsString>,
    /// `DT_RUNPATH`
    pub(crate) runpath: Option<OsString>,
    /// `DF_1_NODEFLIB`
    pub(crate) no_default_directories: bool,
    /// What `.note.dlopen` says; None without such a note.
    pub(crate) dlopen: Option<Result<Vec<Dlopen>, Corrupt>>,
}

impl Elf {
    /// Whether a path in it depends on where the file itself lies, or may: `$ORIGIN`.
    pub(crate) fn has_tokens(&self) -> bool {
        let paths = self.rpath.iter().chain(&self.runpath).chain(&self.needed);
        paths
            .map(|path| path.as_bytes())
            .any(|path| path.contains(&b'$'))
    }
}

/// What is wrong with a file that begins as an ELF file does.
pub(crate) type Corrupt = &'static str;

/// Reads `file`, of so many bytes; None when it is no ELF file at all.
///
/// # Errors
/// It begins like one and cannot be loaded: what is wrong with it.
pub(crate) fn read(file: &File, bytes: u64) -> Result<Option<Elf>, Corrupt> {
    let window = Window::new(file, bytes).ok_or("cannot be read")?;
    if !window.head().starts_with(&elf::ELFMAG) {
        return Ok(None);
    }
    match window.head().get(4) {
        Some(&class) if class == elf::ELFCLASS64.0 => {
            parse::<elf::FileHeader64<Endianness>>(&window).map(Some)
        }
        Some(&class) if class == elf::ELFCLASS32.0 => {
            parse::<elf::FileHeader32<Endianness>>(&window).map(Some)
        }
        _ => Err("has an unknown class"),
    }
}

fn parse<H: FileHeader<Endian = Endianness>>(data: &Window<'_>) -> Result<Elf, Corrupt> {
    let header = H::parse(data).map_err(|_| "has a broken header")?;
    let endian = header.endian().map_err(|_| "has an unknown byte order")?;
    let kind = header.e_type(endian);
    let mut elf = Elf {
        target: Target {
            is_64: header.is_class_64(),
            is_big_endian: endian.is_big_endian(),
            machine: header.e_machine(endian).0,
        },
        is_loadable: kind == elf::ET_EXEC || kind == elf::ET_DYN,
        is_shared: kind == elf::ET_DYN,
        interpreter: None,
        needed: Vec::new(),
        soname: None,
        rpath: None,
        runpath: None,
        no_default_directories: false,
        dlopen: None,
    };
    let entries = u64::from(header.e_phnum(endian));
    if entries * u64::from(header.e_phentsize(endian)) > PROGRAM_HEADERS_BYTES {
        return Err("has too many program headers");
    }
    let headers = header
        .program_headers(endian, data)
        .map_err(|_| "has its program headers outside the file")?;
    let mut is_empty = true;
    for segment in headers {
        let (begin, bytes) = segment.file_range(endian);
        match segment.p_type(endian) {
            elf::PT_INTERP if bytes > NAME_BYTES => {
                return Err("names an interpreter of more than 4096 bytes");
            }
            elf::PT_INTERP => {
                let path = segment
                    .interpreter(endian, data)
                    .map_err(|_| "has a broken PT_INTERP")?;
                elf.interpreter = path.map(|path| OsString::from_vec(path.to_vec()).into());
            }
            elf::PT_LOAD => {
                is_empty = false;
                let end = begin.checked_add(bytes);
                if end.is_none_or(|end| end > data.bytes) {
                    return Err("is cut short");
                }
            }
            elf::PT_DYNAMIC if bytes > DYNAMIC_BYTES => {
                return Err("has a dynamic section of more than 1 MiB");
            }
            elf::PT_DYNAMIC => {
                let dynamic = segment
                    .dynamic(endian, data)
                    .map_err(|_| "has its dynamic section outside the file")?;
                read_dynamic::<H>(endian, dynamic.unwrap_or_default(), headers, data, &mut elf)?;
            }
            elf::PT_NOTE if bytes <= NOTES_BYTES => {
                // Notes serve those who look for them: a broken one does not make a program unfit.
                let notes = segment.notes(endian, data).ok().flatten();
                for note in notes.into_iter().flat_map(|notes| notes.flatten()) {
                    if note.n_type(endian).0 == dlopen::NT_FDO_DLOPEN
                        && note.name() == dlopen::OWNER
                    {
                        let read = dlopen::parse(note.desc());
                        elf.dlopen = Some(read.ok_or("has a .note.dlopen that cannot be read"));
                    }
                }
            }
            _ => {}
        }
    }
    if elf.is_loadable && is_empty {
        return Err("has nothing to load");
    }
    Ok(elf)
}

/// Offsets and lengths of the pieces of `file` that are loaded to be read only, neither written nor run. None when it is no
/// ELF file of 64 or 32 bits.
pub(crate) fn constants(file: &File, bytes: u64) -> Vec<(u64, usize)> {
    let pieces = Window::new(file, bytes).and_then(|window| match window.head().get(4) {
        Some(&class) if class == elf::ELFCLASS64.0 => {
            read_only::<elf::FileHeader64<Endianness>>(&window)
        }
        _ => read_only::<elf::FileHeader32<Endianness>>(&window),
    });
    pieces.unwrap_or_default()
}

fn read_only<H: FileHeader<Endian = Endianness>>(data: &Window<'_>) -> Option<Vec<(u64, usize)>> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, data).ok()?;
    let is_constant = |segment: &&H::ProgramHeader| {
        segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian) == elf::PF_R
    };
    let pieces = headers.iter().filter(is_constant).take(PIECES);
    let pieces = pieces.filter_map(|segment| {
        let (begin, length) = segment.file_range(endian);
        let end = begin.checked_add(length)?;
        (end <= data.bytes).then_some((begin, usize::try_from(length).ok()?))
    });
    Some(pieces.collect())
}

/// The entries up to `DT_NULL`; the names are offsets into the string table that `DT_STRTAB` points to.
fn read_dynamic<H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    dynamic: &[H::Dyn],
    headers: &[H::ProgramHeader],
    data: &Window<'_>,
    elf: &mut Elf,
) -> Result<(), Corrupt> {
    let dynamic: Vec<_> = dynamic
        .iter()
        .map(|entry| (entry.tag(endian), entry.val(endian)))
        .take_while(|&(tag, _)| tag != elf::DT_NULL)
        .collect();
    let value = |wanted| {
        dynamic
            .iter()
            .find(|&&(tag, _)| tag == wanted)
            .map(|&(_, value)| value)
    };
    elf.no_default_directories =
        value(elf::DT_FLAGS_1).is_some_and(|flags| flags & DF_1_NODEFLIB != 0);
    let Some(address) = value(elf::DT_STRTAB) else {
        return Ok(());
    };
    let is_name = |tag| {
        [
            elf::DT_NEEDED,
            elf::DT_SONAME,
            elf::DT_RPATH,
            elf::DT_RUNPATH,
        ]
        .contains(&tag)
    };
    let offsets = || {
        dynamic
            .iter()
            .filter(|&&(tag, _)| is_name(tag))
            .map(|&(_, offset)| offset)
    };
    let (Some(first), Some(last)) = (offsets().min(), offsets().max()) else {
        return Ok(());
    };
    let size = value(elf::DT_STRSZ).unwrap_or(u64::MAX);
    let begin =
        file_offset::<H>(endian, headers, address).and_then(|strings| strings.checked_add(first));
    let begin = begin
        .filter(|_| last < size)
        .ok_or("names a string outside its string table")?;
    // The names lie close together: they are read at once.
    let length = (last - first)
        .saturating_add(NAME_BYTES)
        .min(size - first)
        .min(data.bytes.saturating_sub(begin));
    if length > STRINGS_BYTES {
        return Err("has its names too far apart");
    }
    let strings = data
        .read_bytes_at(begin, length)
        .map_err(|()| "has its string table outside the file")?;
    let name = |offset: u64| {
        let at = usize::try_from(offset - first).ok();
        let text = at
            .and_then(|at| strings.get(at..))
            .ok_or("names a string outside its string table")?;
        let end = text
            .iter()
            .take(NAME_BYTES as usize)
            .position(|&byte| byte == 0)
            .ok_or("has a name without an end")?;
        Ok::<_, Corrupt>(OsStr::from_bytes(&text[..end]).to_owned())
    };
    for &(tag, value) in &dynamic {
        match tag {
            elf::DT_NEEDED if elf.needed.len() == NEEDED => {
                return Err("needs more than 4096 libraries");
            }
            elf::DT_NEEDED => elf.needed.push(name(value)?),
            elf::DT_SONAME => elf.soname = Some(name(value)?),
            elf::DT_RPATH => elf.rpath = Some(name(value)?),
            elf::DT_RUNPATH => elf.runpath = Some(name(value)?),
            _ => {}
        }
    }
    if elf.runpath.is_some() {
        elf.rpath = None;
    }
    Ok(())
}

/// Where in the file the byte at the virtual `address` is.
pub(crate) fn file_offset<H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    headers: &[H::ProgramHeader],
    address: u64,
) -> Option<u64> {
    headers
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
            let (offset, bytes) = segment.file_range(endian);
            if inside < bytes {
                offset.checked_add(inside)
            } else {
                None
            }
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;

    /// A 64-bit little-endian x86 library made by hand: header, one PT_LOAD over everything, PT_INTERP,
    /// PT_DYNAMIC, strings.
    pub(crate) fn synthetic(interpreter: &str, dynamic: &[(u64, &str)]) -> Vec<u8> {
        let mut strings = vec![0u8];
        let mut entries = Vec::new();
        for &(tag, text) in dynamic {
            entries.push((tag, strings.len() as u64));
            strings.extend(text.bytes().chain([0]));
        }
        let interp_at = 64 + 3 * 56;
        let dynamic_at = (interp_at + interpreter.len() + 1).next_multiple_of(8);
        let strings_at = dynamic_at + (entries.len() + 3) * 16;
        entries.extend([(5, strings_at as u64), (10, strings.len() as u64), (0, 0)]);
        let total = strings_at + strings.len();
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(3u16.to_le_bytes());
        file.extend(62u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        for value in [0u64, 64, 0] {
            file.extend(value.to_le_bytes());
        }
        file.extend(0u32.to_le_bytes());
        for value in [64u16, 56, 3, 64, 0, 0] {
            file.extend(value.to_le_bytes());
        }
        for (kind, at, bytes) in [
            (1u32, 0, total),
            (3, interp_at, interpreter.len() + 1),
            (2, dynamic_at, entries.len() * 16),
        ] {
            file.extend(kind.to_le_bytes());
            file.extend(4u32.to_le_bytes());
            for value in [at, at, at, bytes, bytes, 8] {
                file.extend((value as u64).to_le_bytes());
            }
        }
        file.extend(interpreter.bytes().chain([0]));
        file.resize(dynamic_at, 0);
        for (tag, value) in entries {
            file.extend(tag.to_le_bytes());
            file.extend(value.to_le_bytes());
        }
        file.extend(strings);
        file
    }

    /// As a file of that many bytes.
    fn read(file: &File) -> Result<Option<Elf>, Corrupt> {
        super::read(file, file.metadata().unwrap().len())
    }

    fn file(bytes: &[u8]) -> File {
        let fd = rustix::fs::memfd_create("elf", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(fd);
        file.write_all(bytes).unwrap();
        file
    }

    fn sample() -> Vec<u8> {
        synthetic(
            "/lib/ld.so",
            &[
                (1, "liba.so"),
                (1, "libb.so.2"),
                (14, "me.so"),
                (15, "/old"),
                (29, "$ORIGIN/x"),
            ],
        )
    }

    #[test]
    fn names_are_read_and_runpath_voids_rpath() {
        let elf = read(&file(&sample())).unwrap().unwrap();
        assert_eq!(
            elf.target,
            Target {
                is_64: true,
                is_big_endian: false,
                machine: 62
            }
        );
        assert_eq!(elf.interpreter, Some("/lib/ld.so".into()));
        assert_eq!(elf.needed, ["liba.so", "libb.so.2"]);
        assert_eq!(elf.soname, Some("me.so".into()));
        assert_eq!((elf.rpath, elf.runpath), (None, Some("$ORIGIN/x".into())));
        assert!(elf.is_shared && elf.is_loadable);
    }

    #[test]
    fn what_is_no_elf_is_none() {
        for text in ["", "#!/bin/sh\n", "\x7fEL"] {
            assert_eq!(read(&file(text.as_bytes())), Ok(None));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_says_less_and_never_panics() {
        let whole = sample();
        for cut in 4..whole.len() {
            let answer = read(&file(&whole[..cut]));
            assert!(answer.is_err(), "cut at {cut}: {answer:?}");
        }
    }

    #[test]
    fn every_byte_may_be_anything() {
        let whole = sample();
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                let _ = read(&file(&broken));
            }
        }
    }

    proptest::proptest! {
        /// Bytes changed, a piece cut out, something behind: whatever it is, it is read to an end without a panic,
        /// and what is found is bounded.
        #[test]
        fn whatever_the_bytes_are_there_is_an_answer(
            changes in proptest::collection::vec((0usize..600, proptest::num::u8::ANY), 0..24),
            cut in 0usize..900,
            tail in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        ) {
            let mut bytes = sample();
            for (at, value) in changes {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(cut.max(4));
            bytes.extend(tail);
            let file = file(&bytes);
            if let Ok(Some(elf)) = read(&file) {
                proptest::prop_assert!(elf.needed.len() <= NEEDED);
                proptest::prop_assert!(elf.needed.iter().all(|name| name.len() < NAME_BYTES as usize));
            }
            crate::imports::read(&file, bytes.len() as u64, &mut Vec::new());
        }

        /// The same of headers that are made up: any type, offset and size of three segments.
        #[test]
        fn segments_may_claim_anything(
            segments in proptest::collection::vec((0u32..8, 0u64..2000, 0u64..2000, 0u64..2000), 3),
            huge in proptest::bool::ANY,
        ) {
            let mut bytes = sample();
            for (number, (kind, offset, address, size)) in segments.into_iter().enumerate() {
                let at = 64 + 56 * number;
                let size = if huge && number == 1 { u64::MAX - size } else { size };
                bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
                bytes[at + 8..at + 16].copy_from_slice(&offset.to_le_bytes());
                bytes[at + 16..at + 24].copy_from_slice(&address.to_le_bytes());
                bytes[at + 32..at + 40].copy_from_slice(&size.to_le_bytes());
            }
            let file = file(&bytes);
            let _ = read(&file);
            crate::imports::read(&file, bytes.len() as u64, &mut Vec::new());
        }
    }

    #[test]
    fn sizes_beyond_reason_are_refused_before_they_are_read() {
        for (at, value, problem) in [
            // p_filesz of PT_INTERP and of PT_DYNAMIC, and e_phnum
            (
                64 + 56 + 32,
                u64::MAX / 2,
                "names an interpreter of more than 4096 bytes",
            ),
            (
                64 + 2 * 56 + 32,
                1 << 40,
                "has a dynamic section of more than 1 MiB",
            ),
        ] {
            let mut broken = sample();
            broken[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(read(&file(&broken)), Err(problem));
        }
        let mut broken = sample();
        broken[56..58].copy_from_slice(&0xffffu16.to_le_bytes());
        assert_eq!(read(&file(&broken)), Err("has too many program headers"));
    }
}
