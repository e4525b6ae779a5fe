//! What a sweep over every system call has found and the sample of it does not try, one by one.

use tests::Node;

/// What goes before a command of which the `nth` such call shall fail so.
fn fails(call: &str, nth: usize, errno: &str) -> String {
    format!("strace -qq -o /dev/null -e trace={call} -e inject={call}:error={errno}:when={nth}")
}

#[test]
fn gc_that_may_not_ask_whose_a_lease_is_says_so() {
    let node = Node::new();
    let deserted = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 >foo.json
        nsrun down <foo.json >/dev/null; rm -r foo.json /run/chroot0/foo; while ip link | grep -q veth; do :; done";
    for nth in 1..=2 {
        node.sh(deserted).succeeds();
        node.sh(&format!("{} netwire gc", fails("lgetxattr", nth, "EPERM")))
            .ends(1)
            .says_one_line("netwire")
            .says("lgetxattr(/var/lib/cni/networks/chroot0/")
            .says("Operation not permitted");
        node.sh("netwire gc >/dev/null && rmdir /run/chroot0")
            .succeeds();
        node.assert_as_it_was();
    }
}
