//! CMD, looked up in PATH.

use core::mem::MaybeUninit;

use crate::message;
use crate::sys::{self, EACCES, ENOENT, ENOTDIR};
use crate::text::{Text, Texts};

/// Becomes `command`, or says why not and ends with 127 (not found) or 126, as env(1).
pub(crate) fn exec(command: Texts, environment: Texts) -> ! {
    let name = { command }.next().unwrap_or(Text::new(c""));
    let errno = if name.first() == 0 || { name }.any(|byte| byte == b'/') {
        sys::execve(name.address(), command, environment)
    } else {
        search(name, command, environment)
    };
    let status = if errno == ENOENT { 127 } else { 126 };
    message::failed(Text::new(c"exec("), name, errno, status)
}

/// Tries `name` in each directory of PATH; why none did.
fn search(name: Text, command: Texts, environment: Texts) -> u8 {
    let mut path = { environment }
        .find_map(|variable| variable.strip_prefix(Text::new(c"PATH=")))
        .unwrap_or(Text::new(c"/usr/local/bin:/bin:/usr/bin"));
    let mut errno = ENOENT;
    loop {
        let mut file = Path::new();
        let last = file.append(&mut path, b':');
        // Nothing between two colons is the working directory.
        if file.length != 0 {
            file.push(b'/');
        }
        file.append(&mut { name }, 0);
        // A path that is too long is one where there is nothing.
        if let Some(file) = file.address() {
            match sys::execve(file, command, environment) {
                ENOENT | ENOTDIR => {}
                EACCES => errno = EACCES,
                other => return other,
            }
        }
        if last {
            return errno;
        }
    }
}

/// A path that is put together.
struct Path {
    /// As many as a path can have, with its NUL.
    bytes: [MaybeUninit<u8>; 4096],
    length: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            bytes: [const { MaybeUninit::uninit() }; 4096],
            length: 0,
        }
    }

    /// Takes `text` up to its end, which is true, or to a `stop`, which is left out. What has no room is forgotten.
    fn append(&mut self, text: &mut Text, stop: u8) -> bool {
        loop {
            let Some(byte) = text.next() else {
                return true;
            };
            if byte == stop {
                return false;
            }
            self.push(byte);
        }
    }

    #[inline(never)]
    fn push(&mut self, byte: u8) -> bool {
        let Some(place) = self.bytes.get_mut(self.length) else {
            return false;
        };
        place.write(byte);
        self.length += 1;
        true
    }

    /// For the kernel, if there was room for all and the NUL.
    fn address(&mut self) -> Option<usize> {
        self.push(0)
            .then(|| self.bytes.as_ptr().expose_provenance())
    }
}
