//! What an ELF file calls of the C library that no closure can follow: users and hosts by NSS, libraries by dlopen(3).

use std::fs::File;
use std::os::unix::fs::FileExt;

use object::Endianness;
use object::elf;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, Sym};

use crate::elf::file_offset;
use crate::window::Window;

/// Imported symbols that are looked at; libcrypto has some hundred.
const SYMBOLS: u64 = 16_384;
/// Bytes of names; C++ libraries have a few MB.
const NAMES_BYTES: u64 = 16 << 20;

/// Calls that end in nsswitch.conf(5), without `_r`.
const NSS: [&[u8]; 20] = [
    b"getaddrinfo",
    b"getnameinfo",
    b"gethostbyname",
    b"gethostbyname2",
    b"gethostbyaddr",
    b"getpwnam",
    b"getpwuid",
    b"getpwent",
    b"getgrnam",
    b"getgrgid",
    b"getgrent",
    b"getgrouplist",
    b"initgroups",
    b"getspnam",
    b"getservbyname",
    b"getservbyport",
    b"getprotobyname",
    b"getprotobynumber",
    b"getnetbyname",
    b"getlogin",
];
const DLOPEN: [&[u8]; 2] = [b"dlopen", b"dlmopen"];

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Imports {
    pub(crate) nss: bool,
    pub(crate) dlopen: bool,
}

/// Looks through the imported symbols of `file`. It serves a warning: whatever is odd about the file is nothing found.
///
/// `buffer` is used again from file to file: the kernel takes longer to give new memory than to fill it.
pub(crate) fn read(file: &File, bytes: u64, buffer: &mut Vec<u64>) -> Imports {
    let window = Window::new(file, bytes);
    let found = window.and_then(|window| match window.head().get(4) {
        Some(&class) if class == elf::ELFCLASS64.0 => {
            look::<elf::FileHeader64<Endianness>>(&window, file, buffer)
        }
        _ => look::<elf::FileHeader32<Endianness>>(&window, file, buffer),
    });
    found.unwrap_or_default()
}

fn look<H: FileHeader<Endian = Endianness>>(
    window: &Window<'_>,
    file: &File,
    buffer: &mut Vec<u64>,
) -> Option<Imports> {
    let header = H::parse(window).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, window).ok()?;
    let dynamic = headers
        .iter()
        .find_map(|segment| segment.dynamic(endian, window).ok().flatten())?;
    let value = |tag| {
        let entry = dynamic.iter().find(|entry| entry.tag(endian) == tag);
        entry.map(|entry| entry.val(endian))
    };
    let offset = |address| file_offset::<H>(endian, headers, address);
    let (symbols, names) = (
        offset(value(elf::DT_SYMTAB)?)?,
        offset(value(elf::DT_STRTAB)?)?,
    );
    let count = match (value(elf::DT_GNU_HASH), value(elf::DT_HASH)) {
        // Imported symbols stand before those that the table finds: its second word says how many there are.
        (Some(table), _) => word(file, endian, offset(table)? + 4)?,
        // All symbols, the second word of the old table.
        (None, Some(table)) => word(file, endian, offset(table)? + 4)?,
        (None, None) => return None,
    };
    let size = size_of::<H::Sym>() as u64;
    let symbols = within(window, symbols, u64::from(count).min(SYMBOLS) * size)?;
    let names = within(window, names, value(elf::DT_STRSZ)?.min(NAMES_BYTES))?;
    let in_symbols = symbols.1 / size_of::<H::Sym>() * size_of::<H::Sym>();
    // Aligned as the symbols are.
    buffer.resize(buffer.len().max((in_symbols + names.1).div_ceil(8)), 0);
    let bytes = object::pod::bytes_of_slice_mut(buffer.as_mut_slice());
    let (symbol_bytes, rest) = bytes.split_at_mut(in_symbols);
    file.read_exact_at(symbol_bytes, symbols.0).ok()?;
    let names_bytes = rest.get_mut(..names.1)?;
    file.read_exact_at(names_bytes, names.0).ok()?;
    let (symbols, names) = (
        symbol_bytes.chunks_exact(size_of::<H::Sym>()),
        &*names_bytes,
    );
    let symbols = symbols.filter_map(|bytes| object::pod::from_bytes::<H::Sym>(bytes).ok());
    let mut imports = Imports::default();
    for (symbol, _) in symbols {
        if symbol.st_shndx(endian) != elf::SHN_UNDEF {
            continue;
        }
        let Some(name) = names.get(symbol.st_name(endian) as usize..) else {
            continue;
        };
        imports.nss |= is_one(name, &NSS);
        imports.dlopen |= is_one(name, &DLOPEN);
    }
    Some(imports)
}

/// Whether the string at the beginning of `text` is one of the names, with or without `_r`.
fn is_one(text: &[u8], names: &[&[u8]]) -> bool {
    // How those begin sorts out nearly all of the thousands of names.
    if !matches!(text.get(..3), Some(b"get" | b"ini" | b"dlo" | b"dlm")) {
        return false;
    }
    names.iter().any(|name| {
        let rest = text.strip_prefix(*name);
        rest.is_some_and(|rest| rest.starts_with(b"\0") || rest.starts_with(b"_r\0"))
    })
}

fn word(file: &File, endian: Endianness, at: u64) -> Option<u32> {
    let mut four = [0; 4];
    file.read_exact_at(&mut four, at).ok()?;
    Some(match endian {
        Endianness::Little => u32::from_le_bytes(four),
        Endianness::Big => u32::from_be_bytes(four),
    })
}

/// Offset and length of what begins at `at` and has up to `bytes`, as far as the file goes.
fn within(window: &Window<'_>, at: u64, bytes: u64) -> Option<(u64, usize)> {
    let left = window.bytes.checked_sub(at)?;
    Some((at, usize::try_from(bytes.min(left)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_whole() {
        for (text, found) in [
            (&b"getpwnam\0x"[..], true),
            (b"getpwnam_r\0", true),
            (b"getpwnam_x\0", false),
            (b"getpwna\0", false),
            (b"getpwnam", false),
            (b"", false),
        ] {
            assert_eq!(is_one(text, &NSS), found, "{text:?}");
        }
        for name in NSS {
            assert!(is_one(&[name, b"\0"].concat(), &NSS));
        }
        for name in DLOPEN {
            assert!(is_one(&[name, b"\0"].concat(), &DLOPEN));
        }
    }

    #[test]
    fn this_machines_shell_looks_up_users_and_its_true_opens_nothing() {
        let read = |path: &str| {
            let file = File::open(path).unwrap();
            read(&file, file.metadata().unwrap().len(), &mut Vec::new())
        };
        assert!(read("/bin/sh").nss);
        assert_eq!(read("/bin/true"), Imports::default());
        assert_eq!(read("/etc/passwd"), Imports::default());
    }
}
