//! The name of an interface.

use std::fmt;
use std::str::FromStr;

/// The name of a network interface, as the kernel takes it (`dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ifname(String);

impl FromStr for Ifname {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = match text {
            "" => "an interface needs a name",
            "." | ".." => "no name for an interface",
            "lo" => "is the loopback interface, every pod has it",
            _ if text.len() > 15 => "longer than 15 bytes",
            _ if text.contains(['/', ':', '%']) => {
                "'/', ':' and '%' cannot be in the name of an interface"
            }
            // The kernel takes any byte; JSON, leases and terminals do not.
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                "only visible ASCII can be in it"
            }
            _ => return Ok(Self(text.to_owned())),
        };
        Err(why.into())
    }
}

impl Ifname {
    /// The one that no interface of ours can have.
    pub(crate) fn loopback() -> Self {
        Self("lo".into())
    }
}

impl AsRef<str> for Ifname {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ifname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_kernel_would_not_take_are_refused_before() {
        for bad in [
            "",
            ".",
            "..",
            "lo",
            "a/b",
            "eth0:1",
            "eth%d",
            "a b",
            "eth\n",
            "ä",
            "interface1234567",
        ] {
            assert!(bad.parse::<Ifname>().is_err(), "{bad:?}");
        }
        for good in ["eth0", "net1", "a", "veth-x.100_1", "123456789012345"] {
            assert_eq!(good.parse::<Ifname>().unwrap().as_ref(), good);
        }
    }
}
