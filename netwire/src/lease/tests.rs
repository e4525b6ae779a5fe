use super::*;
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

    /// Our own kind of pool, below this directory.
    fn own(&self, subnet: &str) -> Pool {
        Pool {
            dir: self.0.join("networks/n"),
            shared: false,
            subnet: subnet.parse().unwrap(),
            choice: Choice::default(),
        }
    }

    fn shared(&self, subnet: &str) -> Pool {
        Pool::new(subnet.parse().unwrap(), Some(&self.0))
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

fn never(_: Option<&Owner>, _: IpAddr) -> Result<bool, Error> {
    Ok(false)
}

#[test]
fn files_are_those_of_host_local() {
    let dir = Dir::new("format");
    let pool = dir.shared("10.244.0.0/24");
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
    assert!(dir.entries().is_empty());
    pool.reserve(&owner("foo"), None, never).unwrap();
    pool.reserve(&owner("bar"), None, never).unwrap();
    pool.release(&owner("foo"), None).unwrap();
    assert!(pool.path(ip(3)).exists() && !pool.path(ip(2)).exists());
    pool.release(&owner("bar"), Some(ip(3))).unwrap();
    assert!(dir.entries().is_empty());
}

#[test]
fn somebody_elses_lease_stays() {
    let dir = Dir::new("foreign");
    let pool = dir.shared("10.244.0.0/24");
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
    assert!(pool.path(ip(9)).exists());
}

#[test]
fn a_directory_without_a_lease_of_ours_is_not_written_to() {
    let dir = Dir::new("lie");
    dir.shared("10.244.0.0/24")
        .release(&owner("foo"), Some(ip(2)))
        .unwrap();
    dir.shared("10.244.0.0/24")
        .release(&owner("foo"), None)
        .unwrap();
    assert!(dir.entries().is_empty());
}

#[test]
fn taken_and_exhausted_say_by_whom() {
    let dir = Dir::new("full");
    let pool = dir.own("10.244.0.0/30");
    let place = pool.dir.display();
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
    assert!(!pool.dir.join(UNNAMED).exists());
}

#[test]
fn a_stale_lease_is_taken_back_when_none_is_left_and_never_from_others() {
    let dir = Dir::new("stale");
    let pool = dir.own("10.244.0.0/29");
    for host in 2..=5 {
        pool.reserve(&owner(&format!("p{host}")), None, never)
            .unwrap();
    }
    let p3 = |owner: Option<&Owner>, _| Ok(owner.is_some_and(|owner| owner.id == "p3"));
    assert_eq!(
        pool.reserve(&owner("q"), None, p3).unwrap(),
        ip(6),
        "one was free"
    );
    assert_eq!(pool.reserve(&owner("r"), None, p3).unwrap(), ip(3));
    assert_eq!(pool.read(ip(3)).unwrap().unwrap(), "r\r\neth0");
    assert!(pool.reserve(&owner("s"), None, p3).is_err());
    fs::write(pool.path(ip(4)), "").unwrap();
    let empty = |owner: Option<&Owner>, _| Ok(owner.is_none());
    assert_eq!(pool.reserve(&owner("t"), None, empty).unwrap(), ip(4));

    let others = Pool {
        shared: true,
        ..pool
    };
    assert!(others.reserve(&owner("u"), None, |_, _| Ok(true)).is_err());
}

#[test]
fn a_missing_shared_directory_is_not_made() {
    let dir = Dir::new("missing");
    let pool = Pool::new("10.244.0.0/24".parse().unwrap(), Some(&dir.0.join("no")));
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
    fs::create_dir_all(&pool.dir).unwrap();
    fs::write(pool.dir.join(UNNAMED), "foo\r\nth").unwrap();
    fs::write(pool.last_reserved(), "10.24").unwrap();
    assert_eq!(pool.reserve(&owner("foo"), None, never).unwrap(), ip(2));
    // killed between link and unlink: the two names are one file, and the next lease must not write into it
    fs::hard_link(pool.path(ip(2)), pool.dir.join(UNNAMED)).unwrap();
    pool.reserve(&owner("bar"), None, never).unwrap();
    assert_eq!(pool.read(ip(2)).unwrap().unwrap(), "foo\r\neth0");
    pool.release(&owner("foo"), None).unwrap();
    pool.release(&owner("bar"), None).unwrap();
    assert!(dir.entries().is_empty());
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
