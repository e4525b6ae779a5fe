//! Requests and limits as `linux.resources`, and the class they put a pod in.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::field::Field;
use crate::quantity;

/// The kubelet's smallest and largest shares, smallest quota, and period.
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const MIN_QUOTA: i64 = 1000;
const PERIOD: i64 = 100_000;

/// Of a container, or what those of a pod come to: thousandths of a cpu, and bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) requests: Amounts,
    pub(crate) limits: Amounts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub(crate) cpu: Option<i64>,
    pub(crate) memory: Option<i64>,
    /// By the size of the pages as OCI spells it: `2MB`.
    pub(crate) huge: Vec<(String, i64)>,
}

impl Resources {
    /// `resources` of a container.
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let mut object = field.object()?;
        let limits = object.get("limits");
        let requests = object.get("requests");
        object.finish()?;
        let read = |field: Option<&Field<'_>>| field.map_or(Ok(Amounts::default()), amounts);
        let mut found = Self {
            limits: read(limits.as_ref())?,
            requests: read(requests.as_ref())?,
        };
        let place = format!("{}.requests", field.path);
        for (name, request, limit) in [
            ("cpu", &mut found.requests.cpu, found.limits.cpu),
            ("memory", &mut found.requests.memory, found.limits.memory),
        ] {
            if let (Some(asked), Some(limit)) = (*request, limit)
                && asked > limit
            {
                return Err(Error::invalid(
                    &format!("{place}[{name}]"),
                    &asked.to_string(),
                    &format!("must be less than or equal to {name} limit of {limit}"),
                ));
            }
            // Kubernetes' own default
            *request = request.or(limit);
        }
        Ok(found)
    }

    /// `linux.resources`; None: nothing is asked for.
    pub(crate) fn to_oci(&self) -> Option<Value> {
        let mut resources = Map::new();
        let mut memory = Map::new();
        if let Some(limit) = self.limits.memory.filter(|limit| *limit > 0) {
            memory.insert("limit".into(), limit.into());
        }
        if let Some(asked) = self.requests.memory.filter(|asked| *asked > 0) {
            memory.insert("reservation".into(), asked.into());
        }
        if !memory.is_empty() {
            resources.insert("memory".into(), memory.into());
        }
        let mut cpu = Map::new();
        if let Some(asked) = self.requests.cpu {
            let shares = asked.saturating_mul(1024) / 1000;
            cpu.insert("shares".into(), shares.clamp(MIN_SHARES, MAX_SHARES).into());
        }
        if let Some(limit) = self.limits.cpu.filter(|limit| *limit > 0) {
            let quota = limit.saturating_mul(PERIOD) / 1000;
            cpu.insert("quota".into(), quota.max(MIN_QUOTA).into());
            cpu.insert("period".into(), PERIOD.into());
        }
        if !cpu.is_empty() {
            resources.insert("cpu".into(), cpu.into());
        }
        let huge = self.limits.huge.iter();
        let huge: Vec<Value> = huge
            .map(|(size, limit)| json!({"pageSize": size, "limit": limit}))
            .collect();
        if !huge.is_empty() {
            resources.insert("hugepageLimits".into(), huge.into());
        }
        (!resources.is_empty()).then(|| resources.into())
    }
}

/// What a pod's containers come to: those that run together are added up, of those that run before them the largest counts. A limit
/// is the pod's only where each container has it.
pub(crate) fn pod(together: &[&Resources], before: &[&Resources]) -> Resources {
    let asked = |of: fn(&Resources) -> Option<i64>| -> Option<i64> {
        let sum = together
            .iter()
            .copied()
            .filter_map(of)
            .fold(0, i64::saturating_add);
        let most = before.iter().copied().filter_map(of).fold(sum, i64::max);
        (together.iter().chain(before).any(|one| of(one).is_some())).then_some(most)
    };
    let limit = |of: fn(&Resources) -> Option<i64>| -> Option<i64> {
        let each = |containers: &[&Resources]| -> Option<Vec<i64>> {
            let limits = containers.iter().map(|one| of(one));
            limits
                .map(|limit| limit.filter(|limit| *limit > 0))
                .collect()
        };
        let sum = each(together)?.into_iter().fold(0, i64::saturating_add);
        Some(each(before)?.into_iter().fold(sum, i64::max))
    };
    let mut huge: Vec<(String, i64)> = Vec::new();
    for (size, bytes) in together.iter().flat_map(|one| &one.limits.huge) {
        match huge.iter_mut().find(|(known, _)| known == size) {
            Some((_, sum)) => *sum = sum.saturating_add(*bytes),
            None => huge.push((size.clone(), *bytes)),
        }
    }
    Resources {
        requests: Amounts {
            cpu: asked(|one| one.requests.cpu),
            memory: asked(|one| one.requests.memory),
            huge: Vec::new(),
        },
        limits: Amounts {
            cpu: limit(|one| one.limits.cpu),
            memory: limit(|one| one.limits.memory),
            huge,
        },
    }
}

/// `Guaranteed`: every container has limits of both, and asks for no less. `BestEffort`: none has anything.
pub(crate) fn qos_class(containers: &[&Resources]) -> &'static str {
    let some = |amount: Option<i64>| amount.filter(|amount| *amount > 0);
    let is_exact = |one: &&Resources| {
        let (asked, limits) = (&one.requests, &one.limits);
        [(asked.cpu, limits.cpu), (asked.memory, limits.memory)]
            .iter()
            .all(|(asked, limit)| some(*limit).is_some() && asked == limit)
    };
    let is_nothing = |one: &&Resources| {
        let (asked, limits) = (&one.requests, &one.limits);
        [asked.cpu, asked.memory, limits.cpu, limits.memory]
            .into_iter()
            .all(|amount| some(amount).is_none())
    };
    if containers.iter().all(is_nothing) {
        "BestEffort"
    } else if containers.iter().all(is_exact) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn amounts(field: &Field<'_>) -> Result<Amounts, Error> {
    let mut found = Amounts::default();
    for (name, value) in field.entries()? {
        let text = match value.value {
            Value::Number(number) => number.to_string(),
            _ => value.string()?.to_owned(),
        };
        let amount = |parts| {
            quantity::parse(&text, parts).ok_or_else(|| {
                value.invalid("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$', and fit")
            })
        };
        match (name, name.strip_prefix("hugepages-").and_then(page_size)) {
            ("cpu", _) => found.cpu = Some(amount(1000)?),
            ("memory", _) => found.memory = Some(amount(1)?),
            (_, Some(size)) => found.huge.push((size, amount(1)?)),
            _ => {
                return Err(Error::Input(format!(
                    "{}: not supported (cpu, memory and hugepages-SIZE are limits of a group)",
                    value.path
                )));
            }
        }
    }
    Ok(found)
}

/// `2Mi` as OCI and the kernel have it: `2MB`.
fn page_size(text: &str) -> Option<String> {
    let unit = ["Ki", "Mi", "Gi"]
        .iter()
        .find(|unit| text.ends_with(**unit))?;
    let number = &text[..text.len() - 2];
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| format!("{number}{}B", &unit[..1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Resources, String> {
        let field = Field {
            path: "r".into(),
            value: &value,
        };
        Resources::read(&field).map_err(|error| error.to_string())
    }

    #[test]
    fn limits_are_those_of_the_kubelet() {
        let greedy =
            read(json!({"limits": {"memory": "200Mi"}, "requests": {"memory": "100Mi"}})).unwrap();
        assert_eq!(
            greedy.to_oci(),
            Some(json!({"memory": {"limit": 209_715_200, "reservation": 104_857_600}}))
        );
        let cpu = read(json!({"limits": {"cpu": 0.5, "hugepages-2Mi": "4Mi"}})).unwrap();
        assert_eq!(
            cpu.to_oci(),
            Some(
                json!({"cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]})
            )
        );
        assert_eq!(read(json!({})).unwrap().to_oci(), None);
        let least = read(json!({"limits": {"cpu": "1m"}}))
            .unwrap()
            .to_oci()
            .unwrap();
        assert_eq!(
            (&least["cpu"]["shares"], &least["cpu"]["quota"]),
            (&json!(2), &json!(1000))
        );
    }

    #[test]
    fn what_cannot_be_names_the_field() {
        assert_eq!(
            read(json!({"limits": {"memory": 1}, "requests": {"memory": 2}})).unwrap_err(),
            "r.requests[memory]: Invalid value: \"2\": must be less than or equal to memory limit of 1"
        );
        assert!(
            read(json!({"limits": {"nvidia.com/gpu": 1}}))
                .unwrap_err()
                .starts_with("r.limits[nvidia.com/gpu]: not supported")
        );
        assert!(
            read(json!({"limits": {"memory": "lots"}}))
                .unwrap_err()
                .starts_with("r.limits[memory]: Invalid value: \"lots\": quantities must match")
        );
        assert!(
            read(json!({"limits": {"memory": true}}))
                .unwrap_err()
                .contains("cannot unmarshal bool")
        );
        assert!(
            read(json!({"limit": {}}))
                .unwrap_err()
                .contains("unknown field \"r.limit\"")
        );
    }

    #[test]
    fn a_pod_is_the_sum_of_what_runs_together() {
        let one = |memory: &str, cpu: &str| {
            read(json!({"limits": {"memory": memory, "cpu": cpu}})).unwrap()
        };
        let open = read(json!({"requests": {"memory": "1Gi"}})).unwrap();
        let sum = pod(
            &[&one("256Mi", "1"), &one("128Mi", "500m")],
            &[&one("1Gi", "100m")],
        );
        assert_eq!(
            (sum.limits.memory, sum.limits.cpu),
            (Some(1 << 30), Some(1500))
        );
        assert_eq!(
            (sum.requests.memory, sum.requests.cpu),
            (Some(1 << 30), Some(1500))
        );
        let open_end = pod(&[&one("256Mi", "1"), &open], &[]);
        assert_eq!((open_end.limits.memory, open_end.limits.cpu), (None, None));
        assert_eq!(open_end.requests.memory, Some((256 << 20) + (1 << 30)));
        assert_eq!(qos_class(&[&one("1", "1")]), "Guaranteed");
        assert_eq!(qos_class(&[&one("1", "1"), &open]), "Burstable");
        assert_eq!(qos_class(&[&Resources::default()]), "BestEffort");
    }
}
