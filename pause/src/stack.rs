//! What the kernel hands to a program: execve(2), getauxval(3).
#![expect(unsafe_code, reason = "the stack is what the kernel says it is")]

use core::ptr::NonNull;

use crate::text::{Text, Texts};

/// The stack at the start: argc, argv and a null pointer, envp and a null pointer, the auxiliary vector, and above them the strings
/// of argv, of envp, and the name of the file. Only the entry can have one.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Stack(NonNull<usize>);

impl Stack {
    pub(crate) fn arguments(self) -> Texts {
        // SAFETY: argv follows argc.
        unsafe { Texts::new(self.0.add(1)) }
    }

    pub(crate) fn environment(self) -> Texts {
        // SAFETY: envp follows argv, which has argc pointers and the null pointer.
        unsafe { Texts::new(self.0.add(1 + self.0.read() + 1)) }
    }

    /// The name of the file that was executed: the last string, at the very top.
    fn file(self) -> Option<Text> {
        const AT_NULL: usize = 0;
        const AT_EXECFN: usize = 31;
        let mut environment = self.environment();
        while environment.next().is_some() {}
        // SAFETY: after the null pointer of envp come types, each with its value: of AT_EXECFN a string, and AT_NULL is the last.
        unsafe {
            let mut entry = environment.array().add(1);
            loop {
                match entry.read() {
                    AT_NULL => return None,
                    AT_EXECFN => return entry.add(1).cast::<Option<Text>>().read(),
                    _ => entry = entry.add(2),
                }
            }
        }
    }

    /// The first address above all that is in use.
    pub(crate) fn top(self) -> usize {
        self.file()
            .map_or(self.0.as_ptr().expose_provenance(), |file| {
                file.end().address() + 1
            })
    }
}
