//! Names of groups, in the order in which a tree is drawn.

use std::fmt;

/// The path of a group from the pod's on: `pod-foo`, `pod-foo/app`.
///
/// In the order of a tree: what is in `a` comes before `a-b`, which as text comes before `a/b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupPath(String);

impl GroupPath {
    /// How many groups it is below the pod's.
    pub(crate) fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// The group's own name.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The groups that it is in, from the pod's on.
    pub(crate) fn above(&self) -> impl Iterator<Item = Self> {
        let ends = self.0.match_indices('/');
        ends.map(|(end, _)| Self(self.0[..end].to_owned()))
    }
}

impl From<&str> for GroupPath {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for GroupPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let before_any = |byte: u8| if byte == b'/' { 0 } else { byte };
        let own = self.0.bytes().map(before_any);
        own.cmp(other.0.bytes().map(before_any))
    }
}

impl PartialOrd for GroupPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
