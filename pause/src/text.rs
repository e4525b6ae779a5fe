//! Strings as the kernel hands them over: a pointer to bytes with a NUL at the end.
#![expect(
    unsafe_code,
    reason = "a slice would need the length of each argument first"
)]

use core::ffi::CStr;
use core::ptr::NonNull;

/// A string that ends with NUL and lives as long as the process: an argument, a variable, a literal.
#[derive(Clone, Copy)]
pub(crate) struct Text(NonNull<u8>);

impl Text {
    /// A literal.
    pub(crate) const fn new(literal: &'static CStr) -> Self {
        // SAFETY: a reference is not null.
        Self(unsafe { NonNull::new_unchecked(literal.as_ptr().cast_mut().cast()) })
    }

    /// Its first byte; 0 when it is empty.
    pub(crate) fn first(self) -> u8 {
        // SAFETY: the NUL at least is there.
        unsafe { self.0.read() }
    }

    /// What follows `prefix`, if it begins so.
    pub(crate) fn strip_prefix(mut self, prefix: Self) -> Option<Self> {
        for byte in prefix {
            if self.next() != Some(byte) {
                return None;
            }
        }
        Some(self)
    }

    /// The same bytes.
    pub(crate) fn is(self, other: Self) -> bool {
        self.strip_prefix(other)
            .is_some_and(|rest| rest.first() == 0)
    }

    /// Where its bytes end: at the NUL.
    pub(crate) fn end(mut self) -> Self {
        while self.next().is_some() {}
        self
    }

    /// Bytes, without the NUL.
    pub(crate) fn length(self) -> usize {
        self.end().address() - self.address()
    }

    /// For the kernel.
    pub(crate) fn address(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }
}

impl Iterator for Text {
    type Item = u8;

    /// Takes the first byte away.
    fn next(&mut self) -> Option<u8> {
        let byte = self.first();
        if byte == 0 {
            return None;
        }
        // SAFETY: more follows, the NUL at least.
        self.0 = unsafe { self.0.add(1) };
        Some(byte)
    }
}

/// argv or envp, or the end of one: pointers to strings, with a null pointer after the last.
#[derive(Clone, Copy)]
pub(crate) struct Texts(NonNull<Option<Text>>);

impl Texts {
    /// # Safety
    /// `array` holds addresses of strings and then a null pointer, all for the life of the process.
    pub(crate) unsafe fn new(array: NonNull<usize>) -> Self {
        Self(array.cast())
    }

    /// Where it is; at the end, the null pointer.
    pub(crate) fn array(self) -> NonNull<usize> {
        self.0.cast()
    }

    /// For the kernel.
    pub(crate) fn address(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    /// An argv of these.
    #[cfg(test)]
    pub(crate) fn leak(strings: &[&'static CStr]) -> Self {
        let mut array: Vec<usize> = strings
            .iter()
            .map(|string| Text::new(string).address())
            .collect();
        array.push(0);
        // SAFETY: the null pointer is there, and a leak is for ever.
        unsafe { Self::new(NonNull::from(array.leak()).cast()) }
    }
}

impl Iterator for Texts {
    type Item = Text;

    /// Takes the first string away.
    fn next(&mut self) -> Option<Text> {
        // SAFETY: the null pointer at the end is not passed.
        unsafe {
            let text = self.0.read()?;
            self.0 = self.0.add(1);
            Some(text)
        }
    }
}

/// Literals that a byte stands for: byte, text, NUL, and again; an empty one is the end. Half as long as an array of references.
#[derive(Clone, Copy)]
pub(crate) struct Table(Text);

impl Table {
    pub(crate) const fn new(literal: &'static [u8]) -> Self {
        assert!(matches!(literal, [.., 0, 0]));
        // SAFETY: the NUL that ends the first entry, or the table.
        let first = unsafe { CStr::from_ptr(literal.as_ptr().cast()) };
        Self(Text::new(first))
    }
}

impl Iterator for Table {
    type Item = (u8, Text);

    fn next(&mut self) -> Option<(u8, Text)> {
        let mut text = self.0;
        let key = text.next()?;
        // SAFETY: after the NUL another entry begins, or there is the one NUL more.
        self.0 = Text(unsafe { text.end().0.add(1) });
        Some((key, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_off_whole_or_not_at_all() {
        let rest = |text, prefix| {
            Text::new(text)
                .strip_prefix(Text::new(prefix))
                .map(|rest| rest.collect::<Vec<_>>())
        };
        assert_eq!(rest(c"PATH=/bin", c"PATH="), Some(b"/bin".to_vec()));
        assert_eq!(rest(c"PATH=", c"PATH="), Some(vec![]));
        assert_eq!(rest(c"PATH", c"PATH="), None);
        assert_eq!(rest(c"", c"PATH="), None);
    }

    #[test]
    fn only_all_the_same_bytes_are_the_same_text() {
        assert!(Text::new(c"--id").is(Text::new(c"--id")));
        assert!(!Text::new(c"--idx").is(Text::new(c"--id")));
        assert!(!Text::new(c"--i").is(Text::new(c"--id")));
    }

    #[test]
    fn a_table_has_every_entry_and_an_end() {
        let table = Table::new(b"ab\0c\0dxyz\0\0");
        let entries: Vec<_> = table.map(|(key, text)| (key, text.length())).collect();
        assert_eq!(entries, [(b'a', 1), (b'c', 0), (b'd', 3)]);
    }
}
