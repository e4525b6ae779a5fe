//! What `netwire down` waits for, and what it leaves to the kernel.

use tests::Node;

const UP: &str = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json";

/// `netwire down` with `options`, and how many children it had.
fn children_of_down(node: &Node, options: &str) -> usize {
    let forks = "strace -f -qq -o forks -e trace=?fork,?clone,?clone3,?vfork";
    let count = node
        .sh(&format!("{forks} netwire down {options} <foo.json >/dev/null && grep -c ' = [0-9]' forks; rm forks"))
        .succeeds();
    count.stdout.trim().parse().expect("grep counts")
}

#[test]
fn nothing_of_the_interface_is_left_when_a_child_still_waits_for_the_kernel() {
    let node = Node::new();
    node.sh(UP).succeeds();
    // the namespace lives on, so it is netwire that removes the pair
    let left = "ip -br link | grep ^veth; ip -br address | grep 10.244; ip route | grep 10.244; ls /var/lib/cni/networks /run/chroot0/.subnets";
    let down = node.sh(&format!("netwire down <foo.json >down.json; {left}"));
    assert_eq!(down.stdout, "", "{down}");
    node.sh("netwire up <down.json --subnet 10.244.0.0/24 >foo.json; rm down.json")
        .succeeds();
    assert_eq!(children_of_down(&node, ""), 1);
    node.sh(
        "nsrun down <foo.json >/dev/null; rm foo.json; while pgrep chroot0-lingers; do :; done >&2",
    )
    .succeeds();
    node.assert_as_it_was();
}

#[test]
fn who_asks_for_it_waits_and_no_child_does() {
    let node = Node::new();
    node.sh(UP).succeeds();
    assert_eq!(children_of_down(&node, "--wait"), 0);
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json; ! pgrep chroot0-lingers")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn where_there_can_be_no_child_the_interface_goes_as_well() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh("strace -f -qq -o /dev/null -e trace=?fork,?clone -e inject=?fork,?clone:error=EAGAIN netwire down <foo.json >/dev/null && ! ip -br link | grep ^veth")
        .succeeds();
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}
