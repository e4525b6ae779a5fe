//! What the user typed.

use core::ffi::CStr;

use crate::text::{Table, Text, Texts};

/// What to do.
pub(crate) enum Command {
    /// Hold the namespaces.
    Hold,
    /// Run a command: the end of argv that begins with it.
    Init(Texts),
    /// Say this on stdout.
    Print(Text),
    /// Say what is wrong with this argument, and end with this status.
    Wrong(Wrong, Text, u8),
}

/// What is wrong with an argument.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Unexpected,
    Id,
}

const OPTIONS: Table = Table::new(b"h--help\0h-h\0v--version\0v-V\0v-v\0\0");

const HELP: Text = Text::new(
    c"\
Usage: pause [--id ID] [[--] CMD [ARG...]]

Holds the namespaces it is in until TERM or INT. With CMD: its init.

      --id ID        whose pause it is, for ps
  -h, --help
  -V, -v, --version

Example: pause -- sleep 1
",
);

const VERSION: Text = Text::new(
    match CStr::from_bytes_with_nul(concat!("pause ", env!("CARGO_PKG_VERSION"), "\n\0").as_bytes())
    {
        Ok(version) => version,
        Err(_) => panic!(),
    },
);

/// Reads argv. Of several `--id` all are in sight, and all must be right.
pub(crate) fn parse(arguments: Texts) -> Command {
    let mut rest = arguments;
    rest.next();
    let (wrong, argument) = loop {
        let command = rest;
        let Some(argument) = rest.next() else {
            return Command::Hold;
        };
        if argument.first() != b'-' {
            return Command::Init(command);
        }
        if argument.is(Text::new(c"--")) {
            if rest.next().is_none() {
                break (Wrong::Unexpected, argument);
            }
            let mut command = command;
            command.next();
            return Command::Init(command);
        }
        match { OPTIONS }.find(|(_, option)| argument.is(*option)) {
            Some((b'h', _)) => return Command::Print(HELP),
            Some(_) => return Command::Print(VERSION),
            None => {}
        }
        let Some(mut value) = argument.strip_prefix(Text::new(c"--id")) else {
            break (Wrong::Unexpected, argument);
        };
        match value.next() {
            None => value = rest.next().unwrap_or(value),
            Some(b'=') => {}
            Some(_) => break (Wrong::Unexpected, argument),
        }
        if !is_id(value) {
            break (Wrong::Id, value);
        }
    };
    // 2 might be CMD's own status.
    let mut arguments = arguments;
    let status = if arguments.any(|argument| argument.is(Text::new(c"--"))) {
        125
    } else {
        2
    };
    Command::Wrong(wrong, argument, status)
}

/// The form of an id: `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`.
fn is_id(id: Text) -> bool {
    let mut length = 0;
    for byte in id {
        if !byte.is_ascii_alphanumeric() && (length == 0 || !matches!(byte, b'_' | b'.' | b'-')) {
            return false;
        }
        length += 1;
    }
    (1..=128).contains(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&'static CStr]) -> String {
        let text = |text: Text| String::from_utf8(text.collect()).unwrap();
        let argv = [&[c"pause"], arguments].concat();
        match parse(Texts::leak(&argv)) {
            Command::Hold => "hold".into(),
            Command::Init(command) => command.map(text).collect::<Vec<_>>().join(" "),
            Command::Print(shown) => text(shown),
            Command::Wrong(wrong, argument, status) => {
                format!("{wrong:?} {} {status}", text(argument))
            }
        }
    }

    #[test]
    fn without_a_command_it_holds() {
        assert_eq!(said(&[]), "hold");
        assert_eq!(said(&[c"--id", c"foo"]), "hold");
        assert_eq!(said(&[c"--id=foo"]), "hold");
    }

    #[test]
    fn a_command_begins_after_two_dashes_or_with_the_first_argument_that_is_no_option() {
        assert_eq!(said(&[c"--", c"sh", c"-c", c"--help"]), "sh -c --help");
        assert_eq!(said(&[c"--id", c"foo", c"--", c"--version"]), "--version");
        assert_eq!(said(&[c"--id=foo", c"sh", c"--", c"--x"]), "sh -- --x");
        assert_eq!(said(&[c""]), "");
    }

    #[test]
    fn help_and_version_are_said() {
        for help in [c"-h", c"--help"] {
            assert!(said(&[c"--id", c"foo", help]).starts_with("Usage: pause "));
        }
        for version in [c"-v", c"-V", c"--version"] {
            assert_eq!(
                said(&[version]),
                concat!("pause ", env!("CARGO_PKG_VERSION"), "\n")
            );
        }
    }

    #[test]
    fn what_is_wrong_is_2_and_before_a_command_125() {
        assert_eq!(said(&[c"--bogus"]), "Unexpected --bogus 2");
        assert_eq!(
            said(&[c"--bogus", c"--", c"true"]),
            "Unexpected --bogus 125"
        );
        assert_eq!(said(&[c"--idfoo"]), "Unexpected --idfoo 2");
        assert_eq!(said(&[c"-"]), "Unexpected - 2");
        assert_eq!(said(&[c"-hv"]), "Unexpected -hv 2");
        assert_eq!(said(&[c"--"]), "Unexpected -- 125");
        assert_eq!(said(&[c"--id"]), "Id  2");
        assert_eq!(said(&[c"--id", c"--", c"true"]), "Id -- 125");
        // Linux before 5.18 lets argv be empty
        assert!(matches!(parse(Texts::leak(&[])), Command::Hold));
    }

    #[test]
    fn an_id_is_a_name() {
        let id = |text: &str| {
            is_id(Text::new(Box::leak(
                std::ffi::CString::new(text).unwrap().into_boxed_c_str(),
            )))
        };
        for good in ["a", "0", "Z9_.-", &"x".repeat(128)] {
            assert!(id(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "-x",
            "_x",
            "a b",
            "a\n",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(!id(bad), "{bad}");
        }
    }
}
