//! A manifest: which pods are in it, and the records of each.

use serde_json::{Value, json};

use crate::container::{Container, Pod};
use crate::error::Error;
use crate::field::{Field, Object};
use crate::metadata::Metadata;
use crate::sandbox::Sandbox;
use crate::security::Security;
use crate::spec::Spec;
use crate::volumes;

/// The records of every pod in `documents`: its own first, then its containers' in the order in which they start.
///
/// # Errors
/// The first field that is wrong or not understood.
pub(crate) fn records(documents: &[Value], run_dir: &str) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let read = manifest(&Field::root(document), run_dir, &mut found);
        // Which of several documents it was.
        read.map_err(|error| match (error, documents.len()) {
            (Error::Input(text), 2..) => Error::Input(format!("document {}: {text}", at + 1)),
            (error, _) => error,
        })?;
    }
    if found.is_empty() {
        return Err(Error::Input("no manifest".into()));
    }
    let mut names: Vec<&Value> = Vec::new();
    for record in found
        .iter()
        .filter(|record| record["podspec"]["kind"] == "pod")
    {
        if names.contains(&&record["id"]) {
            let name = record["id"].as_str().unwrap_or_default();
            return Err(Error::duplicate("metadata.name", name));
        }
        names.push(&record["id"]);
    }
    Ok(found)
}

fn manifest(field: &Field<'_>, run_dir: &str, found: &mut Vec<Value>) -> Result<(), Error> {
    let mut object = field.object()?;
    let version = object.required("apiVersion")?;
    version.word(&["v1"])?;
    let kind = object.required("kind")?;
    match kind.word(&["Pod", "List", "PodList"])? {
        "Pod" => {
            let metadata = object.required("metadata")?;
            let metadata = Metadata::read(&metadata)?;
            let spec = object.required("spec")?;
            object.finish()?;
            pod(&metadata, &spec, run_dir, found)
        }
        kind => list(kind, object, run_dir, found),
    }
}

/// A `List` or `PodList`: its items are manifests.
fn list(
    kind: &str,
    mut object: Object<'_>,
    run_dir: &str,
    found: &mut Vec<Value>,
) -> Result<(), Error> {
    let items = object.list("items")?;
    if let Some(field) = object.get("metadata") {
        let mut metadata = field.object()?;
        metadata.string("resourceVersion")?;
        metadata.finish()?;
    }
    object.finish()?;
    for item in &items {
        if item.value.get("kind").is_some_and(|of| of != "Pod") {
            return Err(Error::Input(format!(
                "{}.kind: only Pods are understood in a {kind}",
                item.path
            )));
        }
        manifest(item, run_dir, found)?;
    }
    Ok(())
}

fn pod(
    metadata: &Metadata,
    field: &Field<'_>,
    run_dir: &str,
    found: &mut Vec<Value>,
) -> Result<(), Error> {
    let mut object = field.object()?;
    let spec = Spec::read(&mut object, &metadata.name)?;
    let volumes = volumes::read(&object.list("volumes")?)?;
    let security = Security::of_pod(object.get("securityContext").as_ref())?;
    object.only("schedulerName", &json!("default-scheduler"))?;
    object.only("enableServiceLinks", &json!(false))?;
    object.only("automountServiceAccountToken", &json!(false))?;
    object.only("os", &json!({"name": "linux"}))?;
    let first = object.list("initContainers")?;
    let together = object.required("containers")?;
    let (place, list) = (together.path.clone(), together.list()?);
    if list.is_empty() {
        return Err(Error::required(&place));
    }
    object.finish()?;
    let directory = format!("{run_dir}/{}/volumes", metadata.name);
    let of = Pod {
        name: &metadata.name,
        hostname: spec.hostname.as_deref(),
        host_network: spec.host_network,
        host_ipc: spec.host_ipc,
        security,
        volumes: &volumes,
        directory: &directory,
    };
    let containers = |fields: &[Field<'_>], kind: &str| -> Result<Vec<Container>, Error> {
        let read = |field| Container::read(field, kind, &of);
        fields.iter().map(read).collect()
    };
    let sandbox = Sandbox {
        metadata,
        spec: &spec,
        first: containers(&first, "initContainer")?,
        together: containers(&list, "container")?,
        volumes: &volumes,
    };
    check_names(&sandbox.first, &sandbox.together)?;
    found.push(sandbox.to_json()?);
    let every = sandbox.first.into_iter().chain(sandbox.together);
    found.extend(every.map(|container| container.record));
    Ok(())
}

/// No two containers have one name, of whichever kind they are.
fn check_names(first: &[Container], together: &[Container]) -> Result<(), Error> {
    let mut seen: Vec<&str> = Vec::new();
    for (kind, containers) in [("initContainers", first), ("containers", together)] {
        for (at, container) in containers.iter().enumerate() {
            if seen.contains(&container.name.as_str()) {
                let place = format!("spec.{kind}[{at}].name");
                return Err(Error::duplicate(&place, &container.name));
            }
            seen.push(&container.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A value as a manifest may have it, of fields that mean something and of some that do not.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2_i64..70_000).prop_map(Value::from),
            "[a-z/.$()A-Z0-9:-]{0,12}".prop_map(Value::from),
            prop_oneof![
                Just("Always"),
                Just("100Mi"),
                Just("Memory"),
                Just("/a"),
                Just("a"),
                Just("TCP")
            ]
            .prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("name"),
            Just("image"),
            Just("command"),
            Just("env"),
            Just("value"),
            Just("ports"),
            Just("containerPort"),
            Just("resources"),
            Just("limits"),
            Just("memory"),
            Just("volumeMounts"),
            Just("mountPath"),
            Just("emptyDir"),
            Just("hostPath"),
            Just("path"),
            Just("securityContext"),
            Just("runAsUser"),
            Just("capabilities"),
            Just("drop"),
            Just("x"),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..4).prop_map(|entries| {
                    Value::Object(
                        entries
                            .into_iter()
                            .map(|(key, value)| (key.to_owned(), value))
                            .collect(),
                    )
                }),
            ]
        })
    }

    /// What the tools read of a record, with the checks that they make.
    fn check(records: &[Value]) {
        for record in records {
            let parsed = record::Record::parse(record.to_string().as_bytes()).unwrap();
            parsed.id().unwrap().parse::<record::Id>().unwrap();
            parsed.namespaces().unwrap();
            parsed.resources().unwrap();
            parsed.mounts().unwrap();
            parsed.hostname().unwrap();
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_a_record_whatever_goes_in(name in "[a-z0-9.-]{0,70}", field in value(), other in value()) {
            let fields = ["volumes", "initContainers", "hostAliases", "dnsConfig", "securityContext", "restartPolicy", "hostname", "nodeSelector"];
            for key in fields {
                let mut container = json!({"name": "a", "image": "b"});
                if let (Some(container), Some(given)) = (container.as_object_mut(), other.as_object()) {
                    container.extend(given.clone());
                }
                let document = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
                    "spec": {key: field, "containers": [container]}});
                match records(&[document], "/run/chroot0") {
                    Ok(found) => check(&found),
                    Err(error) => prop_assert!(!error.to_string().contains('\n')),
                }
            }
        }

        #[test]
        fn a_pod_that_is_right_has_as_many_records_as_it_says(name in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?", count in 1_usize..6, memory in 1_u32.., user in 0_i32..) {
            let containers: Vec<Value> = (0..count).map(|n| json!({"name": format!("c{n}"), "image": "i", "command": ["x"],
                "resources": {"limits": {"memory": memory}}, "securityContext": {"runAsUser": user}})).collect();
            let document = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers}});
            let found = records(&[document], "/r").unwrap();
            check(&found);
            prop_assert_eq!(found.len(), count + 1);
            prop_assert_eq!(&found[0]["linux"]["resources"]["memory"]["limit"], &json!(u64::from(memory) * count as u64));
            prop_assert_eq!(&found[count]["process"]["user"]["uid"], &json!(user));
        }
    }
}
