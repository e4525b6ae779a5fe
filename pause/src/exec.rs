//! CMD, looked up in PATH.

use core::mem::MaybeUninit;

use crate::message;
use crate::sys::{self, EACCES, ENOENT, ENOTDIR};
use crate::text::{Text, Texts};

/// Becomes `command`, or says why not and ends with 127 (not found) or 126, as env(1).
pub(crate) fn exec(command: Texts, environment: Texts) -> ! {
    let name = command.clone().next().unwrap_or(Text::new(c""));
    let errno = if name.first() == 0 || name.clone().any(|byte| byte == b'/') {
        sys::execve(name.address(), command, environment)
    } else {
        search(name, command, environment)
    };
    let status = if errno == ENOENT { 127 } else { 126 };
    message::failed(Text::new(c"exec("), name, errno, status)
}

/// Tries `name` in each directory of PATH; why none did.
fn search(name: Text, command: Texts, mut environment: Texts) -> u8 {
    let mut path = environment
        .find_map(|variable| variable.strip_prefix(Text::new(c"PATH=")))
        .unwrap_or(Text::new(c"/usr/local/bin:/bin:/usr/bin"));
    let mut errno = ENOENT;
    loop {
        let mut file = Path::new();
        let last = loop {
            match path.next() {
                None => break true,
                Some(b':') => break false,
                Some(byte) => file.push(byte),
            }
        };
        // No name between two colons is the working directory.
        if file.length != 0 {
            file.push(b'/');
        }
        name.for_each(|byte| file.push(byte));
        file.push(0);
        // Too long for a path: there is no such file.
        if file.length < file.bytes.len() {
            match sys::execve(file.bytes.as_ptr().expose_provenance(), command, environment) {
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

/// A path being put together; what is beyond its end is dropped.
struct Path {
    /// PATH_MAX, and one byte more by which it is known to be too long.
    bytes: [MaybeUninit<u8>; 4097],
    length: usize,
}

impl Path {
    fn new() -> Self {
        Self { bytes: [const { MaybeUninit::uninit() }; 4097], length: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            place.write(byte);
            self.length += 1;
        }
    }
}
