//! What an ELF file says about the files it needs. Nothing of it is ever run.
//!
//! elf(5), and the dynamic section as glibc's and musl's loaders read it. Any field may be hostile: each
//! read is bounded by the file's own size and by a limit of its own.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endian, Endianness};

use crate::dlopen::{self, Dlopen};
use crate::window::Window;

mod dynamic;
#[cfg(test)]
pub(crate) mod tests;

use dynamic::read_dynamic;

/// The kernel refuses more than 64 KiB of program headers; execve(2) of Linux, `load_elf_phdrs`.
const PROGRAM_HEADERS_BYTES: u64 = 65_536;
/// `PATH_MAX`: the kernel's limit on `PT_INTERP`, and ours on any other name in the file.
const NAME_BYTES: u64 = 4_096;
/// The largest dynamic sections known have a few hundred entries of 16 bytes.
const DYNAMIC_BYTES: u64 = 1 << 20;
/// Notes of one segment; systemd's, with all that it opens, have 4 KiB.
const NOTES_BYTES: u64 = 64 << 10;
/// Of read-only segments; linkers make two.
const PIECES: usize = 4;

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
