//! What a service is called: `kube-dns`, or with its Kubernetes namespace `kube-system/kube-dns`.

use std::fmt;
use std::str::FromStr;

/// The namespace of what names none.
const DEFAULT: &str = "default";

/// The name of a service; `default/` is left out, so that one service has one spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(String);

impl Name {
    /// In the words of Kubernetes: the namespace, and the name in it.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((DEFAULT, &self.0))
    }
}

/// Whether it is a DNS label of RFC 1123, as names of services, ports and namespaces are.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let short = text.strip_prefix("default/").unwrap_or(text);
        let mut parts = short.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) if is_label(name) => Ok(Self(name.to_owned())),
            (Some(namespace), Some(name), None) if is_label(namespace) && is_label(name) => {
                Ok(Self(short.to_owned()))
            }
            _ => Err(format!(
                "{text:?} is no name of a service (lower-case letters, digits and '-', as in kube-system/kube-dns)"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_service_has_one_spelling() {
        let name: Name = "default/web".parse().unwrap();
        assert_eq!((name.as_ref(), name.parts()), ("web", ("default", "web")));
        let name: Name = "kube-system/kube-dns".parse().unwrap();
        assert_eq!(name.parts(), ("kube-system", "kube-dns"));
    }

    #[test]
    fn what_could_be_taken_for_something_else_is_no_name() {
        let long = "a".repeat(64);
        for bad in [
            "", "a/b/c", "/a", "a/", "A", "a b", "a\nb", "a\"b", "a'", "-a", "a-", "a.b", &long,
        ] {
            let why = bad.parse::<Name>().unwrap_err();
            assert!(!why.contains('\n') && why.contains("is no name"), "{why}");
        }
    }
}
