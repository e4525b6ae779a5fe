//! Bad input for the parsers of the tools, in their own unit tests: `cargo test bad_input`.
//!
//! ```no_run
//! // A binary's tests count what each case allocates:
//! // #[cfg(test)] #[global_allocator]
//! // static MEMORY: fuzz::Counting<std::alloc::System> = fuzz::Counting::new(std::alloc::System);
//! fuzz::Target::new("mountinfo").run(|input| drop(std::str::from_utf8(input)));
//! ```
//!
//! Each target has a corpus, `fuzz/corpus/NAME/`: true input of the kind, small. A case is one of these changed a few times
//! ([`Mutator`]), and the target is called with it. A case fails when the target
//!
//! | does | bound |
//! |---|---|
//! | panic | never; nor overflow, which the tests' profile checks |
//! | hang | a minute, after which the process ends and the input is on stderr |
//! | allocate | [`Target::bound`] bytes at any time: 4 MiB and 64 for each byte of input, unless the target says otherwise |
//! | leave something in effect | what it calls is given no path that leads anywhere, or looks itself |
//!
//! What failed is printed and kept as `NAME.failed` in the directory for temporary files; once mended, it belongs into the corpus.
//!
//! `make test` runs a bounded number of cases, always the same ones; `CHROOT0_LONG=1` (`make test-long`) a hundred times as many,
//! others each time; `CHROOT0_SEED=N` those of a run that failed.

mod arguments;
mod memory;
mod mutate;
mod target;

pub use arguments::arguments;
pub use memory::Counting;
pub use mutate::Mutator;
pub use target::Target;
