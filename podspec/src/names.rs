//! Which names Kubernetes takes.

use crate::error::Error;
use crate::field::Field;

/// A pod's, which with a container's has to fit into an id of 128.
const MAX_POD: usize = 63;

/// RFC 1123 label: a container, a volume, a host name.
pub(crate) fn label<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = field.string()?;
    match is_label(name) {
        true => Ok(name),
        false => Err(field.invalid(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
             and must start and end with an alphanumeric character, 63 at most",
        )),
    }
}

/// RFC 1123 subdomain: labels with dots between. A pod, a configMap.
pub(crate) fn subdomain<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = field.string()?;
    match is_subdomain(name) {
        true => Ok(name),
        false => Err(field.invalid(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
             and must start and end with an alphanumeric character",
        )),
    }
}

/// The name of a pod.
pub(crate) fn pod<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = subdomain(field)?;
    match name.len() <= MAX_POD {
        true => Ok(name),
        false => Err(field.invalid("must be no more than 63 characters here")),
    }
}

/// `app.kubernetes.io/name`, of a label or annotation.
pub(crate) fn qualified(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    prefix.is_none_or(is_subdomain) && is_label_value(name) && !name.is_empty()
}

/// What a label may say: nothing, or 63 characters like a name with capitals.
pub(crate) fn is_label_value(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(is_edge)
            && text.ends_with(is_edge)
            && text.chars().all(|c| is_edge(c) || "-_.".contains(c))
}

/// A name of an environment variable.
pub(crate) fn variable<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = field.string()?;
    let is_fine = !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != '=');
    match is_fine {
        true => Ok(name),
        false => Err(field.invalid(
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        )),
    }
}

/// The key of a configMap or secret, which is a file's name.
pub(crate) fn key<'a>(field: &Field<'a>) -> Result<&'a str, Error> {
    let name = field.string()?;
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !name.is_empty()
        && name.len() <= 253
        && name.chars().all(is_fine)
        && !name.starts_with("..")
        && name != "."
    {
        true => Ok(name),
        false => Err(field.invalid(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        )),
    }
}

fn is_label(name: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(is_edge)
        && name.ends_with(is_edge)
        && name.chars().all(|c| is_edge(c) || c == '-')
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_in_kubernetes() {
        for good in ["a", "core-k8s", "0", "a-1"] {
            assert!(is_label(good), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "\u{e4}",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(!is_label(bad), "{bad}");
        }
        assert!(is_subdomain("a.b-c.d") && !is_subdomain("a..b") && !is_subdomain(".a"));
        for good in ["app", "app.kubernetes.io/name", "A_b.c", "k8s-app"] {
            assert!(qualified(good), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "A.io/b", "-a", "a b"] {
            assert!(!qualified(bad), "{bad}");
        }
        assert!(is_label_value("") && is_label_value("A_1") && !is_label_value("a b"));
    }
}
