//! Kubernetes' requests and limits, as the kubelet turns them into a pod's limits.

use std::io::Read as _;
use std::path::Path;

use nix::errno::Errno;
use serde_json::{Map, Value as Json};
use sys::ToErrno as _;

use crate::error::Error;

/// Of a file, as of a record.
const MAX_BYTES: u64 = 1 << 20;

/// What the resources of a pod's containers come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kube {
    /// `KEY=VALUE` words of the vocabulary.
    pub(crate) words: Vec<String>,
    /// `Guaranteed`, `Burstable` or `BestEffort`.
    pub(crate) qos: &'static str,
    /// Resources that are no limit of a cgroup: `nvidia.com/gpu`.
    pub(crate) ignored: Vec<String>,
}

/// Of one container, in thousandths of a cpu and bytes.
#[derive(Debug, Default)]
struct Container {
    requests: Amounts,
    limits: Amounts,
}

#[derive(Debug, Default)]
struct Amounts {
    cpu: Option<u64>,
    memory: Option<u64>,
    /// By the size of the pages: `2Mi`.
    huge: Vec<(String, u64)>,
}

/// `text` is `{"requests":{…},"limits":{…}}` or an array of such, one for each container; else the file that has it.
pub(crate) fn read(text: &str) -> Result<Kube, Error> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    let file;
    let text = match is_json {
        true => text,
        false => {
            file = read_file(text)?;
            &file
        }
    };
    let json: Json = serde_json::from_str(text)
        .map_err(|error| Error::Usage(format!("--kube: no JSON: {error}")))?;
    let list = match &json {
        Json::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut ignored = Vec::new();
    let containers = list
        .iter()
        .map(|resources| container(resources, &mut ignored))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Kube {
        words: words(&containers),
        qos: qos(&containers),
        ignored,
    })
}

/// What is in a file, which is no longer than a record may be.
fn read_file(path: &str) -> Result<String, Error> {
    let shown = path.escape_debug();
    let failed = |errno: Errno| Error::Usage(format!("--kube: open({shown}): {}", errno.desc()));
    let file = sys::Input::open(Path::new(path)).map_err(|error| failed(error.errno))?;
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(|error| failed(error.to_errno()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::Usage(format!("--kube: {shown}: larger than 1 MiB")));
    }
    String::from_utf8(text).map_err(|_| Error::Usage(format!("--kube: {shown}: no text")))
}

fn container(resources: &Json, ignored: &mut Vec<String>) -> Result<Container, Error> {
    let bad = |place: &str| Error::Usage(format!("--kube: {place} is not an object"));
    let resources = resources.as_object().ok_or_else(|| bad("resources"))?;
    let mut found = Container::default();
    for (key, value) in resources {
        let into = match key.as_str() {
            "requests" => &mut found.requests,
            "limits" => &mut found.limits,
            // device claims of the scheduler
            "claims" => continue,
            _ => {
                return Err(Error::Usage(format!(
                    "--kube: {}: not requests or limits",
                    key.escape_debug()
                )));
            }
        };
        if !value.is_null() {
            *into = amounts(key, value.as_object().ok_or_else(|| bad(key))?, ignored)?;
        }
    }
    let Container { requests, limits } = &mut found;
    for (name, request, limit) in [
        ("cpu", &mut requests.cpu, limits.cpu),
        ("memory", &mut requests.memory, limits.memory),
    ] {
        // Kubernetes' own default
        let asked = *request.get_or_insert(limit.unwrap_or(0));
        if limit.is_none() && asked == 0 {
            *request = None;
        }
        if limit.is_some_and(|limit| limit < asked) {
            return Err(Error::Usage(format!(
                "--kube: requests.{name} is more than limits.{name}"
            )));
        }
    }
    Ok(found)
}

fn amounts(
    place: &str,
    object: &Map<String, Json>,
    ignored: &mut Vec<String>,
) -> Result<Amounts, Error> {
    let mut found = Amounts::default();
    for (name, value) in object {
        let text = match value {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let nonsense = || {
            Error::Usage(format!(
                "--kube: {place}.{}={}: not a quantity (500m, 0.5, 128Mi, 1G)",
                name.escape_debug(),
                text.escape_debug()
            ))
        };
        match name.strip_prefix("hugepages-") {
            Some(size) => {
                let bytes = quantity(&text, 1).ok_or_else(nonsense)?;
                found.huge.push((size.to_owned(), bytes));
            }
            None if name == "cpu" => {
                found.cpu = Some(quantity(&text, 1000).ok_or_else(nonsense)?);
            }
            None if name == "memory" => {
                found.memory = Some(quantity(&text, 1).ok_or_else(nonsense)?);
            }
            None => {
                quantity(&text, 1).ok_or_else(nonsense)?;
                if !ignored.contains(name) {
                    ignored.push(name.clone());
                }
            }
        }
    }
    Ok(found)
}

/// A Kubernetes quantity in units of 1/`parts`, what is left of one counted as a whole. None: it makes no sense.
///
/// Here M is 1 000 000 and Mi 1 048 576, m a thousandth, and `1e3` a number.
fn quantity(text: &str, parts: u128) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0
        || whole.len() > 20
        || fraction.len() > 9
        || fraction.contains('.')
    {
        return None;
    }
    // numerator and denominator of the suffix
    let (up, down): (u128, u128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
            let power = 10_u128.checked_pow(exponent.parse().ok().filter(|&e: &u32| e <= 18)?)?;
            (power, 1)
        }
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let value = digits.checked_mul(up)?.checked_mul(parts)?;
    u64::try_from(value.div_ceil(scale.checked_mul(down)?)).ok()
}

/// As the kubelet does for the pod's group: shares of what is asked for; limits only where every container has one.
fn words(containers: &[Container]) -> Vec<String> {
    /// Smallest shares, smallest quota, and the period of the kubelet.
    const MIN_SHARES: u64 = 2;
    const MAX_SHARES: u64 = 262_144;
    const MIN_QUOTA: u64 = 1000;
    const PERIOD: u64 = 100_000;
    let asked = containers
        .iter()
        .filter_map(|container| container.requests.cpu);
    let asked = asked.fold(0, u64::saturating_add);
    let shares = (asked.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES);
    let mut words = vec![format!("cpu.shares={shares}")];
    let sum = |of: fn(&Container) -> Option<u64>| -> Option<u64> {
        let limits: Option<Vec<u64>> = containers
            .iter()
            .map(|container| of(container).filter(|&limit| limit > 0))
            .collect();
        limits
            .filter(|limits| !limits.is_empty())
            .map(|limits| limits.into_iter().fold(0, u64::saturating_add))
    };
    if let Some(milli) = sum(|container| container.limits.cpu) {
        let quota = milli.saturating_mul(PERIOD / 1000).max(MIN_QUOTA);
        words.push(format!("cpu.max={quota} {PERIOD}"));
    }
    if let Some(bytes) = sum(|container| container.limits.memory) {
        words.push(format!("memory.max={bytes}"));
    }
    let mut huge: Vec<(String, u64)> = Vec::new();
    for (size, bytes) in containers
        .iter()
        .flat_map(|container| &container.limits.huge)
    {
        // 2Mi is 2MB in the kernel's names
        let size = size.replace('i', "B");
        match huge.iter_mut().find(|(other, _)| *other == size) {
            Some((_, sum)) => *sum = sum.saturating_add(*bytes),
            None => huge.push((size, *bytes)),
        }
    }
    let huge = huge
        .iter()
        .map(|(size, bytes)| format!("hugetlb.{size}.max={bytes}"));
    words.extend(huge);
    words
}

/// The class by which Kubernetes chooses whom it evicts first.
fn qos(containers: &[Container]) -> &'static str {
    let is_nothing = |amount: Option<u64>| amount.unwrap_or(0) == 0;
    let is_guaranteed = |container: &Container| {
        let (requests, limits) = (&container.requests, &container.limits);
        !is_nothing(limits.cpu)
            && !is_nothing(limits.memory)
            && requests.cpu == limits.cpu
            && requests.memory == limits.memory
    };
    let asks_nothing = |container: &Container| {
        [&container.requests, &container.limits]
            .iter()
            .all(|amounts| is_nothing(amounts.cpu) && is_nothing(amounts.memory))
    };
    if containers.iter().all(asks_nothing) {
        "BestEffort"
    } else if containers.iter().all(is_guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        match read(text) {
            Ok(kube) => format!("{} {}", kube.qos, kube.words.join(" ")),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_kubelets_limits_of_a_pod() {
        for (text, expected) in [
            ("{}", "BestEffort cpu.shares=2"),
            ("[]", "BestEffort cpu.shares=2"),
            (
                r#"{"requests":null,"limits":{}}"#,
                "BestEffort cpu.shares=2",
            ),
            (
                r#"{"limits":{"cpu":"500m","memory":"128Mi"}}"#,
                "Guaranteed cpu.shares=512 cpu.max=50000 100000 memory.max=134217728",
            ),
            (
                r#"{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"cpu":"500m","memory":"128Mi"}}"#,
                "Burstable cpu.shares=256 cpu.max=50000 100000 memory.max=134217728",
            ),
            // one without a limit: the pod has none
            (
                r#"[{"limits":{"cpu":1,"memory":"1G"}},{"requests":{"cpu":"1.5"},"limits":{"memory":"1G"}}]"#,
                "Burstable cpu.shares=2560 memory.max=2000000000",
            ),
            (
                r#"[{"limits":{"cpu":1,"memory":"1Gi"}},{"limits":{"cpu":"1m","memory":"1Gi"}}]"#,
                "Guaranteed cpu.shares=1025 cpu.max=100100 100000 memory.max=2147483648",
            ),
            (
                r#"{"limits":{"cpu":"1m"}}"#,
                "Burstable cpu.shares=2 cpu.max=1000 100000",
            ),
            (
                r#"{"limits":{"hugepages-2Mi":"4Mi","memory":"1Mi","cpu":1}}"#,
                "Guaranteed cpu.shares=1024 cpu.max=100000 100000 memory.max=1048576 hugetlb.2MB.max=4194304",
            ),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_no_cgroup_limits_is_named() {
        let kube = read(r#"{"limits":{"nvidia.com/gpu":1,"ephemeral-storage":"1Gi"}}"#).unwrap();
        assert_eq!(kube.ignored, ["nvidia.com/gpu", "ephemeral-storage"]);
        assert_eq!(kube.qos, "BestEffort");
    }

    #[test]
    fn quantities_are_kubernetes_own() {
        for (text, bytes) in [
            ("0", 0),
            ("1M", 1_000_000),
            ("1Mi", 1 << 20),
            ("0.5Gi", 1 << 29),
            ("1e3", 1000),
            ("1E3", 1000),
            ("128974848000m", 128_974_848),
            ("1m", 1),
            ("1.5", 2),
        ] {
            assert_eq!(quantity(text, 1), Some(bytes), "{text}");
        }
        assert_eq!(quantity("100u", 1000), Some(1));
        assert_eq!(quantity("0.1", 1000), Some(100));
        for bad in [
            "",
            "m",
            "-1",
            "+1",
            "1 Mi",
            "1mi",
            "1KB",
            "1.2.3",
            ".",
            "1e",
            "1e99",
            "1e-3",
            "max",
            "50%",
            "99999999999999999999",
            "99999999E",
            "1K",
        ] {
            assert_eq!(quantity(bad, 1), None, "{bad}");
        }
    }

    #[test]
    fn nonsense_is_told() {
        for (text, error) in [
            (
                "{",
                "--kube: no JSON: EOF while parsing an object at line 1 column 1",
            ),
            (
                "/no/such",
                "--kube: open(/no/such): No such file or directory",
            ),
            ("[7]", "--kube: resources is not an object"),
            (r#"{"limit":{}}"#, "--kube: limit: not requests or limits"),
            (r#"{"limits":[]}"#, "--kube: limits is not an object"),
            (
                r#"{"limits":{"memory":"1 G"}}"#,
                "--kube: limits.memory=1 G: not a quantity (500m, 0.5, 128Mi, 1G)",
            ),
            (
                r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1001m"}}"#,
                "--kube: requests.cpu is more than limits.cpu",
            ),
        ] {
            assert_eq!(of(text), error);
        }
    }
}
