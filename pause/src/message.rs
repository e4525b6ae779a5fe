//! What the user reads.

use crate::cli::Wrong;
use crate::sys;
use crate::text::{Table, Text};

const STDOUT: usize = 1;
const STDERR: usize = 2;
const NOTHING: Text = Text::new(c"");

/// strerror(3) of what befalls execve(2) and fork(2), as lines.
const REASONS: Table = Table::new(
    b"\x01Operation not permitted\n\0\
    \x02No such file or directory\n\0\
    \x05Input/output error\n\0\
    \x07Argument list too long\n\0\
    \x08Exec format error\n\0\
    \x0bResource temporarily unavailable\n\0\
    \x0cCannot allocate memory\n\0\
    \x0dPermission denied\n\0\
    \x14Not a directory\n\0\
    \x16Invalid argument\n\0\
    \x1aText file busy\n\0\
    \x24File name too long\n\0\
    \x28Too many levels of symbolic links\n\0\
    \0",
);

/// Says `text` on stdout and ends; nobody may be there to read it.
pub(crate) fn print(text: Text) -> ! {
    let written = sys::write(STDOUT, &[text]);
    sys::exit((!written).into())
}

/// Says what is wrong with `argument`, and ends.
pub(crate) fn wrong(wrong: Wrong, argument: Text, status: u8) -> ! {
    let (before, after) = match wrong {
        Wrong::Unexpected => (c"unexpected argument '", c"' found (see pause --help)\n"),
        Wrong::Id => (
            c"invalid value '",
            c"' for '--id <ID>' (see pause --help)\n",
        ),
    };
    fail(
        [Text::new(before), argument, Text::new(after), NOTHING],
        status,
    )
}

/// Says which system call failed and why, and ends.
pub(crate) fn failed(call: Text, argument: Text, errno: u8, status: u8) -> ! {
    let known = { REASONS }.find(|(number, _)| *number == errno);
    let reason = known.map_or(Text::new(c"Unknown error\n"), |(_, reason)| reason);
    fail([call, argument, Text::new(c"): "), reason], status)
}

fn fail([a, b, c, d]: [Text; 4], status: u8) -> ! {
    sys::write(STDERR, &[Text::new(c"pause: "), a, b, c, d]);
    sys::exit(status)
}
