//! The dynamic section: what an ELF file needs, and where it has it looked for.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use object::Endianness;
use object::elf;
use object::read::ReadRef;
use object::read::elf::{Dyn, FileHeader};

use super::{Corrupt, Elf, NAME_BYTES, file_offset};
use crate::window::Window;

/// From the first name to the last: the largest string tables known, of C++ libraries, have a few MB.
const STRINGS_BYTES: u64 = 16 << 20;
/// Libraries that one file may ask for by name.
pub(super) const NEEDED: usize = 4_096;
/// `DT_FLAGS_1`'s bit for "do not look into the default directories".
const DF_1_NODEFLIB: u64 = 0x800;

/// The entries up to `DT_NULL`; the names are offsets into the string table that `DT_STRTAB` points to.
pub(super) fn read_dynamic<H: FileHeader<Endian = Endianness>>(
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
