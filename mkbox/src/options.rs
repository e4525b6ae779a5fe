//! The options of a mount, as mount(8) and the OCI specification spell them, sorted by who acts on them. Pure.

use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use crate::idmap::IdMap;

/// Attributes of a mount that are switched on, and those that are switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: MountAttrFlags,
    pub(crate) clear: MountAttrFlags,
}

impl Attributes {
    /// Nothing is changed.
    pub(crate) const NONE: Self = Self {
        set: MountAttrFlags::empty(),
        clear: MountAttrFlags::empty(),
    };

    /// These are switched on.
    pub(crate) fn only(set: MountAttrFlags) -> Self {
        Self { set, ..Self::NONE }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The last word counts, as in mount(8).
    fn change(&mut self, set: MountAttrFlags, clear: MountAttrFlags) {
        self.set = self.set.difference(clear).union(set);
        self.clear = self.clear.difference(set).union(clear);
    }
}

/// What one word does: the attributes that it sets, and those that it clears.
type Word = (&'static str, MountAttrFlags, MountAttrFlags);

const fn sets(name: &'static str, flag: MountAttrFlags) -> Word {
    (name, flag, MountAttrFlags::empty())
}

const fn clears(name: &'static str, flag: MountAttrFlags) -> Word {
    (name, MountAttrFlags::empty(), flag)
}

/// The three ways of access times are one field: the kernel wants it cleared before it is set.
const fn atime(name: &'static str, flag: MountAttrFlags) -> Word {
    (name, flag, MountAttrFlags::MOUNT_ATTR__ATIME)
}

const WORDS: [Word; 18] = [
    sets("ro", MountAttrFlags::MOUNT_ATTR_RDONLY),
    sets("nosuid", MountAttrFlags::MOUNT_ATTR_NOSUID),
    clears("suid", MountAttrFlags::MOUNT_ATTR_NOSUID),
    sets("nodev", MountAttrFlags::MOUNT_ATTR_NODEV),
    clears("dev", MountAttrFlags::MOUNT_ATTR_NODEV),
    sets("noexec", MountAttrFlags::MOUNT_ATTR_NOEXEC),
    clears("exec", MountAttrFlags::MOUNT_ATTR_NOEXEC),
    sets("nodiratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    clears("diratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    sets("nosymfollow", MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
    clears("symfollow", MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
    atime("noatime", MountAttrFlags::MOUNT_ATTR_NOATIME),
    atime("strictatime", MountAttrFlags::MOUNT_ATTR_STRICTATIME),
    atime("relatime", MountAttrFlags::MOUNT_ATTR_RELATIME),
    atime("norelatime", MountAttrFlags::MOUNT_ATTR_STRICTATIME),
    atime("atime", MountAttrFlags::MOUNT_ATTR_RELATIME),
    atime("nostrictatime", MountAttrFlags::MOUNT_ATTR_RELATIME),
    clears("rw", MountAttrFlags::empty()),
];

/// What a mount is anyway.
const DEFAULTS: [&str; 8] = [
    "defaults", "async", "bind", "rbind", "nofail", "silent", "loud", "nomand",
];

/// Whether mounts made on one side are seen on the other; mount_namespaces(7).
const PROPAGATION: [(&str, MountPropagationFlags); 4] = [
    ("private", MountPropagationFlags::PRIVATE),
    ("slave", MountPropagationFlags::DOWNSTREAM),
    ("shared", MountPropagationFlags::SHARED),
    ("unbindable", MountPropagationFlags::UNBINDABLE),
];

/// `slave`, or `rslave` for all that is mounted below as well; None when `word` is no propagation.
pub(crate) fn propagation(word: &str) -> Option<MountPropagationFlags> {
    let find = |word: &str| PROPAGATION.iter().find(|(name, _)| *name == word);
    if let Some(&(_, flag)) = find(word) {
        return Some(flag);
    }
    let (_, flag) = find(word.strip_prefix('r')?)?;
    Some(*flag | MountPropagationFlags::REC)
}

/// The options of an entry, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Of the mount itself.
    pub(crate) own: Attributes,
    /// Of it and of everything mounted below it.
    pub(crate) recursive: Attributes,
    /// None: private, with all that is below.
    pub(crate) propagation: Option<MountPropagationFlags>,
    /// Other owners than on the disk; true when for what is mounted below as well.
    pub(crate) idmap: Option<(IdMap, bool)>,
    /// Those of the file system.
    pub(crate) filesystem: Vec<(String, Option<String>)>,
}

impl Options {
    /// Sorts `words`.
    ///
    /// # Errors
    /// An idmap that is none.
    pub(crate) fn new(words: &[String]) -> Result<Self, String> {
        let mut sorted = Self {
            own: Attributes::NONE,
            recursive: Attributes::NONE,
            propagation: None,
            idmap: None,
            filesystem: Vec::new(),
        };
        for word in words.iter().map(String::as_str) {
            sorted.add(word)?;
        }
        Ok(sorted)
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        let known = |word: &str| WORDS.iter().find(|(name, ..)| *name == word);
        // "rw" and "rrw" differ: the one says that nothing is asked for, the other that all below becomes writable.
        if word == "rrw" {
            let none = MountAttrFlags::empty();
            self.recursive
                .change(none, MountAttrFlags::MOUNT_ATTR_RDONLY);
        } else if let Some(&(_, set, clear)) = known(word) {
            self.own.change(set, clear);
        } else if let Some(flag) = propagation(word) {
            self.propagation = Some(flag);
        } else if let Some(&(_, set, clear)) = word.strip_prefix('r').and_then(known) {
            self.recursive.change(set, clear);
        } else if let Some((key @ ("idmap" | "ridmap"), map)) = word.split_once('=') {
            self.idmap = Some((map.parse()?, key == "ridmap"));
        } else if matches!(word, "idmap" | "ridmap") {
            return Err(format!(
                "the option {word} needs ids: {word}=uids=0-100000-65536;gids=0-100000-65536, or the record's linux.uidMappings"
            ));
        } else if !DEFAULTS.contains(&word) {
            let pair = word.split_once('=');
            let (key, value) = pair.map_or((word, None), |(key, value)| (key, Some(value)));
            self.filesystem
                .push((key.to_owned(), value.map(str::to_owned)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Options, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Options::new(&words)
    }

    #[test]
    fn the_last_word_counts_and_access_times_are_cleared_before_they_are_set() {
        let sorted = options(&["nosuid", "ro", "suid", "noatime", "rro", "rdev"]).unwrap();
        assert_eq!(
            sorted.own,
            Attributes {
                set: MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOATIME,
                clear: MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR__ATIME,
            }
        );
        assert_eq!(
            sorted.recursive,
            Attributes {
                set: MountAttrFlags::MOUNT_ATTR_RDONLY,
                clear: MountAttrFlags::MOUNT_ATTR_NODEV,
            }
        );
        assert!(options(&["rw", "bind", "defaults"]).unwrap().own.is_none());
    }

    #[test]
    fn words_that_begin_with_r_are_not_mistaken_for_recursive_ones() {
        let sorted = options(&["relatime", "rslave", "rrw"]).unwrap();
        assert_eq!(sorted.recursive.clear, MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert_eq!(
            sorted.propagation,
            Some(MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        );
        assert_eq!(
            propagation("rprivate"),
            propagation("private").map(|flag| flag | MountPropagationFlags::REC)
        );
        assert_eq!(propagation("ro"), None);
    }

    #[test]
    fn what_nobody_else_knows_is_the_file_systems() {
        let sorted = options(&["size=64m", "newinstance"]).unwrap();
        let own = [
            ("size".to_owned(), Some("64m".to_owned())),
            ("newinstance".to_owned(), None),
        ];
        assert_eq!(sorted.filesystem, own);
        assert!(options(&["idmap"]).unwrap_err().contains("uidMappings"));
        assert!(options(&["idmap=x"]).is_err());
        let (_, recursive) = options(&["ridmap=uids=0-1-2;gids=0-1-2"])
            .unwrap()
            .idmap
            .unwrap();
        assert!(recursive);
    }
}
