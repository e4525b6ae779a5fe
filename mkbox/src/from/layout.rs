//! An OCI image layout, as a directory or as an archive of one: index, manifest, layers; every blob is checked against its digest.
//!
//! <https://github.com/opencontainers/image-spec>

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat2};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha512};
use sys::Call;

use super::archive::{self, Contents};
use super::extract::Extractor;
use super::reader::At;
use super::reason;
use crate::error::Error;
use crate::manifest::hex;
use crate::root::IN_ROOT;

/// Of an index, a manifest or a configuration: those of large images have some 10 kB.
const JSON_BYTES: u64 = 4 << 20;
/// An index may name another one.
const DEPTH: usize = 4;
const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// A layout whose image is chosen.
#[derive(Debug)]
pub(super) struct Layout {
    shown: PathBuf,
    store: Store,
    layers: Vec<Layer>,
}

#[derive(Debug)]
enum Store {
    /// Links in it end in it.
    Directory(std::os::fd::OwnedFd),
    Archive(File, Contents),
}

/// A blob, as a descriptor names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    algorithm: Algorithm,
    /// In hexadecimal.
    sum: String,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Layout {
    pub(super) fn in_directory(path: &Path, reference: Option<&str>) -> Result<Self, Error> {
        let fd = rustix::fs::open(path, crate::root::DIRECTORY, Mode::empty());
        let store = Store::Directory(fd.call(|| format!("open({})", path.display()))?);
        Self::choose(path, store, reference)
    }

    pub(super) fn in_archive(
        path: &Path,
        file: File,
        contents: Contents,
        reference: Option<&str>,
    ) -> Result<Self, Error> {
        Self::choose(path, Store::Archive(file, contents), reference)
    }

    fn choose(path: &Path, store: Store, reference: Option<&str>) -> Result<Self, Error> {
        let mut layout = Self {
            shown: path.to_owned(),
            store,
            layers: Vec::new(),
        };
        let index = layout.open(Path::new("/index.json"))?;
        let index = layout.json(index, "index.json")?;
        let mut descriptor = select(&index, reference).map_err(|problem| layout.fail(&problem))?;
        for _ in 0..DEPTH {
            let blob = layer(&descriptor).map_err(|problem| layout.fail(&problem))?;
            let value = layout.checked_json(&blob)?;
            if value.get("manifests").is_some() {
                descriptor = select(&value, None).map_err(|problem| layout.fail(&problem))?;
                continue;
            }
            let layers = value.get("layers").and_then(Value::as_array);
            let layers = layers.ok_or_else(|| layout.fail("its manifest has no layers"))?;
            let layers: Result<Vec<Layer>, String> = layers.iter().map(layer).collect();
            layout.layers = layers.map_err(|problem| layout.fail(&problem))?;
            return Ok(layout);
        }
        Err(layout.fail("an index that names an index, and so on"))
    }

    fn fail(&self, reason: &str) -> Error {
        Error::Failed(format!("--from {}: {reason}", self.shown.display()))
    }

    /// The layers, the lowest first; all of them are there.
    pub(super) fn layers(&self) -> Result<&[Layer], Error> {
        for layer in &self.layers {
            self.open(&layer.path())?;
        }
        Ok(&self.layers)
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + '_>, Error> {
        match &self.store {
            Store::Directory(fd) => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let shown = self.shown.join(path.strip_prefix("/").unwrap_or(path));
                let call = || format!("open({})", shown.display());
                let file = File::from(openat2(fd, path, flags, Mode::empty(), IN_ROOT).call(call)?);
                match file.metadata().call(call)?.is_file() {
                    true => Ok(Box::new(file)),
                    false => Err(self.fail(&format!("{} is no file", path.display()))),
                }
            }
            Store::Archive(file, contents) => {
                let found = contents.find(path);
                let (at, bytes) =
                    found.ok_or_else(|| self.fail(&format!("has no {}", path.display())))?;
                Ok(Box::new(At::new(file, at, bytes)))
            }
        }
    }

    fn json(&self, reader: impl Read, name: &str) -> Result<Value, Error> {
        let mut text = Vec::new();
        reader
            .take(JSON_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| self.fail(&format!("{name}: {}", reason(&error))))?;
        serde_json::from_slice(&text)
            .map_err(|error| self.fail(&format!("{name} is no JSON: {error}")))
    }

    fn checked_json(&self, blob: &Layer) -> Result<Value, Error> {
        if blob.bytes > JSON_BYTES {
            return Err(self.fail(&format!(
                "the manifest {} has {} bytes",
                blob.sum, blob.bytes
            )));
        }
        let mut reader = Checked::new(self.open(&blob.path())?, blob);
        let mut text = Vec::new();
        let read = reader.read_to_end(&mut text);
        read.map_err(|error| self.fail(&format!("{}: {}", blob.sum, reason(&error))))?;
        reader.finish().map_err(|problem| self.fail(&problem))?;
        self.json(&text[..], &blob.sum)
    }
}

impl Layer {
    fn path(&self) -> PathBuf {
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        };
        Path::new("/blobs").join(algorithm).join(&self.sum)
    }

    /// Puts the layer upon those below it. What is made of a layer that turns out to be another is undone by the caller.
    pub(super) fn extract(
        &self,
        layout: &Layout,
        extractor: &mut Extractor<'_>,
    ) -> Result<(), Error> {
        let mut reader = Checked::new(layout.open(&self.path())?, self);
        extractor.begin_layer();
        let extracted = archive::extract(&mut reader, extractor, true);
        // That it is another layer than the one that is meant tells more than what is wrong with it.
        reader.finish().map_err(|problem| layout.fail(&problem))?;
        extracted
    }
}

/// Sums up what is read, and stops where the blob should end.
struct Checked<'a> {
    reader: io::Take<Box<dyn Read + 'a>>,
    blob: &'a Layer,
    sum: Sum,
    bytes: u64,
}

enum Sum {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl<'a> Checked<'a> {
    fn new(reader: Box<dyn Read + 'a>, blob: &'a Layer) -> Self {
        let sum = match blob.algorithm {
            Algorithm::Sha256 => Sum::Sha256(Sha256::new()),
            Algorithm::Sha512 => Sum::Sha512(Sha512::new()),
        };
        Self {
            // One byte more tells that it is too long.
            reader: reader.take(blob.bytes.saturating_add(1)),
            blob,
            sum,
            bytes: 0,
        }
    }

    /// Reads the rest and compares.
    fn finish(mut self) -> Result<(), String> {
        let read = io::copy(&mut self, &mut io::sink());
        read.map_err(|error| format!("{}: {}", self.blob.sum, reason(&error)))?;
        let found = match self.sum {
            Sum::Sha256(sum) => hex(&sum.finalize()),
            Sum::Sha512(sum) => hex(&sum.finalize()),
        };
        if self.bytes != self.blob.bytes || found != self.blob.sum {
            let path = self.blob.path();
            return Err(format!(
                "{} is not what its digest says",
                path.strip_prefix("/").unwrap_or(&path).display()
            ));
        }
        Ok(())
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes += read as u64;
        match &mut self.sum {
            Sum::Sha256(sum) => sum.update(&buffer[..read]),
            Sum::Sha512(sum) => sum.update(&buffer[..read]),
        }
        Ok(read)
    }
}

/// The blob that a descriptor names.
fn layer(descriptor: &Value) -> Result<Layer, String> {
    let digest = descriptor
        .get("digest")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let bytes = descriptor.get("size").and_then(Value::as_u64);
    let (algorithm, sum) = digest.split_once(':').unwrap_or_default();
    let (algorithm, digits) = match algorithm {
        "sha256" => (Algorithm::Sha256, 64),
        "sha512" => (Algorithm::Sha512, 128),
        _ => return Err(format!("the digest {digest:?} is of no known kind")),
    };
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if sum.len() != digits || !sum.bytes().all(is_hex) {
        return Err(format!("the digest {digest:?} is none"));
    }
    let bytes = bytes.ok_or_else(|| format!("the blob {digest} has no size"))?;
    Ok(Layer {
        algorithm,
        sum: sum.to_owned(),
        bytes,
    })
}

/// The one descriptor of an index that is meant: by its name, and for this machine.
fn select(index: &Value, reference: Option<&str>) -> Result<Value, String> {
    let all = index.get("manifests").and_then(Value::as_array);
    let all = all.ok_or("its index has no manifests")?;
    let name = |descriptor: &Value| {
        let name = descriptor.get("annotations")?.get(REFERENCE)?.as_str()?;
        Some(name.to_owned())
    };
    let is_named = |descriptor: &&Value| {
        reference.is_none_or(|wanted| name(descriptor).as_deref() == Some(wanted))
    };
    let named: Vec<&Value> = all.iter().filter(is_named).collect();
    let ours: Vec<&&Value> = named
        .iter()
        .filter(|descriptor| is_for_here(descriptor))
        .collect();
    match (&ours[..], &named[..]) {
        ([one], _) => Ok((**one).clone()),
        ([], []) => Err(format!("has no image {:?}", reference.unwrap_or_default())),
        ([], _) => Err(format!("has no image for {}", architecture())),
        _ => {
            let names: Vec<String> = ours.iter().filter_map(|one| name(one)).collect();
            let hint = match names.is_empty() {
                true => String::new(),
                false => format!(" (--ref {})", names.join(", ")),
            };
            Err(format!("has {} images{hint}", ours.len()))
        }
    }
}

/// Whether a descriptor is for this machine, or does not say for which.
fn is_for_here(descriptor: &Value) -> bool {
    let Some(platform) = descriptor.get("platform") else {
        return true;
    };
    let is = |key: &str, wanted: &str| platform.get(key).and_then(Value::as_str) == Some(wanted);
    is("os", "linux") && is("architecture", architecture())
}

/// This machine as Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(name: &str, architecture: &str) -> Value {
        json!({"digest": format!("sha256:{:064}", 1), "size": 1,
            "platform": {"os": "linux", "architecture": architecture}, "annotations": {REFERENCE: name}})
    }

    #[test]
    fn the_image_is_the_one_that_is_named_and_for_this_machine() {
        let here = architecture();
        let index = json!({"manifests": [descriptor("a", "m68k"), descriptor("a", here), descriptor("b", here)]});
        assert_eq!(select(&index, Some("a")).unwrap(), descriptor("a", here));
        assert_eq!(
            select(&index, None).unwrap_err(),
            "has 2 images (--ref a, b)"
        );
        assert_eq!(select(&index, Some("c")).unwrap_err(), "has no image \"c\"");
        let foreign = json!({"manifests": [descriptor("a", "m68k")]});
        assert_eq!(
            select(&foreign, None).unwrap_err(),
            format!("has no image for {here}")
        );
        assert!(select(&json!({}), None).is_err());
    }

    #[test]
    fn a_digest_is_never_a_path() {
        for bad in [
            "",
            "sha256:",
            "sha256:../../etc/passwd",
            "md5:00",
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert!(layer(&json!({"digest": bad, "size": 1})).is_err(), "{bad}");
        }
        let good =
            layer(&json!({"digest": format!("sha256:{}", "a".repeat(64)), "size": 1})).unwrap();
        assert!(good.path().starts_with("/blobs/sha256"));
    }
}
