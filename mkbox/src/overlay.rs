//! A box that is a writable layer above directories that stay as they are.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, chmodat, openat2, statat};
use rustix::mount::MountAttrFlags;
use sys::Call;

use crate::attach::Tree;
use crate::error::Error;
use crate::extra::Layers;
use crate::filesystem::new_filesystem;
use crate::place::Place;
use crate::root::{BENEATH, DIRECTORY, Root};

/// Where the writable layer lies in the directory beside the box.
pub(crate) const UPPER: &str = "upper";
/// What the kernel needs beside it.
pub(crate) const WORK: &str = "work";

/// The layers above one another, as a mount without a place; the writable one lies beside the box at `place`, or in memory
/// on `directory`, the box itself.
///
/// # Errors
/// What fsconfig(2) answers; `EBUSY` when the writable layer is in use already.
pub(crate) fn open(layers: &Layers, place: &Place, directory: &Root) -> Result<Tree, Error> {
    let above = match layers.ephemeral {
        true => in_memory(place, directory)?,
        false => place.store_path(),
    };
    // What `up` has put into the box lies below a layer that is thrown away.
    let filled = layers.ephemeral.then(|| place.store_path().join(UPPER));
    let filled = filled.map(|path| path.to_string_lossy().into_owned());
    let lower = filled.iter().chain(&layers.lower);
    let lower: Vec<String> = lower.map(|path| escape(path)).collect();
    let text = |name: &str| above.join(name).to_string_lossy().into_owned();
    let mut options = vec![
        ("lowerdir".to_owned(), Some(lower.join(":"))),
        ("upperdir".to_owned(), Some(text(UPPER))),
        ("workdir".to_owned(), Some(text(WORK))),
    ];
    if in_user_namespace() {
        // The kernel's own notes go into attributes that root of a user namespace may write; Linux 5.11.
        options.push(("userxattr".into(), None));
    } else if !layers.ephemeral {
        // Only with an index does the kernel refuse to mount one writable layer twice, which would spoil it.
        options.push(("index".into(), Some("on".into())));
    }
    let source = place.path.to_string_lossy();
    let none = MountAttrFlags::empty();
    Ok(new_filesystem(
        "overlay",
        &source,
        &options,
        none,
        place.path.display(),
    )?)
}

/// The same layers to be read, as a mount without a place. The writable layer is not in use by it.
///
/// # Errors
/// What fsconfig(2) answers.
pub(crate) fn view(layers: &Layers, place: &Place) -> Result<Tree, Error> {
    let filled = place.store_path().join(UPPER);
    let filled = filled.to_string_lossy();
    let lower = std::iter::once(&*filled).chain(layers.lower.iter().map(String::as_str));
    let lower: Vec<String> = lower.map(escape).collect();
    let mut options = vec![("lowerdir".to_owned(), Some(lower.join(":")))];
    if in_user_namespace() {
        options.push(("userxattr".into(), None));
    }
    let source = place.path.to_string_lossy();
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    Ok(new_filesystem(
        "overlay",
        &source,
        &options,
        read_only,
        place.path.display(),
    )?)
}

/// Covers the box with a tmpfs that holds the writable layer for as long as the mount namespace lives.
fn in_memory(place: &Place, directory: &Root) -> Result<std::path::PathBuf, Error> {
    let shown = || place.path.display().to_string();
    let mode = [("mode".to_owned(), Some("755".to_owned()))];
    let none = MountAttrFlags::empty();
    let tmpfs = new_filesystem("tmpfs", "tmpfs", &mode, none, shown())?;
    tmpfs.move_onto(directory.as_fd(), shown)?;
    for name in [UPPER, WORK] {
        let made = rustix::fs::mkdirat(&tmpfs.fd, name, Mode::from(0o755));
        made.call(|| format!("mkdir({}/{name})", shown()))?;
    }
    Ok(place.path.clone())
}

/// A path as the option `lowerdir` wants it.
fn escape(path: &str) -> String {
    path.replace('\\', "\\\\").replace(':', "\\:")
}

/// Lets the owner look into the kernel's own directory, which has no mode at all: who is not root could not remove it.
pub(crate) fn open_work(store: &Root) {
    let work = openat2(store.as_fd(), WORK, DIRECTORY, Mode::empty(), BENEATH);
    let Ok(work) = work else { return };
    let is_directory = statat(&work, WORK, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    if is_directory {
        // Where that is denied, the removal tells it.
        let _ = chmodat(&work, WORK, Mode::RWXU, AtFlags::empty());
    }
}

/// Whether ids are mapped here: user_namespaces(7).
fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    !map.is_empty() && words != ["0", "0", "4294967295"]
}

/// `LOWER[:LOWER…]`; a colon in a name is written `\:`, as the kernel has it.
pub(crate) fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|part| part.extend(chars.next())),
            c => parts
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|part| part.push(c)),
        }
    }
    parts
}

/// The layers that are asked for, as they will stand in the record.
///
/// # Errors
/// One that is no directory, or in which the box would lie: it would be its own layer.
pub(crate) fn layers(
    lists: &[String],
    ephemeral: bool,
    place: &Place,
) -> Result<Option<Layers>, Error> {
    let mut lower = Vec::new();
    for text in lists.iter().flat_map(|list| split(list)) {
        let call = || format!("realpath({text})");
        let path = fs::canonicalize(&text).call(call)?;
        if !path.is_dir() {
            return Err(Error::Failed(format!("--overlay {text}: is no directory")));
        }
        if place.path.starts_with(&path) || path.starts_with(&place.path) {
            return Err(Error::Failed(format!(
                "--overlay {text}: a layer and BOX must not lie in one another"
            )));
        }
        let text = path.to_str().map(str::to_owned);
        lower.push(text.ok_or_else(|| {
            Error::Usage(format!(
                "--overlay {}: is not UTF-8",
                Path::new(&path).display()
            ))
        })?);
    }
    match (lower.is_empty(), ephemeral) {
        (true, true) => Err(Error::Usage("--ephemeral needs --overlay".into())),
        (true, false) => Ok(None),
        (false, _) => Ok(Some(Layers { lower, ephemeral })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_in_a_name_is_no_end_of_it() {
        assert_eq!(split("/a:/b"), ["/a", "/b"]);
        assert_eq!(split(r"/a\:b:/c\\"), ["/a:b", r"/c\"]);
        assert_eq!(split(&escape(r"/x:\y")), [r"/x:\y"]);
    }
}
