//! What the kernel has built in or loaded, asked so that it does not load a module to answer.

use std::fs;
use std::path::Path;

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use nix::errno::Errno;
use sys::in_child;

use crate::error::Error;
use crate::link;
use crate::netlink::{Request, Socket};

/// Whether something that can be a module is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    /// Built in, or loaded.
    There,
    /// A file that the kernel loads when it is first needed.
    Loadable,
    /// This kernel has none.
    Absent,
    /// It is not loaded, and the kernel's modules cannot be seen from here.
    Unknown,
}

impl Module {
    /// Of a kind of interface, asked by a child.
    pub(crate) fn of_kind(kind: &InfoKind, name: &str) -> Self {
        let known = in_child(|tell| {
            let known = is_known(kind, name).map_err(|error| error.errno());
            tell.tell(
                "known",
                known.and_then(|known| known.then_some(()).ok_or(Errno::ENODEV)),
            );
        });
        match known.of("known") {
            Some(Ok(())) => Self::There,
            Some(Err(Errno::ENODEV)) => Self::of_file(name),
            _ => Self::Unknown,
        }
    }

    /// Of what no question tells: by the lists of modules.
    pub(crate) fn of_name(name: &str) -> Self {
        let is_loaded = Path::new("/sys/module").join(name).exists()
            || lines("/proc/modules").is_some_and(|list| {
                list.lines()
                    .any(|line| line.split(' ').next() == Some(name))
            });
        match is_loaded {
            true => Self::There,
            false => Self::of_file(name),
        }
    }

    /// Of something that is not known to be there.
    fn of_file(name: &str) -> Self {
        if !can_load() {
            return Self::Absent;
        }
        let Ok(kernel) = nix::sys::utsname::uname() else {
            return Self::Unknown;
        };
        let dir = Path::new("/lib/modules").join(kernel.release());
        let lists = |file: &str| lines(dir.join(file)).map(|list| lists(&list, name));
        match (lists("modules.builtin"), lists("modules.dep")) {
            (Some(true), _) => Self::There,
            (_, Some(true)) => Self::Loadable,
            (None, None) => Self::Unknown,
            _ => Self::Absent,
        }
    }
}

/// A dump that names a kind has interfaces of that kind only, unless the kernel does not know it: then it has all, and
/// every namespace has lo. To make one, or to ask what one can do, would have the kernel load a module.
fn is_known(kind: &InfoKind, name: &str) -> Result<bool, Error> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone())])];
    let what = format!("type {name}");
    let flags = libc::NLM_F_DUMP;
    let request = Request::new("RTM_GETLINK", &what, libc::RTM_GETLINK, flags, &message);
    let mut others = false;
    Socket::open(false)?.dump(request, |payload| {
        others |= link::kind(payload).as_deref() != Some(name);
        true
    })?;
    Ok(!others)
}

/// Whether a list of depmod(8) has the module: `kernel/drivers/net/veth.ko.xz: …`.
pub(super) fn lists(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        let module = file.split(".ko").next().unwrap_or_default();
        file.contains(".ko") && module.replace('-', "_") == name
    })
}

/// Whether a question could make the kernel load a module. Without /proc: it could.
pub(super) fn can_load() -> bool {
    let kernel = Path::new("/proc/sys/kernel");
    let is =
        |file: &str, value: &str| lines(kernel.join(file)).is_some_and(|text| text.trim() == value);
    let can =
        kernel.join("modprobe").exists() && !is("modprobe", "") && !is("modules_disabled", "1");
    can || !kernel.exists()
}

fn lines(file: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(file).ok()
}
