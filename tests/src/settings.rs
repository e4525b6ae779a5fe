//! What is set of a network namespace: all of /proc/sys/net, and how traffic is queued and filtered at each interface.

use std::fs;
use std::path::Path;

/// Counters, and what is there from the first use of it on this machine.
const NO_SETTINGS: &str = "netfilter/nf_conntrack";

/// `NAME = VALUE` of each that can be read.
pub(crate) fn sysctls(add: &mut impl FnMut(&str, String)) {
    below(Path::new("/proc/sys/net"), add);
}

fn below(dir: &Path, add: &mut impl FnMut(&str, String)) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&path, add);
            continue;
        }
        let name = path.strip_prefix("/proc/sys/").unwrap_or(&path).display();
        let is_setting = !name.to_string().contains(NO_SETTINGS);
        // Some can only be written, and some have no value yet.
        if let Ok(value) = fs::read_to_string(&path)
            && is_setting
        {
            let words: Vec<&str> = value.split_whitespace().collect();
            add("sysctl", format!("{name} = {}", words.join(" ")));
        }
    }
}

/// Queues, and of those that are no default also classes and filters, as tc(8) lists them; `list` runs it.
pub(crate) fn queues(list: impl Fn(&str) -> Vec<String>, add: &mut impl FnMut(&str, String)) {
    for queue in list("tc qdisc show") {
        let words: Vec<&str> = queue.split(' ').collect();
        let (kind, device) = match words[..] {
            ["qdisc", kind, _, "dev", device, ..] => (kind, device),
            _ => continue,
        };
        if kind != "noqueue" {
            let sides = match kind {
                "ingress" | "clsact" => &["ingress", "egress"][..],
                _ => &[""],
            };
            let filters = sides.iter().map(|side| ("filter", *side));
            for (what, side) in [("class", "")].into_iter().chain(filters) {
                for line in list(format!("tc {what} show dev {device} {side}").trim_end()) {
                    add("tc", format!("{what} of {device}: {line}"));
                }
            }
        }
        add("tc", queue);
    }
}
