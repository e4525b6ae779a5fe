//! Whether what can be a kernel module is there, found without a question that would have the kernel load it.

use std::fs;
use std::path::Path;

/// Something that can be built into the kernel or be a module of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
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
    /// Of the module `name`, which may be loaded.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let is_loaded = Path::new("/sys/module").join(name).exists()
            || read("/proc/modules").is_some_and(|list| {
                let mut names = list.lines().map(|line| line.split(' ').next());
                names.any(|loaded| loaded == Some(name))
            });
        match is_loaded {
            true => Self::There,
            false => Self::of_file(name),
        }
    }

    /// Of the module `name`, which is known not to be loaded, by the lists that depmod(8) makes.
    #[must_use]
    pub fn of_file(name: &str) -> Self {
        if !Self::can_load() {
            return Self::Absent;
        }
        let Ok(kernel) = nix::sys::utsname::uname() else {
            return Self::Unknown;
        };
        let dir = Path::new("/lib/modules").join(kernel.release());
        let has = |list: &str| read(dir.join(list)).map(|list| lists(&list, name));
        match (has("modules.builtin"), has("modules.dep")) {
            (Some(true), _) => Self::There,
            (_, Some(true)) => Self::Loadable,
            (None, None) => Self::Unknown,
            _ => Self::Absent,
        }
    }

    /// Whether a question could make the kernel load a module. Without /proc: it could.
    #[must_use]
    pub fn can_load() -> bool {
        let kernel = Path::new("/proc/sys/kernel");
        let is = |file: &str, value: &str| {
            read(kernel.join(file)).is_some_and(|text| text.trim() == value)
        };
        let can =
            kernel.join("modprobe").exists() && !is("modprobe", "") && !is("modules_disabled", "1");
        can || !kernel.exists()
    }

    /// In a word, for JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Loadable => "loadable",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a list of depmod(8) has the module: `kernel/drivers/net/veth.ko.xz: ...`.
fn lists(list: &str, name: &str) -> bool {
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        let module = file.split(".ko").next().unwrap_or_default();
        file.contains(".ko") && module.replace('-', "_") == name
    })
}

fn read(file: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_modules_are_read_as_depmod_writes_them() {
        let list = "kernel/drivers/net/veth.ko.xz:\n\
                    kernel/net/netfilter/nf_tables.ko: kernel/net/netfilter/nfnetlink.ko\n\
                    kernel/net/bridge/br-netfilter.ko: x\n";
        for name in ["veth", "nf_tables", "br_netfilter"] {
            assert!(lists(list, name), "{name}");
        }
        for name in ["nfnetlink", "vet", "veth.ko", ""] {
            assert!(!lists(list, name), "{name}");
        }
    }

    #[test]
    fn a_module_that_no_kernel_has_is_not_there() {
        assert!(matches!(
            Module::of("no_such_module"),
            Module::Absent | Module::Unknown
        ));
    }
}
