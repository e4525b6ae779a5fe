//! A container of a pod as an OCI configuration.

use record::{MASKED_PATHS, READ_ONLY_PATHS};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::expand::expand;
use crate::field::Field;
use crate::names;
use crate::network::{self, Port};
use crate::resources::Resources;
use crate::security::Security;
use crate::volumes::{self, Volume};

/// What a container has of its pod.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    pub(crate) name: &'a str,
    /// None: the node's.
    pub(crate) hostname: Option<&'a str>,
    pub(crate) host_network: bool,
    pub(crate) host_ipc: bool,
    pub(crate) security: Security,
    pub(crate) volumes: &'a [Volume],
    /// The box in which the pod's volumes are mounted.
    pub(crate) directory: &'a str,
}

/// A container, read.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) resources: Resources,
    pub(crate) published: Vec<Port>,
    pub(crate) record: Value,
}

/// What the record says of it beside the keys of OCI.
#[derive(Debug)]
struct Program {
    image: String,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    env: Vec<String>,
    cwd: Option<String>,
    tty: bool,
    stdin: bool,
}

impl Container {
    /// `kind`: `container` or `initContainer`.
    pub(crate) fn read(field: &Field<'_>, kind: &str, pod: &Pod<'_>) -> Result<Self, Error> {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let name = names::label(&name)?.to_owned();
        let program = Program {
            image: image(&object.required("image")?)?,
            command: None,
            args: None,
            env: environment(&object.list("env")?, pod.hostname)?,
            cwd: object
                .get("workingDir")
                .filter(|field| field.value != "")
                .map(|field| volumes::absolute(&field).map(str::to_owned))
                .transpose()?,
            tty: object.boolean("tty")?.unwrap_or(false),
            stdin: object.boolean("stdin")?.unwrap_or(false),
        };
        let expanded = |list: Vec<String>| -> Option<Vec<String>> {
            // An empty list is the same as none, as in Go.
            (!list.is_empty()).then(|| {
                list.iter()
                    .map(|word| expand(word, |name| variable(&program.env, name)))
                    .collect()
            })
        };
        let command = expanded(object.strings("command")?);
        let args = expanded(object.strings("args")?);
        let program = Program {
            command,
            args,
            ..program
        };
        if let Some(policy) = object.get("imagePullPolicy") {
            // Nothing is pulled: the image is there or it is an error.
            policy.word(&["IfNotPresent", "Never"])?;
        }
        let resources = object.get("resources");
        let resources =
            resources.map_or(Ok(Resources::default()), |field| Resources::read(&field))?;
        let (published, ports) = network::ports(&object.list("ports")?, pod.host_network)?;
        let security = pod
            .security
            .of_container(object.get("securityContext").as_ref())?;
        let mounted = volumes::mounts(&object.list("volumeMounts")?, pod.volumes, pod.directory)?;
        object.finish()?;
        let record = Record {
            pod,
            name: &name,
            kind,
            program: &program,
            security: &security,
            resources: &resources,
            ports,
            mounted,
        };
        Ok(Self {
            record: record.to_json(),
            name,
            resources,
            published,
        })
    }
}

/// An image is a name or a path; where it is, is not known here.
fn image(field: &Field<'_>) -> Result<String, Error> {
    let image = field.string()?;
    let is_fine = !image.is_empty()
        && image.len() <= 1024
        && image.trim() == image
        && !image.chars().any(char::is_control);
    match is_fine {
        true => Ok(image.to_owned()),
        false => Err(field.invalid("must be the name or the path of an image")),
    }
}

/// `NAME=VALUE`, each with the names before it replaced.
fn environment(fields: &[Field<'_>], hostname: Option<&str>) -> Result<Vec<String>, Error> {
    let mut env: Vec<String> = Vec::new();
    for field in fields {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let name = names::variable(&name)?;
        let value = object.string("value")?.unwrap_or("");
        let value = expand(value, |name| variable(&env, name));
        object.finish()?;
        // The last one counts.
        env.retain(|earlier| {
            earlier
                .split_once('=')
                .is_none_or(|(earlier, _)| earlier != name)
        });
        env.push(format!("{name}={value}"));
    }
    // As container runtimes have it; the manifest's own wins.
    if let Some(hostname) = hostname
        && variable(&env, "HOSTNAME").is_none()
    {
        env.insert(0, format!("HOSTNAME={hostname}"));
    }
    Ok(env)
}

fn variable(env: &[String], name: &str) -> Option<String> {
    let values = env.iter().filter_map(|variable| variable.split_once('='));
    let mut values = values.filter(|(known, _)| *known == name);
    values.next().map(|(_, value)| value.to_owned())
}

/// The record of a container, from all that was read.
struct Record<'a> {
    pod: &'a Pod<'a>,
    name: &'a str,
    kind: &'a str,
    program: &'a Program,
    security: &'a Security,
    resources: &'a Resources,
    ports: Vec<Value>,
    mounted: Vec<Value>,
}

impl Record<'_> {
    fn to_json(&self) -> Value {
        let mut record = Map::new();
        record.insert("ociVersion".into(), record::OCI_VERSION.into());
        record.insert(
            "id".into(),
            format!("{}_{}", self.pod.name, self.name).into(),
        );
        if let Some(hostname) = self.pod.hostname {
            record.insert("hostname".into(), hostname.into());
        }
        if self.security.read_only_root {
            record.insert("root".into(), json!({"readonly": true}));
        }
        record.insert("process".into(), self.process());
        record.insert("mounts".into(), self.mounts());
        if let Some(linux) = self.linux() {
            record.insert("linux".into(), linux);
        }
        record.insert("podspec".into(), self.own());
        record.into()
    }

    fn process(&self) -> Value {
        let mut process = Map::new();
        if self.program.tty {
            process.insert("terminal".into(), true.into());
        }
        if let Some(uid) = self.security.user {
            let mut user = Map::new();
            user.insert("uid".into(), uid.into());
            user.insert("gid".into(), self.security.group.unwrap_or(0).into());
            if !self.security.groups.is_empty() {
                user.insert("additionalGids".into(), self.security.groups.clone().into());
            }
            process.insert("user".into(), user.into());
        }
        if let Some(command) = &self.program.command {
            let args = self.program.args.clone().unwrap_or_default();
            process.insert("args".into(), [command.clone(), args].concat().into());
        }
        process.insert("env".into(), self.program.env.clone().into());
        if let Some(cwd) = &self.program.cwd {
            process.insert("cwd".into(), cwd.as_str().into());
        }
        process.insert("capabilities".into(), self.security.to_oci());
        process.insert(
            "noNewPrivileges".into(),
            self.security.no_new_privileges().into(),
        );
        process.into()
    }

    /// What containers have by default, the pod's /dev/shm, and the volumes.
    fn mounts(&self) -> Value {
        let privileged = self.security.privileged;
        let access = if privileged { "rw" } else { "ro" };
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        ];
        if privileged {
            mounts.push(json!({"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind", "rw"]}));
        } else {
            mounts.push(
                json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"]}),
            );
            mounts.push(
                json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}),
            );
        }
        let shm = match self.pod.host_ipc {
            true => "/dev/shm".to_owned(),
            false => format!("{}/{SHM}", self.pod.directory),
        };
        mounts.push(json!({"destination": "/dev/shm", "type": "bind", "source": shm, "options": ["bind", "rw"]}));
        if !privileged {
            mounts.push(json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]}));
        }
        mounts.push(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", access]}));
        mounts.push(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", access]}));
        // What a manifest mounts on one of these places is there instead.
        let places: Vec<&Value> = self
            .mounted
            .iter()
            .map(|mount| &mount["destination"])
            .collect();
        mounts.retain(|mount| !places.contains(&&mount["destination"]));
        mounts.extend(self.mounted.iter().cloned());
        mounts.into()
    }

    fn linux(&self) -> Option<Value> {
        let mut linux = Map::new();
        if let Some(resources) = self.resources.to_oci() {
            linux.insert("resources".into(), resources);
        }
        if !self.security.privileged {
            linux.insert("maskedPaths".into(), MASKED_PATHS.into());
            linux.insert("readonlyPaths".into(), READ_ONLY_PATHS.into());
        }
        (!linux.is_empty()).then(|| linux.into())
    }

    fn own(&self) -> Value {
        let mut own = Map::new();
        own.insert("kind".into(), self.kind.into());
        own.insert("pod".into(), self.pod.name.into());
        own.insert("name".into(), self.name.into());
        own.insert("image".into(), self.program.image.as_str().into());
        for (key, list) in [
            ("command", &self.program.command),
            ("args", &self.program.args),
        ] {
            if let Some(list) = list {
                own.insert(key.into(), list.clone().into());
            }
        }
        if !self.ports.is_empty() {
            own.insert("ports".into(), self.ports.clone().into());
        }
        own.insert("caps".into(), self.security.caps().into());
        own.insert("seccomp".into(), self.security.seccomp().into());
        for (key, is_set) in [
            ("runAsNonRoot", self.security.non_root.unwrap_or(false)),
            ("privileged", self.security.privileged),
            ("tty", self.program.tty),
            ("stdin", self.program.stdin),
        ] {
            if is_set {
                own.insert(key.into(), true.into());
            }
        }
        // The group of a user that comes with the image.
        if let (Some(group), None) = (self.security.group, self.security.user) {
            own.insert("group".into(), group.into());
        }
        own.into()
    }
}

/// The name of the pod's /dev/shm among its volumes, whose names do not begin with a dot.
pub(crate) const SHM: &str = ".shm";
