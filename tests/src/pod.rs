//! The pod and the box that most stories are about, as the README's reader types them.

use crate::{Node, Output};

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

/// `pod` as a function of a shell, and box directories for the images that manifests name: busybox, and web servers of it.
pub const SCRIPT: &str = r#"export POD_IMAGES=/home/namespace/images POD_CONFIG=/home/namespace/config POD_BACKOFF_MS=50
pod() { /mnt/scripts/pod "$@"; }
state() { until pod show "$1" 2>/dev/null | grep -q "^ *$2 *$3"; do sleep 0.05; done; }
"#;

/// Makes them.
pub const IMAGES: &str = r#"mkdir -p images/busybox/bin images/nginx images/kennethreitz images/curlimages
cp "$(command -v busybox)" images/busybox/bin/
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "images/busybox/bin/$name"; done
cp -a images/busybox/. images/nginx
cp -a images/nginx images/kennethreitz/httpbin
cp -a images/busybox images/curlimages/curl
echo hello >images/nginx/index.html
echo httpbin >images/kennethreitz/httpbin/index.html
echo '{"config":{"Cmd":["httpd","-f","-p","80","-h","/"]}}' | tee images/nginx.json >images/kennethreitz/httpbin.json
echo '{"config":{"Cmd":["sh"]}}' >images/busybox.json"#;

/// A node with images, and how scripts are run in it.
#[derive(Debug)]
pub struct Pods(Node);

impl Pods {
    /// None: busybox or flock is not there.
    #[must_use]
    #[track_caller]
    pub fn new() -> Option<Self> {
        let node = Node::new();
        if !node.has("busybox") || !node.has("flock") {
            return None;
        }
        node.sh(IMAGES).succeeds();
        Some(Self(node))
    }

    /// The node itself.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.0
    }

    /// A script that knows `pod`.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.0.sh(&format!("{SCRIPT}{script}"))
    }

    /// `pod up` of a manifest.
    #[track_caller]
    pub fn up(&self, manifest: &str) -> Output {
        self.0.sh_with(&format!("{SCRIPT}pod up -"), manifest)
    }

    /// Nothing is left, but for the images.
    #[track_caller]
    pub fn is_clean(&self) {
        self.0.sh("rm -r images; rm -rf config").succeeds();
        self.0.assert_as_it_was();
    }
}
