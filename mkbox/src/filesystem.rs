//! New instances of file systems, mounted nowhere yet: fsopen(2), fsconfig(2), fsmount(2), Linux 5.2.

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use sys::{Call, SysError};

use crate::attach::{Tree, needs_admin};

/// Bytes of a value that fsconfig(2) takes.
const VALUE: usize = 255;

/// A new instance of /proc for the pid namespace of this process, mounted nowhere.
pub(crate) fn proc_of_own() -> Result<OwnedFd, SysError> {
    new_filesystem("proc", "proc", &[], MountAttrFlags::empty(), "idmap").map(|tree| tree.fd)
}

/// A new mount of a file system with its own `options`; `place` is for messages.
///
/// # Errors
/// What the kernel has to say: the file system is not there, an option is none of its.
pub(crate) fn new_filesystem(
    kind: &str,
    source: &str,
    options: &[(String, Option<String>)],
    attributes: MountAttrFlags,
    place: impl std::fmt::Display,
) -> Result<Tree, SysError> {
    let call = |what: &str| format!("{what}({kind}, {place})");
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .call(|| call("fsopen"))
        .map_err(|error| match error.errno {
            Errno::ENODEV => error.hint("this kernel has no such file system"),
            _ => needs_admin(error),
        })?;
    let set = |key: &str, value: Option<&str>| {
        let answer = match value {
            Some(value) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, key),
        };
        answer.map_err(|errno| said(&context, &format!("fsconfig({kind}, {key})"), errno))
    };
    set("source", Some(source))?;
    for (key, value) in options {
        match value.as_deref() {
            // Linux 6.5 takes the layers of an overlay one by one, older ones no more than fit.
            Some(value)
                if value.len() > VALUE && (kind, key.as_str()) == ("overlay", "lowerdir") =>
            {
                for layer in crate::overlay::split(value) {
                    set("lowerdir+", Some(&layer)).map_err(|error| {
                        error.hint("more than 255 bytes of lower directories need Linux 6.5")
                    })?;
                }
            }
            value => set(key, value)?,
        }
    }
    fsconfig_create(&context).map_err(|errno| {
        let error = said(&context, &call("fsconfig"), errno);
        match error.errno {
            Errno::EPERM => {
                error.hint("needs CAP_SYS_ADMIN in the user namespace that owns what is mounted")
            }
            Errno::EBUSY if kind == "overlay" => {
                error.hint("its writable layer is in use by another mount of it")
            }
            _ => error,
        }
    })?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes);
    Ok(mount.call(|| call("fsmount"))?.into())
}

/// The error of `call`, with what the kernel has to say about the last call on a file system context; fsopen(2).
fn said(context: &OwnedFd, call: &str, errno: rustix::io::Errno) -> SysError {
    let mut buffer = [0; 256];
    let read = rustix::io::read(context, &mut buffer).unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..read]);
    // "e ", "w " or "i ", then the text.
    let text = text.get(2..).unwrap_or_default().trim_end();
    let call = match text {
        "" => call.to_owned(),
        text => format!("{call}: {text}"),
    };
    SysError::new(call, errno)
}
