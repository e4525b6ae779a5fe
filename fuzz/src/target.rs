//! A parser, its corpus, and what it may use.

use std::env;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::memory;
use crate::mutate::Mutator;

/// How long one case may take, on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A parser that is given bad input.
#[derive(Debug)]
pub struct Target {
    name: &'static str,
    cases: usize,
    base: usize,
    factor: usize,
}

impl Target {
    /// Whose corpus is `fuzz/corpus/NAME/`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            cases: 2000,
            base: 4 << 20,
            factor: 64,
        }
    }

    /// How many cases `make test` tries: a target that makes files takes longer for each.
    #[must_use]
    pub fn cases(self, cases: usize) -> Self {
        Self { cases, ..self }
    }

    /// What may be allocated at one time: `base` bytes, and `factor` for each byte of input.
    #[must_use]
    pub fn bound(self, base: usize, factor: usize) -> Self {
        Self {
            base,
            factor,
            ..self
        }
    }

    /// Calls `parse` with everything in the corpus, and that changed.
    ///
    /// # Panics
    /// When `parse` does, or allocates too much, or there is no corpus.
    pub fn run(self, mut parse: impl FnMut(&[u8])) {
        let corpus = self.corpus();
        let mut mutator = Mutator::new(seed());
        let (watch, watcher) = watchdog(self.name);
        for input in &corpus {
            self.case(input, &watch, &mut parse);
        }
        for _ in 0..cases(self.cases) {
            let mut input = corpus[mutator.below(corpus.len())].clone();
            let other = &corpus[mutator.below(corpus.len())];
            mutator.change(&mut input, other);
            self.case(&input, &watch, &mut parse);
        }
        drop(watch);
        let _ = watcher.join();
    }

    fn corpus(&self) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name);
        let mut files: Vec<PathBuf> = fs::read_dir(&dir)
            .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
            .map(|entry| entry.expect("an entry of a directory").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{}: no corpus", dir.display());
        let read = |path: PathBuf| {
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        files.into_iter().map(read).collect()
    }

    fn case(&self, input: &[u8], watch: &Sender<Vec<u8>>, parse: &mut impl FnMut(&[u8])) {
        let _ = watch.send(input.to_vec());
        memory::begin();
        let outcome = catch_unwind(AssertUnwindSafe(|| parse(input)));
        let most =
            memory::most().expect("the tests of this crate have fuzz::Counting as their allocator");
        if let Err(panic) = outcome {
            keep(self.name, input, "panicked");
            resume_unwind(panic);
        }
        let bound = self.base + self.factor * input.len();
        if most > bound {
            keep(self.name, input, "took too much memory");
            panic!(
                "{}: {most} bytes at one time for {} of input, and the bound is {bound}",
                self.name,
                input.len()
            );
        }
    }
}

/// How many cases there are to be.
pub(crate) fn cases(short: usize) -> usize {
    if is_long() { short * 100 } else { short }
}

fn is_long() -> bool {
    env::var_os("CHROOT0_LONG").is_some_and(|long| !long.is_empty() && long != "0")
}

/// `CHROOT0_SEED`, else the same each time; in the long form another one each time, which is said.
pub(crate) fn seed() -> u64 {
    let given = env::var("CHROOT0_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let fresh = || {
        SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(1, |since| since.as_secs())
    };
    let seed = given.unwrap_or_else(|| if is_long() { fresh() } else { 20_260_101 });
    tell(&format!("CHROOT0_SEED={seed}\n"));
    seed
}

/// Ends the process when a case does not end.
fn watchdog(name: &'static str) -> (Sender<Vec<u8>>, thread::JoinHandle<()>) {
    let (sender, receiver) = channel::<Vec<u8>>();
    let watcher = thread::spawn(move || {
        let mut last = Vec::new();
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(input) => last = input,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    keep(name, &last, "does not end");
                    std::process::abort();
                }
            }
        }
    });
    (sender, watcher)
}

/// What failed, for whoever mends it.
pub(crate) fn keep(name: &str, input: &[u8], what: &str) {
    let path = env::temp_dir().join(format!("{name}.failed"));
    let kept = fs::write(&path, input)
        .map_or_else(|error| error.to_string(), |()| path.display().to_string());
    let shown = &input[..input.len().min(2000)];
    tell(&format!(
        "{name}: {what}: \"{}\" ({} bytes, {kept})\n",
        shown.escape_ascii(),
        input.len()
    ));
}

/// Not by a print macro: libtest would keep it to itself when the process ends.
fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static MEMORY: crate::Counting<std::alloc::System> = crate::Counting::new(std::alloc::System);

    #[test]
    fn a_parser_that_panics_is_found() {
        let found = catch_unwind(|| {
            Target::new("itself")
                .run(|input| assert!(!input.starts_with(b"3") || input.len() % 7 != 3));
        });
        assert!(found.is_err());
        let _ = fs::remove_file(env::temp_dir().join("itself.failed"));
    }

    #[test]
    fn a_parser_that_takes_too_much_is_found() {
        let greedy = |bytes: usize| {
            catch_unwind(move || {
                Target::new("itself")
                    .cases(1)
                    .run(|_| drop(std::hint::black_box(vec![1_u8; bytes])))
            })
        };
        assert!(greedy(1 << 20).is_ok());
        assert!(greedy(64 << 20).is_err());
        let _ = fs::remove_file(env::temp_dir().join("itself.failed"));
    }
}
