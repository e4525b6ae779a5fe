//! Files made by hand, whole and broken.

use super::dynamic::NEEDED;
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
