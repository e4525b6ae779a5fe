//! That a pod cannot pass for another, nor for a router.
//!
//! Each pod has a link of its own to the host, so there is nobody else to answer on it, and no address of the link layer
//! decides where a packet goes. What is left is the source of its packets, and IPv6's habit of listening to whoever says
//! that it is a router. The kernel has a switch for each, on the host's end: `rp_filter`, which also keeps requests of
//! arp(7) with other senders from filling the host's table of neighbours, and `disable_ipv6`, or, if the
//! pod has an address of IPv6, rules of our table.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use sys::{Call, ToErrno};

use crate::TOOL;
use crate::error::Error;

/// `--antispoof`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Unless the machine cannot: then that is said.
    Auto,
    /// Or fail.
    Always,
    Never,
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err("neither auto, always nor never".into()),
        }
    }
}

/// Whether the interface's own `rp_filter` decides: the higher one of it and that of `all` counts, and 2, "loose", is higher
/// than 1, "strict".
pub(crate) fn is_loose() -> bool {
    let all = fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter");
    all.is_ok_and(|all| all.trim_end() == "2")
}

/// The switch that takes IPv6 away from an interface.
fn disable_ipv6(interface: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf")
        .join(interface)
        .join("disable_ipv6")
}

/// Turns it, before the interface is up; a kernel without IPv6 needs none.
pub(crate) fn turn_ipv6_off(interface: &str, when: When, verbose: bool) -> Result<bool, Error> {
    let switch = disable_ipv6(interface);
    let answer = match fs::write(&switch, "1") {
        Err(error) if error.to_errno() == Errno::ENOENT => return Ok(true),
        answer => answer.call(|| format!("write({}, 1)", switch.display())),
    };
    match answer {
        Ok(()) => {
            if verbose {
                record::trace(TOOL, step(interface));
            }
            Ok(true)
        }
        Err(error) => unless_demanded(error.into(), true, when).map(|()| false),
    }
}

/// As `--dry-run` and `-v` have it.
pub(crate) fn step(interface: &str) -> String {
    format!("write({}, 1)", disable_ipv6(interface).display())
}

/// What cannot be had is an error if it was asked for, and said otherwise.
pub(crate) fn unless_demanded(error: Error, dispensable: bool, when: When) -> Result<(), Error> {
    if when == When::Always || !dispensable {
        return Err(error);
    }
    if when == When::Never {
        return Ok(());
    }
    record::report(TOOL, format_args!("{error} (the pod may pass for another)"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_words_are_understood() {
        assert_eq!("auto".parse(), Ok(When::Auto));
        assert_eq!("always".parse(), Ok(When::Always));
        assert_eq!("never".parse(), Ok(When::Never));
        assert!("yes".parse::<When>().is_err());
    }
}
