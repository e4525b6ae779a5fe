//! `--sysctl`, and `linux.sysctl` of the record as far as it is about the network: switches of the pod's own network namespace.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use nix::errno::Errno;
use record::Record;
use serde_json::Value;
use sys::{Call, SysError};

use crate::error::Error;
use crate::plan::Ifname;

/// `net.ipv4.tcp_syncookies=0`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sysctl {
    /// As it is typed, and as it is in the record.
    pub(crate) name: String,
    pub(crate) value: String,
    /// Below /proc/sys/net.
    path: PathBuf,
}

impl Sysctl {
    fn new(name: &str, value: &str) -> Result<Self, String> {
        let rest = name
            .strip_prefix("net.")
            .or_else(|| name.strip_prefix("net/"));
        let rest = rest.ok_or_else(|| {
            format!("{name:?} is not about the network (net. is how those begin)")
        })?;
        // As sysctl(8): whichever separator comes first is the one, and the other stands for itself, as in eth0.100.
        let slashes = name.starts_with("net/");
        let swapped: String = rest
            .chars()
            .map(|c| match c {
                '.' if !slashes => '/',
                '/' if !slashes => '.',
                c => c,
            })
            .collect();
        let good = |part: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(known)
        };
        if !swapped.split('/').all(good) {
            return Err(format!("{name:?} is no name of a sysctl"));
        }
        if value.contains(['\n', '\0']) {
            return Err(format!("{name}: a value is one line"));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
            path: PathBuf::from("/proc/sys/net").join(swapped),
        })
    }

    /// Whether it is a switch of this interface, which is there only when that is.
    fn is_of(&self, ifname: &Ifname) -> bool {
        let part = std::ffi::OsStr::new(ifname.as_ref());
        self.path.iter().any(|one| one == part)
    }

    /// Sets it in the network namespace of the calling thread, and sees what became of it.
    fn set(&self) -> Result<(), Error> {
        let call = || format!("write({}, {})", self.path.display(), self.value);
        // Not created: a file of that name would be a sysctl nobody has.
        let open = fs::OpenOptions::new().write(true).open(&self.path);
        let written =
            open.and_then(|mut file| std::io::Write::write_all(&mut file, self.value.as_bytes()));
        if let Err(error) = written {
            let error = SysError::new(call(), error);
            return Err(match error.errno {
                Errno::ENOENT => error.hint("not one that a network namespace has for itself"),
                Errno::EROFS => error.hint("is /proc/sys read-only here?"),
                _ => error,
            }
            .into());
        }
        let is = fs::read_to_string(&self.path).call(|| format!("read({})", self.path.display()));
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        match is {
            // Some cannot be read, and some have other words for what was written.
            Ok(is) if words(&is) != words(&self.value) && is.trim().parse::<i64>().is_ok() => {
                let is = is.trim();
                Err(Error::failed(format!("{}: it is {is} now", call())))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Sysctl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
        Self::new(name, value)
    }
}

/// What the record says, then what was typed; the last word on each counts.
pub(crate) fn wanted(record: &Record, typed: &[Sysctl]) -> Result<Vec<Sysctl>, Error> {
    let linux = record.get("linux");
    let all = linux
        .and_then(|linux| linux.get("sysctl"))
        .and_then(Value::as_object);
    let mut wanted: Vec<Sysctl> = Vec::new();
    for (name, value) in all.into_iter().flatten() {
        if !name.starts_with("net.") && !name.starts_with("net/") {
            continue;
        }
        let bad = |why: String| Error::record(format!("linux.sysctl: {why}"));
        let value = value
            .as_str()
            .ok_or_else(|| bad(format!("{name:?} must be a string")))?;
        wanted.push(Sysctl::new(name, value).map_err(bad)?);
    }
    for one in typed {
        wanted.retain(|other| other.path != one.path);
        wanted.push(one.clone());
    }
    Ok(wanted)
}

/// Sets those of interface `ifname`, or all but those; for a thread in the pod's namespace.
pub(crate) fn apply(all: &[Sysctl], ifname: &Ifname, of_interface: bool) -> Result<(), Error> {
    let mut these = all.iter().filter(|one| one.is_of(ifname) == of_interface);
    these.try_for_each(Sysctl::set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_sysctl() {
        for (text, path) in [
            ("net.ipv4.tcp_syncookies=0", "ipv4/tcp_syncookies"),
            (
                "net/ipv4/conf/eth0.100/arp_filter=1",
                "ipv4/conf/eth0.100/arp_filter",
            ),
            (
                "net.ipv4.conf.eth0/100.arp_filter=1",
                "ipv4/conf/eth0.100/arp_filter",
            ),
            (
                "net.ipv4.ip_local_port_range=1024 65535",
                "ipv4/ip_local_port_range",
            ),
        ] {
            let sysctl: Sysctl = text.parse().unwrap();
            assert_eq!(
                sysctl.path,
                PathBuf::from("/proc/sys/net").join(path),
                "{text}"
            );
        }
        for bad in [
            "net.ipv4.tcp_syncookies",
            "kernel.hostname=x",
            "net.=1",
            "net./.ipv4=1",
            "net...=1",
            "net/../kernel/hostname=x",
            "net.//.kernel.x=1",
            "net.a=1\n2",
            "netx=1",
        ] {
            assert!(bad.parse::<Sysctl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_record_is_heard_and_what_is_typed_counts_more() {
        let record = br#"{"id":"foo","linux":{"sysctl":{"net.core.somaxconn":"5","kernel.domainname":"x","net.ipv4.ip_forward":"1"}}}"#;
        let record = Record::parse(record).unwrap();
        let typed: Sysctl = "net/core/somaxconn=9".parse().unwrap();
        let all = wanted(&record, &[typed]).unwrap();
        let all: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_str()))
            .collect();
        assert_eq!(
            all,
            [("net.ipv4.ip_forward", "1"), ("net/core/somaxconn", "9")]
        );
        let bad = Record::parse(br#"{"id":"foo","linux":{"sysctl":{"net.x":1}}}"#).unwrap();
        assert_eq!(
            wanted(&bad, &[]).unwrap_err().to_string(),
            "linux.sysctl: \"net.x\" must be a string"
        );
    }
}
