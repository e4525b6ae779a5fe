//! The name of a pod.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// The name of a pod or box: `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`.
///
/// Groups, interfaces and the index are named after it, so it can be no path and no option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(transparent, inline, description = "The name of a pod or box")
)]
pub struct Id(
    #[cfg_attr(test, schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")))] String,
);

/// Bytes; podman's ids have 64.
const MAX: usize = 128;

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !begins || text.len() > MAX || !text.chars().all(allowed) {
            // Debug, so that a newline or an escape sequence cannot act on the reader's terminal.
            let shown: String = text.chars().take(40).collect();
            return Err(format!(
                "{shown:?} is no id (a letter or digit, then letters, digits, '_', '.', '-'; {MAX} at most)"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_a_path_an_option_or_nothing_are_refused() {
        for bad in [
            "", ".", "..", "../x", "a/b", "-x", ".x", "_x", "a b", "a\n", "a\0", "ä", "a:b",
        ] {
            assert!(bad.parse::<Id>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(129).parse::<Id>().is_err());
    }

    #[test]
    fn names_of_podman_and_kubernetes_are_taken() {
        let podman = "0123456789abcdef".repeat(4);
        for good in ["foo", "F0_o.bar-1", "9", "a..b", &podman, &"a".repeat(128)] {
            assert_eq!(good.parse::<Id>().unwrap().as_ref(), good);
        }
    }
}
