//! `--mount`: the keys of docker(1), and the volumes of Kubernetes. Pure.

use std::str::FromStr;

use crate::flags::{Wish, owned, words};
use crate::volumes::{Item, Volume, bytes, mode};

/// `--mount KEY=VALUE,…`, as docker(1), and the volumes of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountFlag(pub(crate) Wish);

/// The fields of a line of comma-separated values: one in double quotes may have commas, and `""` for a quote.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) = rest.split_once(',').unwrap_or((rest, ""));
            fields.push(field.to_owned());
            if tail.is_empty() {
                return Ok(fields);
            }
            rest = tail;
            continue;
        };
        let mut field = String::new();
        let mut tail = quoted;
        loop {
            let (piece, after) = tail.split_once('"').ok_or("a quote is not closed")?;
            field.push_str(piece);
            tail = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    tail = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(fields),
            None => return Err("a quote is closed within a field".into()),
        }
    }
}

/// The keys of one `--mount`.
#[derive(Debug, Default)]
struct Keys {
    kind: String,
    source: Option<String>,
    destination: Option<String>,
    options: Vec<String>,
    /// Keys that only some kinds have.
    special: Vec<(String, String)>,
}

impl Keys {
    fn read(text: &str) -> Result<Self, String> {
        let mut keys = Self::default();
        for field in fields(text)? {
            let (key, value) = field
                .split_once('=')
                .map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
            let given = || {
                value
                    .map(str::to_owned)
                    .ok_or(format!("{key} needs a value"))
            };
            let is_on = |value: Option<&str>| match value {
                None | Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(other) => Err(format!("{key}={other}: is neither true nor false")),
            };
            match key {
                "type" => keys.kind = given()?,
                "source" | "src" => keys.source = Some(given()?),
                "destination" | "dst" | "target" => keys.destination = Some(given()?),
                "readonly" | "readOnly" | "ro" => {
                    keys.options
                        .push(if is_on(value)? { "ro" } else { "rw" }.into());
                }
                "bind-propagation" => keys.options.push(given()?),
                "bind-recursive" => match value {
                    Some("enabled" | "writable") => keys.options.push("rbind".into()),
                    Some("disabled") => keys.options.push("bind".into()),
                    Some("readonly") => keys.options.extend(owned(&["rbind", "rro"])),
                    _ => return Err(format!("{field}: enabled, disabled, writable or readonly")),
                },
                "tmpfs-size" => keys.options.push(format!("size={}", given()?)),
                "tmpfs-mode" => keys.options.push(format!("mode={}", given()?)),
                "medium" | "sizeLimit" | "hostpath-type" | "defaultMode" | "item" | "optional" => {
                    keys.special
                        .push((key.into(), value.unwrap_or("true").into()));
                }
                "" => return Err("a field is empty".into()),
                _ => keys.options.push(field.clone()),
            }
        }
        Ok(keys)
    }

    /// The value of `key`, which only some kinds have.
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.special.iter().position(|(name, _)| name == key)?;
        Some(self.special.remove(at).1)
    }
}

impl FromStr for MountFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = Keys::read(text)?;
        let destination = keys.destination.take().ok_or("target is missing")?;
        let needs_source = |source: Option<String>| source.ok_or("source is missing".to_owned());
        let kind = std::mem::take(&mut keys.kind);
        let options = keys.options.join(",");
        let wish = match kind.as_str() {
            "" | "bind" => Wish::bind(
                &needs_source(keys.source.take())?,
                &destination,
                &options,
                "rbind",
            ),
            "hostPath" => {
                let source = needs_source(keys.source.take())?;
                let mut wish = Wish::bind(&source, &destination, &options, "rbind");
                let check = keys.take("hostpath-type").unwrap_or_default();
                wish.volume = Volume::HostPath(check.parse()?);
                wish
            }
            "emptyDir" => empty_dir(&mut keys, &destination, &options)?,
            "configMap" | "secret" => files(&mut keys, &destination, &options)?,
            "volume" | "npipe" | "cluster" => {
                return Err(format!(
                    "type={kind}: there are no volumes by name (bind, hostPath, emptyDir, configMap, secret, or a file system)"
                ));
            }
            _ => Wish {
                destination,
                source: Some(keys.source.take().unwrap_or_else(|| kind.clone())),
                options: std::mem::take(&mut keys.options),
                kind: kind.clone(),
                volume: Volume::None,
            },
        };
        if let Some((key, _)) = keys.special.first() {
            return Err(format!("a mount of type {kind:?} has no {key}"));
        }
        if let Some(source) = keys.source {
            return Err(format!("a mount of type {kind} has no source ({source})"));
        }
        wish.checked().map(Self)
    }
}

/// Kubernetes' emptyDir: a directory beside the box, or with `medium=Memory` a tmpfs.
fn empty_dir(keys: &mut Keys, destination: &str, options: &str) -> Result<Wish, String> {
    let limit = keys
        .take("sizeLimit")
        .map(|limit| bytes(&limit))
        .transpose()?;
    match keys.take("medium").as_deref() {
        Some("Memory") => {
            let mut wish = Wish::filesystem(destination, "tmpfs", &["nosuid", "nodev", "mode=777"]);
            wish.options
                .extend(limit.map(|limit| format!("size={limit}")));
            wish.options.extend(words(options));
            Ok(wish)
        }
        None | Some("") if limit.is_some() => Err(
            "sizeLimit needs medium=Memory: a directory on a disk has no size of its own".into(),
        ),
        None | Some("") => Ok(Wish {
            source: None,
            volume: Volume::EmptyDir,
            ..Wish::bind("", destination, options, "bind")
        }),
        Some(other) => Err(format!("medium={other}: Memory, or none")),
    }
}

/// Kubernetes' configMap and secret: copies of the files of a directory, with modes, that cannot be written.
fn files(keys: &mut Keys, destination: &str, options: &str) -> Result<Wish, String> {
    let directory = keys.source.take().ok_or("source is missing")?;
    let mode = keys
        .take("defaultMode")
        .map_or(Ok(0o644), |text| mode(&text))?;
    let optional = match keys.take("optional").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("optional={other}: is neither true nor false")),
    };
    let mut items = Vec::new();
    while let Some(item) = keys.take("item") {
        items.push(item.parse::<Item>()?);
    }
    let options = if options.is_empty() { "ro" } else { options };
    let mut wish = Wish::bind("", destination, options, "bind");
    wish.options.extend(owned(&["nosuid", "nodev"]));
    Ok(Wish {
        source: None,
        volume: Volume::Files {
            directory: directory.into(),
            mode,
            items,
            optional,
        },
        ..wish
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use crate::flags::{Flags, Wished, wishes};
    use crate::mounts::describe;
    use crate::volumes::Check;

    fn mount(text: &str) -> Wished {
        let flag = text.parse().unwrap();
        let flags = Flags {
            mount: &[flag],
            ..Flags::default()
        };
        wishes(&flags, Path::new("/here"), Path::new("/store"))
            .unwrap()
            .remove(0)
    }

    #[test]
    fn mounts_are_asked_for_as_docker_does() {
        let same = |text: &str, line: &str| {
            let Wished { mount, volume } = mount(text);
            assert_eq!(
                (describe(&mount).as_str(), volume),
                (line, Volume::None),
                "{text}"
            );
        };
        same("type=bind,src=/x,dst=/y,readonly", "/y  bind /x (rbind,ro)");
        same(
            "source=/x,target=/y,bind-propagation=rslave",
            "/y  bind /x (rbind,rw,rslave)",
        );
        same(
            "type=bind,src=/x,dst=/y,bind-recursive=readonly",
            "/y  bind /x (rbind,rro)",
        );
        same(
            r#"type=bind,"src=/a,b:c",dst=/y"#,
            "/y  bind /a,b:c (rbind,rw)",
        );
        same(
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            "/t  tmpfs (size=1m,mode=1770)",
        );
        same("type=proc,dst=/p,hidepid=2,ro", "/p  proc (hidepid=2,ro)");
        same(
            "type=emptyDir,dst=/e,medium=Memory,sizeLimit=64Mi",
            "/e  tmpfs (nosuid,nodev,mode=777,size=67108864)",
        );
    }

    #[test]
    fn volumes_are_asked_for_as_kubernetes_does() {
        let host =
            mount("type=hostPath,source=/x,target=/y,hostpath-type=DirectoryOrCreate,readOnly");
        assert_eq!(describe(&host.mount), "/y  bind /x (rbind,ro)");
        assert_eq!(host.volume, Volume::HostPath(Check::DirectoryOrCreate));
        let empty = mount("type=emptyDir,target=/var/cache");
        assert_eq!(
            describe(&empty.mount),
            "/var/cache  bind /store/volumes/var~1cache (bind,rw)"
        );
        assert_eq!(empty.volume, Volume::EmptyDir);
        let secret =
            mount("type=secret,source=keys,target=/etc/keys,defaultMode=0400,item=a:b/c:0440");
        assert_eq!(
            describe(&secret.mount),
            "/etc/keys  bind /store/volumes/etc~1keys (bind,ro,nosuid,nodev)"
        );
        assert_eq!(
            secret.volume,
            Volume::Files {
                directory: "/here/keys".into(),
                mode: 0o400,
                items: vec!["a:b/c:0440".parse().unwrap()],
                optional: false
            }
        );
    }

    #[test]
    fn keys_that_mean_nothing_together_are_refused() {
        for bad in [
            "",
            "type=bind",
            "type=bind,src=/x",
            "type=bind,dst=/y",
            "type=volume,src=x,dst=/y",
            "src,dst=/y",
            "type=bind,src=/x,dst=/y,medium=Memory",
            "type=emptyDir,src=/x,dst=/y",
            "type=emptyDir,dst=/y,sizeLimit=1",
            "type=emptyDir,dst=/y,medium=Memory,sizeLimit=lots",
            "type=hostPath,src=/x,dst=/y,hostpath-type=Dir",
            "type=secret,src=/x,dst=/y,item=a",
            "type=secret,src=/x,dst=/y,item=a:../b",
            "type=secret,src=/x,dst=/y,defaultMode=9",
            "type=bind,src=/x,dst=/y,readonly=maybe",
            "type=bind,\"src=/x,dst=/y",
            "type=bind,src=/x,dst=/y,,",
        ] {
            assert!(bad.parse::<MountFlag>().is_err(), "{bad}");
        }
    }
}
