//! What is said on stderr beside errors.

use std::fmt::Display;

use crate::TOOL;
use crate::cli;

/// How much the user wants to hear.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Talk {
    steps: bool,
    quiet: bool,
}

impl From<cli::Talk> for Talk {
    fn from(asked: cli::Talk) -> Self {
        Self {
            steps: asked.verbose > 0 && !asked.quiet,
            quiet: asked.quiet,
        }
    }
}

impl Talk {
    /// A step that was done; with `-v`.
    pub(crate) fn step(self, line: impl FnOnce() -> String) {
        if self.steps {
            record::trace(TOOL, line());
        }
    }

    /// Lines about the steps to come; with `-v`.
    pub(crate) fn steps<E>(self, lines: impl FnOnce() -> Result<Vec<String>, E>) -> Result<(), E> {
        if self.steps {
            lines()?.iter().for_each(|line| record::report(TOOL, line));
        }
        Ok(())
    }

    /// Something the user did not expect and should know; not with `-q`.
    pub(crate) fn note(self, line: impl Display) {
        if !self.quiet {
            record::report(TOOL, line);
        }
    }
}
