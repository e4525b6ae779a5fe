//! A name becomes an address, as a program in the pod would ask for it: one question to each nameserver, from in there.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use record::Record;
use serde_json::Value;

use crate::TOOL;

/// A nameserver that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(1);
const PORT: u16 = 53;
const A: u16 = 1;
const AAAA: u16 = 28;
const NXDOMAIN: u8 = 3;

/// Whom to ask, and what to append to a name without a dot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resolver {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    /// Who names them.
    from: String,
    hosts: String,
}

impl Resolver {
    /// Of the record, else of the files that a pod without its own sees.
    pub(super) fn of(record: &Record) -> Self {
        let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
        let dns = record.get(TOOL).and_then(|state| state.get("dns"));
        let list = |key: &str| -> Vec<String> {
            let list = dns.and_then(|dns| dns.get(key)).and_then(Value::as_array);
            let list = list.into_iter().flatten().filter_map(Value::as_str);
            list.map(str::to_owned).collect()
        };
        let servers: Vec<IpAddr> = list("nameservers")
            .iter()
            .filter_map(|server| server.parse().ok())
            .collect();
        if !servers.is_empty() {
            return Self {
                servers,
                search: list("search"),
                from: "the record".into(),
                hosts,
            };
        }
        let path = "/etc/resolv.conf";
        let text = fs::read_to_string(path).unwrap_or_default();
        Self {
            hosts,
            ..Self::parse(&text, path)
        }
    }

    pub(super) fn parse(text: &str, from: &str) -> Self {
        let mut found = Self {
            from: from.to_owned(),
            ..Self::default()
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server: Option<IpAddr> =
                        words.next().and_then(|server| server.parse().ok());
                    found.servers.extend(server);
                }
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        found
    }

    /// The address of `name`, and who said so; or what is wrong.
    pub(super) fn resolve(&self, name: &str) -> Result<(IpAddr, String), String> {
        if let Some(address) = in_hosts(&self.hosts, name) {
            return Ok((address, "/etc/hosts".into()));
        }
        if self.servers.is_empty() {
            return Err(format!("{name}: no nameserver is named in {}", self.from));
        }
        let mut names = vec![name.to_owned()];
        if !name.contains('.') {
            let full = self.search.iter().map(|domain| format!("{name}.{domain}"));
            names = full.chain([name.to_owned()]).collect();
        }
        let mut wrong = String::new();
        for server in &self.servers {
            wrong = match ask_all(*server, &names) {
                Ok(address) => return Ok((address, format!("nameserver {server}"))),
                // It has answered, and others would say the same.
                Err(Silence::Unknown(why)) => return Err(format!("{name}: {why}")),
                Err(Silence::Dead(why)) => format!("{name}: {why}"),
            };
        }
        Err(wrong)
    }
}

/// Why there is no address.
#[derive(Debug)]
enum Silence {
    /// The nameserver knows of none.
    Unknown(String),
    /// It does not say anything.
    Dead(String),
}

fn in_hosts(hosts: &str, name: &str) -> Option<IpAddr> {
    hosts.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    })
}

fn ask_all(server: IpAddr, names: &[String]) -> Result<IpAddr, Silence> {
    let mut missing = true;
    for name in names {
        for kind in [A, AAAA] {
            match ask(server, name, kind)? {
                Answer::Address(address) => return Ok(address),
                Answer::NoSuchName => break,
                Answer::NoAddress => missing = false,
            }
        }
    }
    Err(Silence::Unknown(match missing {
        true => format!("nameserver {server} knows no such name"),
        false => format!("nameserver {server} knows no address of it"),
    }))
}

/// What a nameserver says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Address(IpAddr),
    NoSuchName,
    NoAddress,
}

fn ask(server: IpAddr, name: &str, kind: u16) -> Result<Answer, Silence> {
    let dead = |error: std::io::Error| {
        Silence::Dead(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("nameserver {server} does not answer")
            }
            ErrorKind::ConnectionRefused => {
                format!("nothing listens on port {PORT} of nameserver {server}")
            }
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                format!("nameserver {server} cannot be reached")
            }
            _ => format!("nameserver {server}: {error}"),
        })
    };
    let any: SocketAddr = match server {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).map_err(dead)?;
    socket.connect((server, PORT)).map_err(dead)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(dead)?;
    // The socket takes answers of this server only, and lives for one of them: the port is the secret.
    let number = socket.local_addr().map_err(dead)?.port();
    socket.send(&question(number, name, kind)).map_err(dead)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer).map_err(dead)?;
    let answer = answer.get(..length).unwrap_or_default();
    parse(answer, number, kind)
        .ok_or_else(|| Silence::Dead(format!("nameserver {server} does not answer properly")))
}

/// RFC 1035, with recursion desired.
fn question(number: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// None: no answer to that question.
pub(super) fn parse(answer: &[u8], number: u16, kind: u16) -> Option<Answer> {
    let at = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let is_answer = at(0)? == number && answer.get(2)? & 0x80 != 0;
    is_answer.then_some(())?;
    let code = answer.get(3)? & 0x0f;
    if code == NXDOMAIN {
        return Some(Answer::NoSuchName);
    }
    if code != 0 {
        return None;
    }
    let mut place = 12;
    for _ in 0..at(4)? {
        place = behind_name(answer, place)? + 4;
    }
    for _ in 0..at(6)? {
        place = behind_name(answer, place)?;
        let (is, length) = (at(place)?, usize::from(at(place + 8)?));
        let data = answer.get(place + 10..place + 10 + length)?;
        if is == kind {
            return crate::link::address(data).map(Answer::Address);
        }
        place += 10 + length;
    }
    Some(Answer::NoAddress)
}

fn behind_name(answer: &[u8], mut place: usize) -> Option<usize> {
    loop {
        match *answer.get(place)? {
            0 => return Some(place + 1),
            // a pointer to a name that was there before
            length if length & 0xc0 == 0xc0 => return Some(place + 2),
            length => place += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_as_the_c_library_reads_them() {
        let resolver = Resolver::parse(
            "# x\nnameserver 10.96.0.10\nsearch default.svc cluster.local\noptions ndots:5\nnameserver fd00::a\n",
            "f",
        );
        assert_eq!(resolver.servers.len(), 2);
        assert_eq!(resolver.search, ["default.svc", "cluster.local"]);
        let hosts = "127.0.0.1 localhost\n10.0.0.7\tweb Web.example # old\n";
        assert_eq!(in_hosts(hosts, "WEB"), "10.0.0.7".parse().ok());
        assert_eq!(in_hosts(hosts, "old"), None);
    }

    #[test]
    fn answers_are_read_and_cut_ones_are_none() {
        let mut answer = question(7, "a.b", A);
        (answer[2], answer[7]) = (0x81, 2);
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 7]);
        let address = Answer::Address("10.0.0.7".parse().unwrap());
        assert_eq!(parse(&answer, 7, A), Some(address));
        assert_eq!(parse(&answer, 8, A), None);
        assert_eq!(parse(&answer, 7, AAAA), Some(Answer::NoAddress));
        for end in 0..answer.len() {
            assert_eq!(parse(&answer[..end], 7, A), None, "{end}");
        }
        answer[3] = NXDOMAIN;
        assert_eq!(parse(&answer, 7, A), Some(Answer::NoSuchName));
    }
}
