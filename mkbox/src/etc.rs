//! The few files below /etc that programs ask for names: minimal ones, from the record.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use record::Record;
use rustix::fs::renameat;
use serde_json::Value;
use sys::Call;

use crate::boxfile::Why;
use crate::error::Error;
use crate::manifest::Entry;
use crate::root::{PointKind, Root};

/// glibc reads no more of a line of resolv.conf's search list, and no host name is longer.
const NAME: usize = 253;

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    Passwd,
    Group,
    Hosts,
    Hostname,
    ResolvConf,
    Nsswitch,
}

const FILES: [(File, &str); 6] = [
    (File::Passwd, "passwd"),
    (File::Group, "group"),
    (File::Hosts, "hosts"),
    (File::Hostname, "hostname"),
    (File::ResolvConf, "resolv.conf"),
    (File::Nsswitch, "nsswitch.conf"),
];

impl FromStr for File {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = FILES.iter().find(|(_, name)| *name == text);
        let found = found.map(|&(file, _)| file);
        found.ok_or_else(|| {
            format!(
                "{text:?} is none of passwd, group, hosts, hostname, resolv.conf, nsswitch.conf"
            )
        })
    }
}

impl File {
    /// In /etc.
    pub(crate) fn name(self) -> &'static str {
        let found = FILES.iter().find(|(file, _)| *file == self);
        found.map_or("", |(_, name)| name)
    }

    /// What is in it, by the record.
    ///
    /// # Errors
    /// A name in the record that could add a line.
    fn text(self, record: &Record) -> Result<String, Error> {
        match self {
            Self::Passwd => Ok(passwd(record)),
            Self::Group => Ok(group(record)),
            Self::Hosts => hosts(record),
            Self::Hostname => Ok(format!("{}\n", hostname(record)?)),
            Self::ResolvConf => resolv_conf(record),
            Self::Nsswitch => Ok(
                "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                networks: files\nprotocols: files\nservices: files\n"
                    .into(),
            ),
        }
    }
}

/// Those that are `known` by name, and `more`.
///
/// # Errors
/// A name that is none of them.
pub(crate) fn union(known: &[String], more: &[File]) -> Result<Vec<File>, Error> {
    let known = known.iter().map(|name| name.parse());
    let mut all: Vec<File> = known.collect::<Result<_, String>>().map_err(Error::Usage)?;
    for &file in more {
        if !all.contains(&file) {
            all.push(file);
        }
    }
    Ok(all)
}

/// Their names, as a record has them.
pub(crate) fn names(files: &[File]) -> Vec<String> {
    files.iter().map(|file| file.name().to_owned()).collect()
}

/// Writes the files into the box behind `root`, each in one step: whoever reads meanwhile reads the old or the new one.
/// Their entries in the manifest.
///
/// # Errors
/// A name in the record that could add a line, or the first call that fails.
pub(crate) fn write(root: &Root, files: &[File], record: &Record) -> Result<Vec<Entry>, Error> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let texts = files
        .iter()
        .map(|file| Ok((file.name(), file.text(record)?)));
    let texts: Vec<(&str, String)> = texts.collect::<Result<_, Error>>()?;
    let etc = root.make_directory(Path::new("/etc"))?;
    let mut entries = Vec::with_capacity(texts.len());
    for (name, text) in texts {
        let path = Path::new("/etc").join(name);
        let shown = |call: &str| format!("{call}({})", root.show(&path));
        let new = format!(".{name}.mkbox");
        // One that an up left that was killed here.
        let _ = rustix::fs::unlinkat(&etc, &new, rustix::fs::AtFlags::empty());
        let mut file = Root::create(&etc, new.as_ref(), 0o644).call(|| shown("open"))?;
        file.write_all(text.as_bytes()).call(|| shown("write"))?;
        renameat(&etc, &new, &etc, name).call(|| shown("rename"))?;
        let mut entry = Entry::point(&path, PointKind::File, Why::Etc);
        entry.bytes = text.len() as u64;
        entry.set_times(&rustix::fs::fstat(&file).call(|| shown("fstat"))?);
        entries.push(entry);
    }
    Ok(entries)
}

/// The ids of `process.user`, where they are not root's.
fn user(record: &Record) -> (Option<u64>, Option<u64>) {
    let number = |key: &str| {
        let id = record.pointer(&format!("/process/user/{key}"))?.as_u64();
        id.filter(|id| *id != 0 && *id != 65534)
    };
    (number("uid"), number("gid"))
}

fn passwd(record: &Record) -> String {
    let mut text = "root:x:0:0:root:/root:/bin/sh\n".to_owned();
    let (uid, gid) = user(record);
    if let Some(uid) = uid {
        let gid = gid.unwrap_or(0);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "user:x:{uid}:{gid}::/:/bin/sh");
    }
    text.push_str("nobody:x:65534:65534:nobody:/:/sbin/nologin\n");
    text
}

fn group(record: &Record) -> String {
    let mut text = "root:x:0:\ntty:x:5:\n".to_owned();
    if let (_, Some(gid)) = user(record)
        && gid != 5
    {
        let _ = writeln!(text, "user:x:{gid}:");
    }
    text.push_str("nogroup:x:65534:\n");
    text
}

/// That of the record, else what hostname(1) says here.
fn hostname(record: &Record) -> Result<String, Error> {
    let name = match record.hostname()? {
        Some(name) => name.to_owned(),
        None => {
            let name = nix::unistd::gethostname().call(|| "gethostname".into())?;
            name.to_string_lossy().into_owned()
        }
    };
    word("hostname", &name).map(str::to_owned)
}

/// Something that is one word of one line.
fn word<'a>(key: &str, text: &'a str) -> Result<&'a str, Error> {
    let is_fine = |c: char| !c.is_whitespace() && !c.is_control() && c != '#';
    if text.is_empty() || text.len() > NAME || !text.chars().all(is_fine) {
        let problem = format!("{key}: {text:?} is no name that a line of a file can hold");
        return Err(record::Error::Record(problem).into());
    }
    Ok(text)
}

fn wrong(key: &str, wanted: &str) -> Error {
    record::Error::Record(format!("{key}: must be {wanted}")).into()
}

/// The strings of the list at `pointer`.
fn words<'a>(record: &'a Record, pointer: &str, key: &str) -> Result<Vec<&'a str>, Error> {
    let list = match record.pointer(pointer) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(|| wrong(key, "a list"))?,
    };
    let one = |item: &'a Value| {
        let text = item
            .as_str()
            .ok_or_else(|| wrong(key, "a list of strings"))?;
        word(key, text)
    };
    list.iter().map(one).collect()
}

fn address<'a>(key: &str, text: &'a str) -> Result<&'a str, Error> {
    let is_one = text.parse::<IpAddr>().is_ok();
    is_one
        .then_some(text)
        .ok_or_else(|| wrong(key, &format!("IP addresses ({text:?} is none)")))
}

/// As the kubelet writes it: localhost, the pod's own name at its own addresses, then `hostAliases`.
fn hosts(record: &Record) -> Result<String, Error> {
    let mut text =
        "# Made by mkbox up from the record, and again by the next: changes here are lost.\n\
        127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::0\tip6-localnet\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
            .to_owned();
    let name = hostname(record)?;
    let ips = record.pointer("/netwire/ips").and_then(Value::as_array);
    let mut is_named = false;
    for ip in ips.into_iter().flatten() {
        let found = ip
            .get("address")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let found = found.split('/').next().unwrap_or_default();
        let _ = writeln!(text, "{}\t{name}", address("netwire.ips", found)?);
        is_named = true;
    }
    if !is_named {
        let _ = writeln!(text, "127.0.1.1\t{name}");
    }
    for key in ["hostAliases", "netwire.hostAliases"] {
        aliases(record, key, &mut text)?;
    }
    Ok(text)
}

/// The lines of a list of `{ip, hostnames}`: the pod's own, and what `netwire up --add-host` added.
fn aliases(record: &Record, key: &str, text: &mut String) -> Result<(), Error> {
    let pointer = format!("/{}", key.replace('.', "/"));
    let aliases = match record.pointer(&pointer) {
        None | Some(Value::Null) => return Ok(()),
        Some(aliases) => aliases.as_array().ok_or_else(|| wrong(key, "a list"))?,
    };
    if !aliases.is_empty() {
        let _ = writeln!(text, "# {key} of the record");
    }
    for (at, alias) in aliases.iter().enumerate() {
        let ip = alias.get("ip").and_then(Value::as_str);
        let ip = address(
            key,
            ip.ok_or_else(|| wrong(key, "a list of {ip, hostnames}"))?,
        )?;
        let names = words(
            record,
            &format!("{pointer}/{at}/hostnames"),
            &format!("{key}.hostnames"),
        )?;
        if !names.is_empty() {
            let _ = writeln!(text, "{ip}\t{}", names.join("\t"));
        }
    }
    Ok(())
}

/// From `netwire.dns`; without it what this machine has, as container engines do.
fn resolv_conf(record: &Record) -> Result<String, Error> {
    let dns = record.pointer("/netwire/dns").and_then(Value::as_object);
    if dns.is_none_or(serde_json::Map::is_empty) && record.get("netwire").is_none() {
        return Ok(std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    }
    let mut text = String::new();
    for server in words(
        record,
        "/netwire/dns/nameservers",
        "netwire.dns.nameservers",
    )? {
        let _ = writeln!(
            text,
            "nameserver {}",
            address("netwire.dns.nameservers", server)?
        );
    }
    let mut search = words(record, "/netwire/dns/search", "netwire.dns.search")?;
    if let Some(domain) = record
        .pointer("/netwire/dns/domain")
        .and_then(Value::as_str)
        && search.is_empty()
        && !domain.is_empty()
    {
        search.push(word("netwire.dns.domain", domain)?);
    }
    let options = words(record, "/netwire/dns/options", "netwire.dns.options")?;
    for (key, list) in [("search", search), ("options", options)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{key} {}", list.join(" "));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: File, record: &str) -> Result<String, String> {
        let record = Record::parse(record.as_bytes()).unwrap();
        file.text(&record).map_err(|error| error.to_string())
    }

    #[test]
    fn hosts_has_the_pod_and_its_aliases() {
        let record = r#"{"hostname":"foo","netwire":{"ips":[{"address":"10.0.0.2/24"},{"address":"fd00::2/64"}]},
            "hostAliases":[{"ip":"10.0.0.20","hostnames":["test.gysl","app.gysl"]},{"ip":"::2","hostnames":[]}]}"#;
        let hosts = text(File::Hosts, record).unwrap();
        let lines: Vec<&str> = hosts.lines().collect();
        assert_eq!(lines[1], "127.0.0.1\tlocalhost");
        assert_eq!(
            lines[6..],
            [
                "10.0.0.2\tfoo",
                "fd00::2\tfoo",
                "# hostAliases of the record",
                "10.0.0.20\ttest.gysl\tapp.gysl"
            ]
        );
    }

    #[test]
    fn resolv_conf_is_what_the_network_says() {
        let record = r#"{"netwire":{"dns":{"nameservers":["10.96.0.10"],"domain":"a","search":["b.local","c"],"options":["ndots:5"]}}}"#;
        assert_eq!(
            text(File::ResolvConf, record).unwrap(),
            "nameserver 10.96.0.10\nsearch b.local c\noptions ndots:5\n"
        );
        let domain = r#"{"netwire":{"dns":{"domain":"a"}}}"#;
        assert_eq!(text(File::ResolvConf, domain).unwrap(), "search a\n");
        assert_eq!(
            text(File::ResolvConf, r#"{"netwire":{"dns":{}}}"#).unwrap(),
            ""
        );
    }

    #[test]
    fn nothing_in_a_record_can_add_a_line() {
        for (file, record) in [
            (
                File::Hosts,
                r#"{"hostAliases":[{"ip":"1.2.3.4","hostnames":["a\nb"]}]}"#,
            ),
            (
                File::Hosts,
                r#"{"hostAliases":[{"ip":"1.2.3.4","hostnames":["a b"]}]}"#,
            ),
            (
                File::Hosts,
                r##"{"hostAliases":[{"ip":"1.2.3.4","hostnames":["a#"]}]}"##,
            ),
            (
                File::Hosts,
                r#"{"hostAliases":[{"ip":"1.2.3.4\n","hostnames":["a"]}]}"#,
            ),
            (File::Hosts, r#"{"hostAliases":[{"hostnames":["a"]}]}"#),
            (File::Hosts, r#"{"hostAliases":{}}"#),
            (File::Hosts, r#"{"netwire":{"ips":[{"address":"x"}]}}"#),
            (File::Hostname, r#"{"hostname":"a b"}"#),
            (
                File::ResolvConf,
                r#"{"netwire":{"dns":{"nameservers":["dns.example"]}}}"#,
            ),
            (
                File::ResolvConf,
                r#"{"netwire":{"dns":{"search":["a\nnameserver 1.2.3.4"]}}}"#,
            ),
            (File::ResolvConf, r#"{"netwire":{"dns":{"options":"x"}}}"#),
        ] {
            assert!(text(file, record).is_err(), "{record}");
        }
    }

    #[test]
    fn the_user_of_the_process_has_a_name() {
        let record = r#"{"process":{"user":{"uid":1000,"gid":1001}}}"#;
        assert!(
            text(File::Passwd, record)
                .unwrap()
                .contains("\nuser:x:1000:1001:")
        );
        assert!(
            text(File::Group, record)
                .unwrap()
                .contains("\nuser:x:1001:\n")
        );
        assert!(!text(File::Passwd, "{}").unwrap().contains("user:"));
    }
}
