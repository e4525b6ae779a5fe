use super::*;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

/// A directory of its own, gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("netwire-lease-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn pool(&self, path: &str, is_given: bool, subnet: &str) -> Pool {
        Pool {
            directory: Directory {
                path: self.0.join(path),
                is_given,
                is_private: false,
                claims: claim::Claims::of(&self.0.join("run")),
            },
            subnet: subnet.parse().unwrap(),
            number: 0,
            choice: Choice::default(),
        }
    }

    /// A network, below this directory.
    fn own(&self, subnet: &str) -> Pool {
        // as up has made it by then
        fs::create_dir_all(self.0.join("run")).unwrap();
        self.pool("networks/n", false, subnet)
    }

    /// This directory, as `--lease-dir` names it.
    fn given(&self, subnet: &str) -> Pool {
        self.pool("", true, subnet)
    }

    /// Nothing is left, but for the run directory that pods have made.
    fn is_as_it_was(&self) -> bool {
        self.entries() == ["run"] && fs::read_dir(self.0.join("run")).unwrap().count() == 0
    }

    /// A lease as a container of CNI has it.
    fn container(&self, host: u8) -> PathBuf {
        let path = self.0.join(format!("networks/n/10.244.0.{host}"));
        fs::write(&path, "3f8e\r\neth0").unwrap();
        path
    }

    fn entries(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn owner(id: &str) -> Owner {
    Owner {
        id: id.into(),
        ifname: "eth0".into(),
    }
}

fn ip(host: u8) -> IpAddr {
    IpAddr::from([10, 244, 0, host])
}

fn never(_: &Lease) -> Result<bool, Error> {
    Ok(false)
}

#[test]
fn files_are_those_of_host_local() {
    let dir = Dir::new("format");
    let pool = dir.given("10.244.0.0/24");
    assert_eq!(pool.reserve(&owner("foo"), None, never).unwrap(), ip(2));
    assert_eq!(dir.entries(), ["10.244.0.2", "last_reserved_ip.0", "lock"]);
    assert_eq!(fs::read(dir.0.join("10.244.0.2")).unwrap(), b"foo\r\neth0");
    assert_eq!(
        fs::read(dir.0.join("last_reserved_ip.0")).unwrap(),
        b"10.244.0.2"
    );
    pool.release(&owner("foo"), Some(ip(2))).unwrap();
    assert_eq!(dir.entries(), ["last_reserved_ip.0", "lock"]);
}

#[test]
fn an_address_given_back_is_the_last_to_be_given_again() {
    let dir = Dir::new("robin");
    let pool = dir.own("10.244.0.0/29");
    for host in 2..=4 {
        assert_eq!(
            pool.reserve(&owner(&format!("p{host}")), None, never)
                .unwrap(),
            ip(host)
        );
    }
    pool.release(&owner("p2"), Some(ip(2))).unwrap();
    for host in [5, 6, 2] {
        assert_eq!(pool.reserve(&owner("q"), None, never).unwrap(), ip(host));
    }
}

#[test]
fn our_own_directory_comes_and_goes_with_its_leases() {
    let dir = Dir::new("own");
    let pool = dir.own("10.244.0.0/24");
    pool.release(&owner("foo"), None).unwrap();
    assert!(dir.is_as_it_was());
    pool.reserve(&owner("foo"), None, never).unwrap();
    pool.reserve(&owner("bar"), None, never).unwrap();
    pool.release(&owner("foo"), None).unwrap();
    assert!(pool.directory.file(ip(3)).exists() && !pool.directory.file(ip(2)).exists());
    pool.release(&owner("bar"), Some(ip(3))).unwrap();
    assert!(dir.is_as_it_was());
}

#[test]
fn somebody_elses_lease_stays() {
    let dir = Dir::new("foreign");
    let pool = dir.given("10.244.0.0/24");
    pool.reserve(&owner("foo"), Some(ip(9)), never).unwrap();
    for other in [
        owner("bar"),
        owner("fo"),
        Owner {
            id: "foo".into(),
            ifname: "eth1".into(),
        },
    ] {
        pool.release(&other, Some(ip(9))).unwrap();
        pool.release(&other, None).unwrap();
    }
    assert!(pool.directory.file(ip(9)).exists());
}

#[test]
fn a_directory_without_a_lease_of_ours_is_not_written_to() {
    let dir = Dir::new("lie");
    dir.given("10.244.0.0/24")
        .release(&owner("foo"), Some(ip(2)))
        .unwrap();
    dir.given("10.244.0.0/24")
        .release(&owner("foo"), None)
        .unwrap();
    assert!(dir.entries().is_empty());
}

#[test]
fn taken_and_exhausted_say_by_whom() {
    let dir = Dir::new("full");
    let pool = dir.own("10.244.0.0/30");
    let place = pool.dir().display();
    assert_eq!(pool.next(None).unwrap(), ip(2));
    pool.reserve(&owner("foo"), None, never).unwrap();
    let full = pool.reserve(&owner("bar"), None, never).unwrap_err();
    assert_eq!(
        full.to_string(),
        format!("10.244.0.0/30: no address left (1 lease in {place}: foo)")
    );
    assert_eq!(pool.next(None).unwrap_err().to_string(), full.to_string());
    let taken = pool.reserve(&owner("bar"), Some(ip(2)), never).unwrap_err();
    assert_eq!(
        taken.to_string(),
        format!("10.244.0.2 is taken, by foo (in {place})")
    );
    assert!(!pool.dir().join(UNNAMED).exists());
}

#[test]
fn a_stale_lease_is_taken_back_when_none_is_left_and_never_from_others() {
    let dir = Dir::new("stale");
    let pool = dir.own("10.244.0.0/29");
    for host in 2..=5 {
        pool.reserve(&owner(&format!("p{host}")), None, never)
            .unwrap();
    }
    let p3 = |lease: &Lease| Ok(lease.owner.as_ref().is_some_and(|owner| owner.id == "p3"));
    assert_eq!(
        pool.reserve(&owner("q"), None, p3).unwrap(),
        ip(6),
        "one was free"
    );
    assert_eq!(pool.reserve(&owner("r"), None, p3).unwrap(), ip(3));
    assert_eq!(pool.directory.read(ip(3)).unwrap().unwrap(), "r\r\neth0");
    assert!(pool.reserve(&owner("s"), None, p3).is_err());
    fs::write(pool.directory.file(ip(4)), "").unwrap();
    let empty = |lease: &Lease| Ok(lease.owner.is_none());
    assert_eq!(pool.reserve(&owner("t"), None, empty).unwrap(), ip(4));

    for host in 2..=6 {
        fs::remove_file(pool.directory.file(ip(host))).unwrap();
        dir.container(host);
    }
    assert!(pool.reserve(&owner("u"), None, |_| Ok(true)).is_err());
    assert!(
        pool.reserve(&owner("u"), Some(ip(2)), |_| Ok(true))
            .is_err()
    );
}

/// As if the machine had been started again since.
fn of_earlier_boot(lease: &Path) {
    let name = "user.chroot0.boot_id";
    let flags = rustix::fs::XattrFlags::REPLACE;
    rustix::fs::lsetxattr(lease, name, b"another boot", flags).unwrap();
}

#[test]
fn what_an_earlier_boot_had_makes_room_and_what_is_not_ours_stays() {
    let dir = Dir::new("boot");
    let pool = dir.own("10.244.0.0/24");
    for host in 2..=4 {
        let pod = owner(&format!("p{host}"));
        assert_eq!(pool.reserve(&pod, None, never).unwrap(), ip(host));
    }
    let container = dir.container(9);
    for host in 2..=3 {
        of_earlier_boot(&pool.directory.file(ip(host)));
    }
    // a container's is not even asked about
    let seen = std::cell::RefCell::new(Vec::new());
    let freed = pool.directory.reclaim(true, |lease| {
        seen.borrow_mut()
            .push((lease.address, lease.is_of_earlier_boot));
        Ok(lease.is_of_earlier_boot)
    });
    assert_eq!(freed.unwrap().len(), 2);
    assert_eq!(
        seen.into_inner(),
        [(ip(2), true), (ip(3), true), (ip(4), false)]
    );
    assert_eq!(pool.leases().unwrap(), [2, 3, 4, 9].map(ip));
    // the run directory is gone after a boot, so the next pod is the first of its subnet
    fs::remove_dir_all(dir.0.join("run")).unwrap();
    assert_eq!(
        dir.own("10.244.0.0/24")
            .reserve(&owner("q"), None, never)
            .unwrap(),
        ip(5)
    );
    assert_eq!(pool.leases().unwrap(), [4, 5, 9].map(ip));
    pool.release(&owner("q"), None).unwrap();
    pool.release(&owner("p4"), None).unwrap();
    // and it is host-local's from now on
    assert!(container.exists() && !pool.directory.is_our_making().unwrap());
    fs::remove_file(container).unwrap();
    pool.reserve(&owner("r"), None, never).unwrap();
    pool.release(&owner("r"), None).unwrap();
    assert!(pool.dir().join("lock").exists());
    assert_eq!(pool.directory.claims.all().unwrap(), []);
}

#[test]
fn a_lease_of_a_container_that_is_called_as_the_pod_stays() {
    let dir = Dir::new("container");
    let pool = dir.own("10.244.0.0/24");
    pool.reserve(&owner("foo"), None, never).unwrap();
    let container = dir.container(9);
    for address in [None, Some(ip(9))] {
        pool.release(&owner("3f8e"), address).unwrap();
    }
    assert!(container.exists());
}

#[test]
fn subnets_of_a_network_come_and_go_by_themselves() {
    let dir = Dir::new("subnets");
    let (one, two) = (dir.own("10.244.0.0/24"), dir.own("10.245.0.0/24"));
    let other = |host: u8| IpAddr::from([10, 245, 0, host]);
    one.reserve(&owner("stays"), Some(ip(9)), never).unwrap();
    two.reserve(&owner("stays"), Some(other(9)), never).unwrap();
    for host in 10..=12 {
        // each goes on where it was, though there is one last address for both
        assert_eq!(one.reserve(&owner("a"), None, never).unwrap(), ip(host));
        assert_eq!(two.reserve(&owner("b"), None, never).unwrap(), other(host));
        one.release(&owner("a"), None).unwrap();
        two.release(&owner("b"), Some(other(host))).unwrap();
    }
    one.release(&owner("stays"), None).unwrap();
    assert_eq!(dir.own("10.244.0.0/16").refuse_overlap().ok(), Some(()));
    let inside = dir.own("10.245.0.128/25").refuse_overlap().unwrap_err();
    let place = two.dir().display();
    assert_eq!(
        inside.to_string(),
        format!("10.245.0.128/25 overlaps 10.245.0.0/24 (1 lease in {place}: stays)")
    );
    let elsewhere = dir.pool("networks/m", false, "10.245.0.0/24");
    assert!(elsewhere.refuse_overlap().is_err());
    two.release(&owner("stays"), None).unwrap();
    assert!(dir.is_as_it_was());
}

#[test]
fn a_missing_shared_directory_is_not_made() {
    let dir = Dir::new("missing");
    let pool = dir.pool("no", true, "10.244.0.0/24");
    let error = pool
        .reserve(&owner("foo"), None, never)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("No such file or directory (a pool shared with others"),
        "{error}"
    );
    pool.release(&owner("foo"), Some(ip(2))).unwrap();
    assert!(dir.entries().is_empty());
}

#[test]
fn the_remains_of_a_killed_one_are_in_nobodys_way() {
    let dir = Dir::new("killed");
    let pool = dir.own("10.244.0.0/24");
    fs::create_dir_all(dir.0.join("networks")).unwrap();
    for made in [pool.dir(), pool.dir().parent().unwrap()] {
        fs::create_dir_all(made).unwrap();
        fs::set_permissions(made, fs::Permissions::from_mode(0o1755)).unwrap();
    }
    fs::write(pool.dir().join(UNNAMED), "foo\r\nth").unwrap();
    fs::write(pool.last_reserved(), "10.24").unwrap();
    assert_eq!(pool.reserve(&owner("foo"), None, never).unwrap(), ip(2));
    // killed between link and unlink: the two names are one file, and the next lease must not write into it
    fs::hard_link(pool.directory.file(ip(2)), pool.dir().join(UNNAMED)).unwrap();
    pool.reserve(&owner("bar"), None, never).unwrap();
    assert_eq!(pool.directory.read(ip(2)).unwrap().unwrap(), "foo\r\neth0");
    pool.release(&owner("foo"), None).unwrap();
    pool.release(&owner("bar"), None).unwrap();
    assert!(dir.is_as_it_was());
}

#[test]
fn many_at_once_never_share_an_address() {
    let dir = Dir::new("many");
    let given = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let (dir, given) = (&dir, &given);
            scope.spawn(move || {
                let pool = dir.own("10.244.0.0/24");
                for turn in 0..40 {
                    let owner = owner(&format!("w{worker}-{turn}"));
                    let address = pool.reserve(&owner, None, never).unwrap();
                    // every second one goes again at once, so that the directory comes and goes as well
                    match turn % 2 {
                        0 => pool.release(&owner, Some(address)).unwrap(),
                        _ => given.lock().unwrap().push(address),
                    }
                }
            });
        }
    });
    let mut given = given.into_inner().unwrap();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 8 * 20);
}
