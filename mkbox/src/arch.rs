//! Which programs the processor of this machine runs.

use object::elf;

use crate::elf::Target;

/// Whether this processor runs programs for `target` by itself.
pub(crate) fn runs_here(target: Target) -> bool {
    let machines: &[elf::Machine] = match std::env::consts::ARCH {
        "x86_64" => &[elf::EM_X86_64, elf::EM_386],
        "x86" => &[elf::EM_386],
        "aarch64" => &[elf::EM_AARCH64, elf::EM_ARM],
        "arm" => &[elf::EM_ARM],
        "riscv64" | "riscv32" => &[elf::EM_RISCV],
        "powerpc64" => &[elf::EM_PPC64, elf::EM_PPC],
        "s390x" => &[elf::EM_S390],
        "loongarch64" => &[elf::EM_LOONGARCH],
        // One that is not in the list is left to the kernel to refuse.
        _ => return true,
    };
    machines.iter().any(|machine| machine.0 == target.machine)
        && target.is_big_endian == cfg!(target_endian = "big")
}

/// As uname(1) calls it.
pub(crate) fn describe(target: Target) -> String {
    match elf::Machine(target.machine) {
        elf::EM_X86_64 => "x86_64".into(),
        elf::EM_386 => "i386".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_RISCV => "riscv".into(),
        elf::EM_PPC64 => "ppc64".into(),
        elf::EM_S390 => "s390".into(),
        elf::Machine(number) => format!("e_machine {number}"),
    }
}
