//! Volumes of a pod, as `mkbox up --mount` makes them, and where containers see them.

use serde_json::{Value, json};

use crate::error::Error;
use crate::field::{Field, Object};
use crate::{names, quantity};

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "DirectoryOrCreate",
    "Directory",
    "FileOrCreate",
    "File",
    "Socket",
    "CharDevice",
    "BlockDevice",
];

/// A volume of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) name: String,
    /// For `mkbox up --mount`; the place is `/NAME` in the box of the pod's volumes.
    pub(crate) mount: String,
    /// A configMap or secret, that no container can write.
    is_read_only: bool,
}

/// `spec.volumes`
pub(crate) fn read(fields: &[Field<'_>]) -> Result<Vec<Volume>, Error> {
    let mut volumes: Vec<Volume> = Vec::new();
    for field in fields {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let text = names::label(&name)?;
        if volumes.iter().any(|volume| volume.name == text) {
            return Err(Error::duplicate(&name.path, text));
        }
        volumes.push(volume(text, &mut object)?);
        object.finish()?;
    }
    Ok(volumes)
}

fn volume(name: &str, object: &mut Object<'_>) -> Result<Volume, Error> {
    let kinds = ["hostPath", "emptyDir", "configMap", "secret"];
    let given: Vec<Field<'_>> = kinds.iter().filter_map(|kind| object.get(kind)).collect();
    let field = match given.as_slice() {
        [field] => field,
        [] => {
            // Another kind, which is named then, or none.
            object.check()?;
            return Err(Error::Input(format!(
                "{}: Required value: must specify a volume type",
                object.path
            )));
        }
        [_, second, ..] => {
            return Err(Error::Input(format!(
                "{}: Forbidden: may not specify more than 1 volume type",
                second.path
            )));
        }
    };
    let kind = field.path.rsplit('.').next().unwrap_or_default();
    let mut inner = field.object()?;
    let target = format!("/{name}");
    let mut keys: Vec<String> = Vec::new();
    match kind {
        "hostPath" => host_path(&mut inner, &target, &mut keys)?,
        "emptyDir" => empty_dir(&mut inner, &target, &mut keys)?,
        _ => files(kind, &mut inner, &target, &mut keys)?,
    }
    inner.finish()?;
    Ok(Volume {
        name: name.to_owned(),
        mount: keys
            .iter()
            .map(|key| quoted(key))
            .collect::<Vec<_>>()
            .join(","),
        is_read_only: matches!(kind, "configMap" | "secret"),
    })
}

fn host_path(object: &mut Object<'_>, target: &str, keys: &mut Vec<String>) -> Result<(), Error> {
    let path = object.required("path")?;
    let text = absolute(&path)?;
    let kind = object.get("type");
    let kind = kind.map_or(Ok(""), |field| field.word(&HOST_PATH_TYPES))?;
    keys.extend([
        "type=hostPath".to_owned(),
        format!("source={text}"),
        format!("target={target}"),
    ]);
    if !kind.is_empty() {
        keys.push(format!("hostpath-type={kind}"));
    }
    Ok(())
}

fn empty_dir(object: &mut Object<'_>, target: &str, keys: &mut Vec<String>) -> Result<(), Error> {
    let medium = object.get("medium");
    let medium = medium.map_or(Ok(""), |field| field.word(&["", "Memory"]))?;
    let limit = object.get("sizeLimit");
    let limit = limit.map(|field| size(&field)).transpose()?;
    keys.extend(["type=emptyDir".to_owned(), format!("target={target}")]);
    // A directory has no size of its own. The pod's directory is in memory in any case, so what has a limit is a
    // file system with that size, whichever medium is asked for.
    if medium == "Memory" || limit.is_some() {
        keys.push("medium=Memory".into());
    }
    keys.extend(limit.map(|limit| format!("sizeLimit={limit}")));
    Ok(())
}

fn size(field: &Field<'_>) -> Result<i64, Error> {
    let text = match field.value {
        Value::Number(number) => number.to_string(),
        _ => field.string()?.to_owned(),
    };
    let size = quantity::parse(&text, 1).filter(|size| *size > 0);
    size.ok_or_else(|| field.invalid("must be a quantity greater than 0"))
}

/// configMap and secret: the files of a directory of that name, which the caller has.
fn files(
    kind: &str,
    object: &mut Object<'_>,
    target: &str,
    keys: &mut Vec<String>,
) -> Result<(), Error> {
    let key = match kind {
        "secret" => "secretName",
        _ => "name",
    };
    let name = object.required(key)?;
    let name = names::subdomain(&name)?;
    let mode = object
        .get("defaultMode")
        .map(|field| field.between(0, 0o777));
    let mode = mode.transpose()?.unwrap_or(0o644);
    let optional = object.boolean("optional")?.unwrap_or(false);
    keys.extend([
        format!("type={kind}"),
        // Relative: from the directory in which the caller keeps them.
        format!("source={kind}s/{name}"),
        format!("target={target}"),
        format!("defaultMode={mode:04o}"),
    ]);
    if optional {
        keys.push("optional".into());
    }
    for item in object.list("items")? {
        let mut item = item.object()?;
        let from = item.required("key")?;
        let from = names::key(&from)?;
        let path = item.required("path")?;
        let text = path.string()?;
        let is_inside = !text.is_empty()
            && !text.contains(':')
            && text
                .split('/')
                .all(|part| !part.is_empty() && part != "." && !part.starts_with(".."));
        if !is_inside {
            return Err(path.invalid("must be a relative path without '..' and ':'"));
        }
        let mode = item
            .get("mode")
            .map(|field| field.between(0, 0o777))
            .transpose()?;
        let mode = mode.map_or(String::new(), |mode| format!(":{mode:04o}"));
        keys.push(format!("item={from}:{text}{mode}"));
        item.finish()?;
    }
    Ok(())
}

/// A field of `--mount`, in quotes where it needs them.
fn quoted(key: &str) -> String {
    match key.contains([',', '"']) {
        true => format!("\"{}\"", key.replace('"', "\"\"")),
        false => key.to_owned(),
    }
}

/// `volumeMounts` of a container as OCI's `mounts`, from `directory`, the box of the pod's volumes.
pub(crate) fn mounts(
    fields: &[Field<'_>],
    volumes: &[Volume],
    directory: &str,
) -> Result<Vec<Value>, Error> {
    let mut seen: Vec<String> = Vec::new();
    let mut mounts = Vec::new();
    for field in fields {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let text = name.string()?;
        let volume = volumes.iter().find(|volume| volume.name == text);
        let volume =
            volume.ok_or_else(|| Error::Input(format!("{}: Not found: {text:?}", name.path)))?;
        let path = object.required("mountPath")?;
        let place = absolute(&path)?;
        let place = place.trim_end_matches('/').to_owned();
        if place.is_empty() {
            return Err(path.invalid("nothing can be mounted on the root of a container"));
        }
        if seen.contains(&place) {
            return Err(path.invalid("must be unique"));
        }
        let read_only = object.boolean("readOnly")?.unwrap_or(false) || volume.is_read_only;
        object.only("mountPropagation", &json!("None"))?;
        object.only("recursiveReadOnly", &json!("Disabled"))?;
        object.finish()?;
        mounts.push(json!({
            "destination": place,
            "type": "bind",
            "source": format!("{directory}/{}", volume.name),
            "options": ["rbind", if read_only { "ro" } else { "rw" }],
        }));
        seen.push(place);
    }
    Ok(mounts)
}

/// A path of the host or of a container.
pub(crate) fn absolute<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let path = field.string()?;
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return Err(field.invalid("must be an absolute path"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(field.invalid("must not contain '..'"));
    }
    if path.contains(':') {
        return Err(field.invalid("must not contain ':'"));
    }
    Ok(path)
}
