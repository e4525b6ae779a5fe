//! The pod and the box that most stories are about, as the README's reader types them.

/// Limits, namespaces, network: a pod called foo in `foo.json`.
pub const UP: &str = "cgset up --id foo memory.max=512Mi pids.max=100 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 > foo.json";

/// The tutorial's root file system in `box`, its record in `box.json`.
pub const BOX: &str = "mkbox up --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm --proc --bind /tmp:/data box > box.json";

/// A container in the pod; the command follows.
pub const IN_POD: &str = "cgset exec -P foo.json app memory.max=256Mi -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P box.json --";

/// All of it gone, by its records.
pub const DOWN: &str =
    "nsrun down <foo.json | netwire down | cgset down >/dev/null; mkbox down <box.json";

/// All of it gone, by name alone; each status counts.
pub const DOWN_BY_NAME: &str = "nsrun down --id foo >/dev/null && netwire down --id foo >/dev/null && cgset down --id foo >/dev/null && mkbox down --id box >/dev/null";
