//! memcpy(3) and memmove(3) that are quick with short pieces.
//!
//! musl's begin a string instruction for every piece of eight bytes or more, which takes the processor some fifty cycles, and
//! what these tools copy are names and small structures: a fifth of the time of an `up`. In assembly, because a compiler may
//! make a call of memcpy out of any loop that copies, this one's own included.
#![expect(unsafe_code, reason = "assembly")]

use core::arch::global_asm;

// Up to 128 bytes are all read before the first is written, so it does not matter whether they overlap.
global_asm!(
    ".globl memcpy, memmove",
    ".type memcpy, @function",
    ".type memmove, @function",
    ".p2align 5",
    "memcpy:",
    "memmove:",
    "mov rax, rdi",
    "cmp rdx, 16",
    "jb 3f",
    "movups xmm0, [rsi]",
    "movups xmm1, [rsi + rdx - 16]",
    "cmp rdx, 32",
    "ja 2f",
    "movups [rdi], xmm0",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    // 33 to 128: two or four pieces from each end, which meet or overlap.
    "2:",
    "cmp rdx, 128",
    "ja 6f",
    "movups xmm2, [rsi + 16]",
    "movups xmm3, [rsi + rdx - 32]",
    "cmp rdx, 64",
    "jbe 22f",
    "movups xmm4, [rsi + 32]",
    "movups xmm5, [rsi + 48]",
    "movups xmm6, [rsi + rdx - 64]",
    "movups xmm7, [rsi + rdx - 48]",
    "movups [rdi + 32], xmm4",
    "movups [rdi + 48], xmm5",
    "movups [rdi + rdx - 64], xmm6",
    "movups [rdi + rdx - 48], xmm7",
    "22:",
    "movups [rdi], xmm0",
    "movups [rdi + 16], xmm2",
    "movups [rdi + rdx - 32], xmm3",
    "movups [rdi + rdx - 16], xmm1",
    "ret",
    // Below 16: both ends as the largest word that fits.
    "3:",
    "cmp edx, 8",
    "jb 4f",
    "mov rcx, [rsi]",
    "mov r8, [rsi + rdx - 8]",
    "mov [rdi], rcx",
    "mov [rdi + rdx - 8], r8",
    "ret",
    "4:",
    "cmp edx, 4",
    "jb 5f",
    "mov ecx, [rsi]",
    "mov r8d, [rsi + rdx - 4]",
    "mov [rdi], ecx",
    "mov [rdi + rdx - 4], r8d",
    "ret",
    // 1 to 3: the first, the middle and the last byte.
    "5:",
    "test edx, edx",
    "je 55f",
    "mov r10, rdx",
    "shr r10, 1",
    "movzx ecx, byte ptr [rsi]",
    "movzx r8d, byte ptr [rsi + rdx - 1]",
    "movzx r9d, byte ptr [rsi + r10]",
    "mov [rdi], cl",
    "mov [rdi + r10], r9b",
    "mov [rdi + rdx - 1], r8b",
    "55:",
    "ret",
    // Above 128, from the front unless that would overwrite what is still to be read.
    "6:",
    "mov rcx, rdi",
    "sub rcx, rsi",
    "cmp rcx, rdx",
    "mov rcx, rdx",
    "jb 7f",
    "rep movsb",
    "ret",
    // From the back, by words; the first word covers what is no whole one.
    "7:",
    "mov r8, [rsi]",
    "lea rsi, [rsi + rdx - 8]",
    "lea rdi, [rdi + rdx - 8]",
    "shr rcx, 3",
    "std",
    "rep movsq",
    "cld",
    "mov [rax], r8",
    "ret",
    ".size memcpy, . - memcpy",
    ".size memmove, . - memmove",
);

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_and_every_overlap_is_copied_as_it_was() {
        let original: Vec<u8> = (0..1300u32).map(|at| (at * 7 + at / 256) as u8).collect();
        for length in (0..300).chain([511, 512, 513, 600]) {
            for (from, to) in [
                (0, 600),
                (3, 601),
                (600, 0),
                (8, 0),
                (0, 8),
                (5, 4),
                (4, 5),
                (0, 131),
                (7, 7),
            ] {
                let mut bytes = original.clone();
                bytes.copy_within(from..from + length, to);
                assert_eq!(
                    bytes[to..to + length],
                    original[from..from + length],
                    "{length} {from} {to}"
                );
                assert_eq!(bytes[..to], original[..to], "{length} {from} {to}");
                assert_eq!(
                    bytes[to + length..],
                    original[to + length..],
                    "{length} {from} {to}"
                );
            }
        }
    }
}
