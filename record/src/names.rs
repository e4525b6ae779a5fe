//! Names derived from an id, defined here and nowhere else: what an index misses is found again by them.

use std::path::PathBuf;

use crate::Id;

/// The pod's group, directly below the root of each cgroup hierarchy: `pod-ID`.
#[must_use]
pub fn group(id: &Id) -> String {
    format!("pod-{id}")
}

/// The host's end of the pod's interface `ifname`: `veth` and eight hexadecimal digits.
///
/// Interface names have 15 bytes at most (`IFNAMSIZ`), fewer than an id, hence the hash. Two pods whose names
/// collide are told apart by the interface's [`ifalias`].
#[must_use]
pub fn veth(id: &Id, ifname: &str) -> String {
    format!("veth{:08x}", fnv1a(format!("{id}\0{ifname}").as_bytes()))
}

/// The interface that holds back what the pod sends by `ifname`: `ifb` and the same eight digits.
#[must_use]
pub fn ifb(id: &Id, ifname: &str) -> String {
    format!("ifb{:08x}", fnv1a(format!("{id}\0{ifname}").as_bytes()))
}

/// What the host's end carries as ifalias, so that it can be known again: the id.
#[must_use]
pub fn ifalias(id: &Id) -> &str {
    id
}

/// The hardware address of the host's end: locally administered, and 40 bits of a hash.
///
/// It is the one mark the interface carries from its first instant (an ifalias cannot be given at creation), so one that
/// lost its maker in between is known again. And udev leaves an address alone that was chosen.
#[must_use]
pub fn host_mac(id: &Id, ifname: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = fnv1a_64(format!("{id}\0{ifname}").as_bytes()).to_be_bytes();
    [0x02, a, b, c, d, e]
}

/// The hardware address of the pod's end: the same for a pod that comes again under its name.
#[must_use]
pub fn pod_mac(id: &Id, ifname: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = fnv1a_64(format!("{id}\0{ifname}\0pod").as_bytes()).to_be_bytes();
    [0x02, a, b, c, d, e]
}

/// The hardware address of a bridge that was made for pods, by which it is known before it has its [`BRIDGE`] as ifalias.
#[must_use]
pub fn bridge_mac(name: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = fnv1a_64(format!("\0{name}\0bridge").as_bytes()).to_be_bytes();
    [0x02, a, b, c, d, e]
}

/// The ifalias of a bridge that was made for pods: it goes with the last of them.
pub const BRIDGE: &str = "chroot0 bridge";

/// Where the indexes of the machine live, root's.
pub const RUN: &str = "/run/chroot0";

/// Where the indexes live: `$CHROOT0_RUN`; else `/run/chroot0` for root and `$XDG_RUNTIME_DIR/chroot0` for others, root of a
/// user namespace among them.
///
/// Names in it that begin with a dot are no ids, and free for what belongs to no single pod.
#[must_use]
pub fn run_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CHROOT0_RUN").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    match runtime {
        Some(dir) if !is_root() => PathBuf::from(dir).join("chroot0"),
        _ => PathBuf::from(RUN),
    }
}

/// Root, and not only of a user namespace: there /run is somebody else's.
fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
        && std::fs::metadata("/run").is_ok_and(|run| std::os::unix::fs::MetadataExt::uid(&run) == 0)
}

/// Where ip-netns(8) and the CNI plugins keep network namespaces by name.
pub const NETNS: &str = "/run/netns";

/// The file that the pod's network namespace is pinned to, so that `ip netns exec ID` finds it.
#[must_use]
pub fn netns(id: &Id) -> PathBuf {
    PathBuf::from(NETNS).join(id.as_ref())
}

/// The directory in which the pod's other namespaces are pinned, absolute: `/run/chroot0/ID/ns`.
#[must_use]
pub fn pins(id: &Id) -> PathBuf {
    let dir = run_dir();
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    dir.join(id.as_ref()).join("ns")
}

/// FNV-1a with 32 bits: short, the same for ever, and no secret is involved.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// The same with 64 bits.
fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_change() {
        // A down of the next version must find what an up of this one made.
        let id: Id = "foo".parse().unwrap();
        assert_eq!(group(&id), "pod-foo");
        assert_eq!(ifalias(&id), "foo");
        assert_eq!(netns(&id), PathBuf::from("/run/netns/foo"));
        assert!(pins(&id).is_absolute() && pins(&id).ends_with("foo/ns"));
        assert_eq!(veth(&id, "eth0"), "vethce5359d4");
        assert_eq!(ifb(&id, "eth0"), "ifbce5359d4");
        assert_ne!(veth(&id, "eth0"), veth(&id, "eth1"));
        assert_eq!(host_mac(&id, "eth0"), [0x02, 0x6e, 0xf6, 0x70, 0x09, 0xc0]);
        assert_ne!(host_mac(&id, "eth0"), host_mac(&id, "eth1"));
        assert_eq!(pod_mac(&id, "eth0"), [0x02, 0x5b, 0x51, 0xe6, 0x68, 0xeb]);
        assert_eq!(bridge_mac("br0"), [0x02, 0x73, 0x4c, 0x57, 0x30, 0x9d]);
    }

    #[test]
    fn the_hash_is_fnv1a() {
        // From the reference vectors of the FNV draft.
        assert_eq!(fnv1a(b""), 0x811c_9dc5);
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
