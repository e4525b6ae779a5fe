//! `securityContext`: who a container is and what it may do.

use serde_json::{Value, json};

use crate::error::Error;
use crate::field::{Field, Object};

/// What containerd and docker leave a container.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All that Linux 6.18 has.
const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What a pod says for its containers, and a container for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) groups: Vec<u32>,
    pub(crate) non_root: Option<bool>,
    /// `default` or `none`, as `nsrun drop --seccomp` has it.
    pub(crate) seccomp: Option<&'static str>,
    pub(crate) read_only_root: bool,
    pub(crate) privileged: bool,
    pub(crate) escalation: Option<bool>,
    add: Vec<String>,
    drop: Vec<String>,
}

impl Security {
    /// `spec.securityContext`
    pub(crate) fn of_pod(field: Option<&Field<'_>>) -> Result<Self, Error> {
        let Some(field) = field else {
            return Ok(Self::default());
        };
        let mut object = field.object()?;
        let mut found = Self::default();
        found.shared(&mut object)?;
        let groups = object.list("supplementalGroups")?;
        found.groups = groups.iter().map(Field::id).collect::<Result<_, _>>()?;
        object.finish()?;
        Ok(found)
    }

    /// What both may say.
    fn shared(&mut self, object: &mut Object<'_>) -> Result<(), Error> {
        let id = |field: Option<Field<'_>>| field.map(|field| field.id()).transpose();
        self.user = id(object.get("runAsUser"))?.or(self.user);
        self.group = id(object.get("runAsGroup"))?.or(self.group);
        self.non_root = object.boolean("runAsNonRoot")?.or(self.non_root);
        if let Some(field) = object.get("seccompProfile") {
            let mut profile = field.object()?;
            let kind = profile.required("type")?;
            self.seccomp = Some(
                match kind.word(&["RuntimeDefault", "Unconfined", "Localhost"])? {
                    "RuntimeDefault" => "default",
                    "Unconfined" => "none",
                    _ => {
                        return Err(Error::Input(format!(
                            "{}: not supported (Localhost: nsrun drop --seccomp FILE has to be where it runs, in the box)",
                            kind.path
                        )));
                    }
                },
            );
            profile.finish()?;
        }
        Ok(())
    }

    /// `securityContext` of a container of a pod that says this.
    pub(crate) fn of_container(&self, field: Option<&Field<'_>>) -> Result<Self, Error> {
        let mut found = self.clone();
        if let Some(field) = field {
            let mut object = field.object()?;
            found.shared(&mut object)?;
            found.read_only_root = object.boolean("readOnlyRootFilesystem")?.unwrap_or(false);
            found.privileged = object.boolean("privileged")?.unwrap_or(false);
            found.escalation = object.boolean("allowPrivilegeEscalation")?;
            if let Some(field) = object.get("capabilities") {
                let mut lists = field.object()?;
                found.add = capabilities(&lists.list("add")?)?;
                found.drop = capabilities(&lists.list("drop")?)?;
                lists.finish()?;
            }
            object.only("procMount", &json!("Default"))?;
            object.finish()?;
            if found.privileged && found.escalation == Some(false) {
                return Err(Error::Input(format!(
                    "{}: Invalid value: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
                    field.path
                )));
            }
        }
        found.check_user(field.map_or("spec.securityContext", |field| &field.path))?;
        Ok(found)
    }

    /// `runAsNonRoot` and a user who is root.
    fn check_user(&self, path: &str) -> Result<(), Error> {
        match (self.non_root, self.user) {
            (Some(true), Some(0)) => Err(Error::Input(format!(
                "{path}: container's runAsUser breaks non-root policy"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether CMD is root, as far as the manifest says; the image may say something else.
    fn is_root(&self) -> bool {
        self.user.unwrap_or(0) == 0
    }

    /// `process.capabilities`: root has the bounding set, others have what is added and nothing else.
    ///
    /// For others, what they could get by running a program with file capabilities ends at what is added as well, where the
    /// manifest adds or drops anything.
    pub(crate) fn to_oci(&self) -> Value {
        let bounding = self.bounding();
        let names: Vec<String> = bounding.iter().map(|name| format!("CAP_{name}")).collect();
        let mine = if self.is_root() || !self.is_default() {
            names.clone()
        } else {
            Vec::new()
        };
        let ambient = if self.is_root() {
            Vec::new()
        } else {
            mine.clone()
        };
        json!({"bounding": names, "effective": mine, "permitted": mine, "inheritable": ambient, "ambient": ambient})
    }

    fn is_default(&self) -> bool {
        !self.privileged && self.add.is_empty() && self.drop.is_empty()
    }

    fn bounding(&self) -> Vec<&str> {
        if self.privileged {
            return ALL.to_vec();
        }
        let is_all = |list: &[String]| list.iter().any(|name| name == "ALL");
        let mut kept: Vec<&str> = match (self.is_root() || self.is_default(), is_all(&self.drop)) {
            (true, false) => DEFAULT.to_vec(),
            _ => Vec::new(),
        };
        if is_all(&self.add) {
            kept = ALL.to_vec();
        }
        kept.retain(|name| !self.drop.iter().any(|dropped| dropped == name));
        for name in ALL {
            if self.add.iter().any(|added| added == name) && !kept.contains(&name) {
                kept.push(name);
            }
        }
        kept.sort_unstable();
        kept
    }

    /// What `nsrun drop --caps` takes for the same.
    pub(crate) fn caps(&self) -> String {
        if self.privileged {
            return "all".into();
        }
        if self.is_default() {
            return "docker".into();
        }
        match self.bounding().join(",").to_lowercase() {
            none if none.is_empty() => "none".into(),
            list => list,
        }
    }

    /// Without a word: the default profile, as a kubelet with `--seccomp-default`.
    pub(crate) fn seccomp(&self) -> &'static str {
        match self.privileged {
            true => "none",
            false => self.seccomp.unwrap_or("default"),
        }
    }

    /// Unless the manifest forbids it, as in Kubernetes, a program may have more rights than who runs it.
    pub(crate) fn no_new_privileges(&self) -> bool {
        self.escalation == Some(false)
    }
}

/// Names as OCI has them without `CAP_`, which may be there or not; `ALL` is all of them.
fn capabilities(fields: &[Field<'_>]) -> Result<Vec<String>, Error> {
    let name = |field: &Field<'_>| {
        let upper = field.string()?.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        match name == "ALL" || ALL.contains(&name.as_str()) {
            true => Ok(name),
            false => Err(field.invalid("is no capability")),
        }
    };
    fields.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(value: Value) -> Result<Security, String> {
        let field = Field {
            path: "s".into(),
            value: &value,
        };
        let pod = Security::default();
        pod.of_container(Some(&field))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn capabilities_are_added_and_dropped() {
        let caps = |value: Value| security(value).unwrap().caps();
        assert_eq!(caps(json!({})), "docker");
        assert_eq!(caps(json!({"privileged": true})), "all");
        assert_eq!(caps(json!({"capabilities": {"drop": ["ALL"]}})), "none");
        assert_eq!(
            caps(
                json!({"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "cap_chown"]}})
            ),
            "chown,net_bind_service"
        );
        let more = caps(json!({"capabilities": {"add": ["SYS_TIME"], "drop": ["NET_RAW"]}}));
        assert!(
            more.contains("sys_time") && more.contains("chown") && !more.contains("net_raw"),
            "{more}"
        );
        // Who is not root must not get root's by the list.
        assert_eq!(
            caps(json!({"runAsUser": 1, "capabilities": {"drop": ["NET_RAW"]}})),
            "none"
        );
        assert_eq!(
            caps(json!({"runAsUser": 1, "capabilities": {"add": ["SYS_TIME"]}})),
            "sys_time"
        );
        assert_eq!(caps(json!({"runAsUser": 1})), "docker");
        let all = caps(json!({"capabilities": {"add": ["ALL"], "drop": ["SYS_BOOT"]}}));
        assert!(
            all.contains("sys_admin") && !all.contains("sys_boot"),
            "{all}"
        );
    }

    #[test]
    fn a_user_who_is_not_root_has_an_empty_effective_set() {
        let oci = security(json!({"runAsUser": 1000})).unwrap().to_oci();
        assert_eq!(oci["effective"], json!([]));
        assert_eq!(oci["bounding"].as_array().map(Vec::len), Some(14));
        let oci = security(json!({"runAsUser": 1000, "capabilities": {"add": ["KILL"]}}))
            .unwrap()
            .to_oci();
        assert_eq!(
            (&oci["ambient"], &oci["bounding"]),
            (&json!(["CAP_KILL"]), &json!(["CAP_KILL"]))
        );
    }

    #[test]
    fn contradictions_are_refused() {
        for (value, said) in [
            (
                json!({"runAsNonRoot": true, "runAsUser": 0}),
                "s: container's runAsUser breaks non-root policy",
            ),
            (
                json!({"capabilities": {"add": ["FLY"]}}),
                "s.capabilities.add[0]: Invalid value: \"FLY\": is no capability",
            ),
            (
                json!({"runAsUser": -1}),
                "s.runAsUser: Invalid value: \"-1\": must be between 0 and 2147483647, inclusive",
            ),
            (
                json!({"runAsUser": "1000"}),
                "s.runAsUser: cannot unmarshal string into type integer",
            ),
            (
                json!({"procMount": "Unmasked"}),
                "s.procMount: only \"Default\" is understood here",
            ),
            (
                json!({"seLinuxOptions": {"level": "s0"}}),
                "s.seLinuxOptions: not supported (no such property is set here)",
            ),
        ] {
            assert_eq!(security(value).unwrap_err(), said);
        }
        assert!(security(json!({"privileged": true, "allowPrivilegeEscalation": false})).is_err());
        assert!(
            security(json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}))
                .unwrap_err()
                .contains("not supported")
        );
    }
}
