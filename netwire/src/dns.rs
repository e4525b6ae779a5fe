//! How a pod finds names: `dns` of the result, CNI's type, and `hostAliases` beside it, as `mkbox up --etc` reads both.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;
use record::Id;
use serde_json::{Value, json};

use crate::error::Error;

/// No host name is longer, and glibc reads no longer one.
const NAME: usize = 253;

/// `--dns` and what belongs to it; the names are docker's.
#[derive(Debug, Args)]
pub(crate) struct DnsArgs {
    /// Name server of the pod (may be repeated)
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<IpAddr>,

    /// Domain in which a short name is looked for (may be repeated)
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<Word>,

    /// Option of resolv.conf(5), such as ndots:5 (may be repeated)
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<Word>,

    /// Name in the pod's /etc/hosts, and its address (may be repeated)
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<Host>,
}

/// One word of a line of resolv.conf or hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word(String);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_fine = |c: char| !c.is_whitespace() && !c.is_control() && c != '#';
        let fits = !text.is_empty() && text.len() <= NAME && text.chars().all(is_fine);
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err("is no word that a line of a file can hold".into()),
        }
    }
}

/// A line of /etc/hosts with one name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: Word,
    address: IpAddr,
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = text.split_once(':').ok_or("NAME:ADDRESS is expected")?;
        let bare = address.strip_prefix('[');
        let bare = bare.and_then(|rest| rest.strip_suffix(']'));
        let parsed = bare.unwrap_or(address).parse();
        Ok(Self {
            name: name.parse()?,
            address: parsed.map_err(|_| format!("{address:?} is no IP address"))?,
        })
    }
}

/// What the state has of it, or is to have: `dns`, and `hostAliases`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dns {
    dns: Value,
    aliases: Value,
}

impl DnsArgs {
    /// None: nothing is asked for, and what is there stays.
    pub(crate) fn wanted(&self) -> Option<Dns> {
        let words = |words: &[Word]| words.iter().map(|word| word.0.clone().into()).collect();
        let servers = self.dns.iter().map(|server| server.to_string().into());
        let lists = [
            ("nameservers", servers.collect::<Vec<Value>>()),
            ("search", words(&self.dns_search)),
            ("options", words(&self.dns_option)),
        ];
        let mut dns = json!({});
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            dns[key] = list.into();
        }
        let mut hosts: Vec<(IpAddr, Vec<&str>)> = Vec::new();
        for Host { name, address } in &self.add_host {
            match hosts.iter_mut().find(|(known, _)| known == address) {
                Some((_, names)) => names.push(&name.0),
                None => hosts.push((*address, vec![&name.0])),
            }
        }
        let alias =
            |(ip, names): &(IpAddr, Vec<&str>)| json!({"ip": ip.to_string(), "hostnames": names});
        let wanted = Dns {
            dns,
            aliases: hosts.iter().map(alias).collect(),
        };
        (!wanted.is_empty()).then_some(wanted)
    }
}

impl Dns {
    /// What is in a state.
    pub(crate) fn of(state: &Value) -> Self {
        let or = |key: &str, none: Value| state.get(key).cloned().unwrap_or(none);
        Self {
            dns: or("dns", json!({})),
            aliases: or("hostAliases", json!([])),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::of(&Value::Null)
    }

    /// Whether it may be beside what an earlier `up` made: a further interface may bring what no earlier one brought, and change nothing.
    ///
    /// # Errors
    /// It differs from `earlier`, a state; `again`: of the same interface.
    pub(crate) fn check(&self, id: &Id, earlier: &Value, again: bool) -> Result<(), Error> {
        let is = Self::of(earlier);
        if is == *self || (is.is_empty() && !again) {
            return Ok(());
        }
        Err(Error::failed(format!(
            "{id}: names are found by {is}, not {self} (netwire down first)"
        )))
    }

    /// Into the state of a pod.
    pub(crate) fn add_to(self, state: &mut Value) {
        state["dns"] = self.dns;
        if self.aliases.as_array().is_some_and(|all| !all.is_empty()) {
            state["hostAliases"] = self.aliases;
        }
    }

    /// For people, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let words = |list: &Value| {
            let list = list.as_array().into_iter().flatten();
            let words: Vec<String> = list
                .map(|word| {
                    word.as_str()
                        .map_or_else(|| word.to_string(), str::to_owned)
                })
                .collect();
            words.join(" ")
        };
        let keys = [
            ("nameservers", "nameserver"),
            ("domain", "domain"),
            ("search", "search"),
            ("options", "options"),
        ];
        let found = keys.iter().filter_map(|(key, name)| {
            let value = self.dns.get(*key)?;
            let text = value.as_str().map_or_else(|| words(value), str::to_owned);
            (!text.is_empty()).then(|| format!("{name} {text}"))
        });
        let aliases = self.aliases.as_array().into_iter().flatten();
        let hosts = aliases.map(|alias| {
            let ip = alias["ip"].as_str().unwrap_or("-");
            format!("host {ip} {}", words(&alias["hostnames"]))
        });
        found.chain(hosts).map(|line| printable(&line)).collect()
    }
}

/// Records come from files: nothing in them may act on a terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(shown).collect()
}

impl fmt::Display for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lines() {
            lines if lines.is_empty() => f.write_str("nothing"),
            lines => f.write_str(&lines.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_says_why() {
        for (text, why) in [
            ("db", "NAME:ADDRESS is expected"),
            (":10.0.0.1", "is no word that a line of a file can hold"),
            ("d b:10.0.0.1", "is no word that a line of a file can hold"),
            ("db:10.0.0", "\"10.0.0\" is no IP address"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap_err(), why, "{text:?}");
        }
        for text in ["db:fd00::1", "db:[fd00::1]"] {
            let host: Host = text.parse().unwrap();
            assert_eq!(host.address, "fd00::1".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn names_of_one_address_are_one_line_and_none_is_nothing() {
        let args = |hosts: &[&str]| DnsArgs {
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_option: Vec::new(),
            add_host: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        };
        assert_eq!(args(&[]).wanted(), None);
        let wanted = args(&["a:10.0.0.1", "b:10.0.0.2", "c:10.0.0.1"]).wanted();
        let mut state = json!({"dns": {}});
        wanted.clone().unwrap().add_to(&mut state);
        assert_eq!(Some(Dns::of(&state)), wanted);
        assert_eq!(
            wanted.unwrap().lines(),
            ["host 10.0.0.1 a c", "host 10.0.0.2 b"]
        );
    }

    #[test]
    fn a_second_interface_may_bring_names_and_not_change_them() {
        let id = "foo".parse().unwrap();
        let of = |server: &str| Dns::of(&json!({"dns": {"nameservers": [server]}}));
        let earlier = json!({"dns": {"nameservers": ["10.0.0.1"]}});
        let none = json!({"dns": {}});
        assert!(of("10.0.0.1").check(&id, &earlier, true).is_ok());
        assert!(of("10.0.0.1").check(&id, &none, false).is_ok());
        assert!(of("10.0.0.1").check(&id, &none, true).is_err());
        assert!(of("10.0.0.2").check(&id, &earlier, false).is_err());
    }
}
