//! What a container's record lacks until its image is found: command, environment, directory, user.

use serde_json::{Map, Value, json};

use crate::error::Error;

/// Takes from an image what the manifest does not say: command, arguments, environment, directory, user.
///
/// The image is an OCI image configuration (`config.Entrypoint` …), or a record or OCI runtime configuration (`process`).
///
/// # Errors
/// Neither, or a user that is root where the manifest forbids it.
pub(crate) fn of_image(record: &mut Map<String, Value>, image: &Value) -> Result<(), Error> {
    let defaults = Defaults::read(image)?;
    let own = record.get("podspec").cloned().unwrap_or_default();
    let words = |value: &Value| -> Option<Vec<String>> {
        let list = value.as_array()?;
        list.iter()
            .map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let (command, args) = (words(&own["command"]), words(&own["args"]));
    let process = record
        .entry("process")
        .or_insert_with(|| Map::new().into())
        .as_object_mut()
        .ok_or_else(|| Error::Input("process: must be an object".into()))?;
    // Who says the command says it all; who says the arguments replaces the image's.
    let line = match (command, args) {
        (Some(command), args) => [command, args.unwrap_or_default()].concat(),
        (None, args) => [defaults.entrypoint, args.unwrap_or(defaults.arguments)].concat(),
    };
    if !line.is_empty() {
        process.insert("args".into(), line.into());
    }
    let given = process.get("env").and_then(words).unwrap_or_default();
    let name = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut env = defaults.env;
    env.retain(|variable| !given.iter().any(|own| name(own) == name(variable)));
    env.extend(given);
    process.insert("env".into(), env.into());
    if let (None, Some(cwd)) = (process.get("cwd"), defaults.cwd) {
        process.insert("cwd".into(), cwd.into());
    }
    if let (None, Some(user)) = (process.get("user"), defaults.user) {
        let group = own["group"].as_u64();
        user.set(process, group);
        if let User::Named(name) = &user {
            record.insert("podspec".into(), with(own, "user", name.as_str().into()));
        }
    }
    Ok(())
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    if let Some(map) = object.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
    object
}

/// `runAsNonRoot`, when all that can be known is known.
///
/// # Errors
/// The container would be root, or somebody by name.
pub(crate) fn check_user(record: &Map<String, Value>) -> Result<(), Error> {
    let own = record.get("podspec").cloned().unwrap_or_default();
    if own["runAsNonRoot"] != true {
        return Ok(());
    }
    let process = record.get("process").cloned().unwrap_or_default();
    let uid = process["user"]["uid"].as_u64();
    let problem = match (uid, own["user"].as_str()) {
        (Some(0), _) | (None, None) => {
            "container has runAsNonRoot and image will run as root".into()
        }
        (None, Some(name)) => {
            format!(
                "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
            )
        }
        (Some(_), _) => return Ok(()),
    };
    Err(Error::Input(format!(
        "{}: {problem}",
        own["name"].as_str().unwrap_or("container")
    )))
}

/// What an image says.
#[derive(Debug, Default)]
struct Defaults {
    entrypoint: Vec<String>,
    arguments: Vec<String>,
    env: Vec<String>,
    cwd: Option<String>,
    user: Option<User>,
}

/// `USER` of an image.
#[derive(Debug)]
enum User {
    Numbers(u64, Option<u64>),
    Named(String),
}

impl User {
    fn parse(text: &str) -> Option<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.is_empty() {
            return None;
        }
        let number = |text: &str| text.parse::<u32>().ok().map(u64::from);
        match (number(user), group.map(number)) {
            (Some(user), None) => Some(Self::Numbers(user, None)),
            (Some(user), Some(Some(group))) => Some(Self::Numbers(user, Some(group))),
            _ => Some(Self::Named(text.to_owned())),
        }
    }

    fn set(&self, process: &mut Map<String, Value>, group: Option<u64>) {
        if let Self::Numbers(uid, gid) = self {
            let gid = group.or(*gid).unwrap_or(0);
            process.insert("user".into(), json!({"uid": uid, "gid": gid}));
        }
    }
}

impl Defaults {
    fn read(image: &Value) -> Result<Self, Error> {
        let list = |value: &Value, key: &str| -> Result<Vec<String>, Error> {
            let bad = || Error::Input(format!("{key} of the image: must be a list of strings"));
            match value {
                Value::Null => Ok(Vec::new()),
                Value::Array(list) => list
                    .iter()
                    .map(|word| word.as_str().map(str::to_owned).ok_or_else(bad))
                    .collect(),
                _ => Err(bad()),
            }
        };
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        if let Some(process) = image.get("process").filter(|value| value.is_object()) {
            let uid = process["user"]["uid"].as_u64();
            return Ok(Self {
                arguments: list(&process["args"], "process.args")?,
                env: list(&process["env"], "process.env")?,
                cwd: text(&process["cwd"]),
                user: uid.map(|uid| User::Numbers(uid, process["user"]["gid"].as_u64())),
                ..Self::default()
            });
        }
        let config = &image["config"];
        if !config.is_object() {
            // A record of a box says nothing about what runs in it.
            return match image.get("root") {
                Some(_) => Ok(Self::default()),
                None => Err(Error::Input(
                    "the image: neither `config` of an image nor `process` of a record".into(),
                )),
            };
        }
        Ok(Self {
            entrypoint: list(&config["Entrypoint"], "config.Entrypoint")?,
            arguments: list(&config["Cmd"], "config.Cmd")?,
            env: list(&config["Env"], "config.Env")?,
            cwd: text(&config["WorkingDir"]),
            user: text(&config["User"]).as_deref().and_then(User::parse),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(record: Value, image: Value) -> Result<Value, String> {
        let mut map = record.as_object().cloned().unwrap();
        of_image(&mut map, &image).map_err(|error| error.to_string())?;
        check_user(&map).map_err(|error| error.to_string())?;
        Ok(map.into())
    }

    #[test]
    fn the_table_of_command_and_args_holds() {
        let image = || json!({"config": {"Entrypoint": ["/ep"], "Cmd": ["c1", "c2"]}});
        for (own, line) in [
            (json!({}), json!(["/ep", "c1", "c2"])),
            (json!({"command": ["/x"]}), json!(["/x"])),
            (json!({"args": ["a"]}), json!(["/ep", "a"])),
            (
                json!({"command": ["/x"], "args": ["a"]}),
                json!(["/x", "a"]),
            ),
        ] {
            assert_eq!(
                merged(json!({"podspec": own}), image()).unwrap()["process"]["args"],
                line
            );
        }
    }

    #[test]
    fn what_the_manifest_says_wins() {
        let image = json!({"config": {"Env": ["A=1", "B=2"], "WorkingDir": "/w", "User": "7:8"}});
        let record = merged(
            json!({"process": {"env": ["B=3"], "cwd": "/o"}}),
            image.clone(),
        )
        .unwrap();
        assert_eq!(record["process"]["env"], json!(["A=1", "B=3"]));
        assert_eq!(record["process"]["cwd"], "/o");
        assert_eq!(record["process"]["user"], json!({"uid": 7, "gid": 8}));
        let record = merged(json!({"process": {"user": {"uid": 5, "gid": 0}}}), image).unwrap();
        assert_eq!(
            (&record["process"]["user"]["uid"], &record["process"]["cwd"]),
            (&json!(5), &json!("/w"))
        );
        let named = merged(json!({"podspec": {}}), json!({"config": {"User": "nginx"}})).unwrap();
        assert_eq!(named["podspec"]["user"], "nginx");
    }

    #[test]
    fn nobody_becomes_root_who_must_not() {
        let strict = || json!({"podspec": {"name": "app", "runAsNonRoot": true}});
        for (image, is_fine) in [
            (json!({"config": {}}), false),
            (json!({"config": {"User": "0"}}), false),
            (json!({"config": {"User": "nginx"}}), false),
            (json!({"config": {"User": "101"}}), true),
            (json!({"process": {"user": {"uid": 9}}}), true),
        ] {
            assert_eq!(merged(strict(), image.clone()).is_ok(), is_fine, "{image}");
        }
        assert!(merged(json!({}), json!({"x": 1})).is_err());
        assert!(merged(json!({}), json!({"config": {"Cmd": "sh"}})).is_err());
    }
}
