//! Boxes that begin with an OCI image layout, and what hostile ones try.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::archive::{archive, directory, file, gzip, member, zstd};
use common::fenced::Fenced;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::EntryType;

mod common;

/// An image layout in a directory.
struct Image(PathBuf);

impl Image {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self(path)
    }

    /// Its descriptor.
    fn blob(&self, bytes: &[u8]) -> Value {
        let sum: String = Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(self.0.join("blobs/sha256").join(&sum), bytes).unwrap();
        json!({"digest": format!("sha256:{sum}"), "size": bytes.len()})
    }

    fn manifest(&self, layers: &[Vec<u8>]) -> Value {
        let layers: Vec<Value> = layers.iter().map(|layer| self.blob(layer)).collect();
        let manifest = json!({"schemaVersion": 2, "config": self.blob(b"{}"), "layers": layers});
        self.blob(manifest.to_string().as_bytes())
    }

    fn index(&self, manifests: &[Value]) {
        fs::write(
            self.0.join("index.json"),
            json!({"schemaVersion": 2, "manifests": manifests}).to_string(),
        )
        .unwrap();
    }

    /// The layout as one archive.
    fn archive(&self, to: &Path) {
        let mut builder = tar::Builder::new(fs::File::create(to).unwrap());
        builder.append_dir_all(".", &self.0).unwrap();
        builder.finish().unwrap();
    }
}

fn layers() -> Vec<Vec<u8>> {
    let lower = [
        directory("etc/"),
        file("etc/gone", "x"),
        file("etc/stays", "x"),
        directory("dir/"),
        file("dir/old", "x"),
        directory("dir/sub/"),
        file("dir/sub/old", "x"),
        member(EntryType::Symlink, "bin", "usr/bin", ""),
    ];
    let upper = [
        file("etc/.wh.gone", ""),
        file("etc/.wh.never-was", ""),
        file("dir/new", "new"),
        directory("dir/sub/"),
        file("dir/sub/new", "new"),
        // A whiteout is about the layers below, wherever it stands.
        file("dir/.wh..wh..opq", ""),
        file("etc/own", "own"),
        file("etc/.wh.own", ""),
    ];
    vec![gzip(&archive(&lower)), zstd(&archive(&upper))]
}

#[test]
fn an_image_layout_is_laid_layer_by_layer() {
    let scratch = Fenced::new();
    let image = Image::new(scratch.path("image"));
    let one = image.manifest(&layers());
    image.index(&[one]);
    image.archive(&scratch.path("image.tar"));
    for from in ["image", "image.tar"] {
        scratch.good(&["up", "--from", from, "box"]);
        let mut found: Vec<String> = Vec::new();
        for directory in ["etc", "dir", "dir/sub"] {
            let names = fs::read_dir(scratch.path("box").join(directory)).unwrap();
            found.extend(
                names.map(|name| format!("{directory}/{}", name.unwrap().file_name().display())),
            );
        }
        found.sort();
        assert_eq!(
            found,
            ["dir/new", "dir/sub", "dir/sub/new", "etc/own", "etc/stays"],
            "{from}"
        );
        scratch.good(&["verify", "box"]);
        scratch.good(&["down", "box"]);
        scratch.is_clean();
    }
}

#[test]
fn an_image_is_chosen_by_name_and_every_digest_is_checked() {
    let scratch = Fenced::new();
    let image = Image::new(scratch.path("image"));
    let named = |name: &str| {
        let mut descriptor = image.manifest(&[archive(&[file("name", name)])]);
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        descriptor
    };
    let (old, new) = (named("old"), named("new"));
    image.index(&[old, new.clone()]);
    let both = scratch.refused(&["up", "--from", "image", "box"]);
    assert!(both.contains("has 2 images (--ref old, new)"), "{both}");
    scratch.good(&["up", "--from", "image", "--ref", "new", "box"]);
    assert_eq!(scratch.read("name"), "new");
    scratch.good(&["down", "box"]);
    let blobs = || {
        fs::read_dir(scratch.path("image/blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    // Whichever blob is not what its digest says, it is found out.
    let up = ["up", "--from", "image", "--ref", "new", "box"];
    let mut refused = 0;
    for blob in blobs().collect::<Vec<_>>() {
        let whole = fs::read(&blob).unwrap();
        let mut other = whole.clone();
        *other.last_mut().unwrap() ^= 1;
        for bytes in [
            &other[..],
            &[&whole[..], b"more"].concat(),
            &whole[..whole.len() - 1],
        ] {
            fs::write(&blob, bytes).unwrap();
            let (status, _, stderr) = scratch.run(&up);
            if status == 0 {
                // One of the other image.
                scratch.good(&["down", "box"]);
            } else {
                assert!(stderr.contains("is not what its digest says"), "{stderr}");
                refused += 1;
            }
            scratch.is_clean();
        }
        fs::write(&blob, whole).unwrap();
    }
    assert_eq!(refused, 6, "manifest and layer, three ways each");
    // A blob that leads elsewhere, by a link or by its digest.
    let digest = new["digest"]
        .as_str()
        .unwrap()
        .replace("sha256:", "image/blobs/sha256/");
    fs::remove_file(scratch.path(&digest)).unwrap();
    symlink(scratch.path("victim/precious"), scratch.path(&digest)).unwrap();
    scratch.refused(&up);
    image.index(&[json!({"digest": "sha256:../../../victim/precious", "size": 8})]);
    let line = scratch.refused(&["up", "--from", "image", "box"]);
    assert!(line.contains("is none"), "{line}");
    let usage = scratch.refused(&["up", "--from", "victim", "--ref", "x", "box"]);
    assert!(usage.contains("--ref names an image"), "{usage}");
}
