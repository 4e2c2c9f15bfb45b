//! What an evaluation may use, so that no expression hangs or exhausts its
//! host (house rule 10).

use crate::error::Error;

/// The limits of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Elements that lists and maps may get, as the reference counts them.
    pub memory: u64,
    /// Nodes that may be evaluated.
    pub steps: u64,
    /// Bytes of text that may be made.
    pub text: u64,
}

impl Default for Budget {
    /// One million elements (the reference's), twenty million steps, 64 MiB
    /// of text.
    fn default() -> Self {
        Self { memory: 1_000_000, steps: 20_000_000, text: 64 << 20 }
    }
}

impl Budget {
    pub(crate) fn step(&mut self) -> Result<(), Error> {
        match self.steps.checked_sub(1) {
            Some(rest) => {
                self.steps = rest;
                Ok(())
            }
            None => Err(Error::budget(
                "step budget exceeded: the expression walks over too many elements",
            )),
        }
    }

    /// Takes room for `count` elements.
    pub(crate) fn grow(&mut self, count: usize) -> Result<(), Error> {
        match self.memory.checked_sub(count as u64) {
            Some(rest) if rest > 0 => {
                self.memory = rest;
                Ok(())
            }
            _ => Err(Error::budget("memory budget exceeded")),
        }
    }

    /// Takes room for `bytes` of text.
    pub(crate) fn write(&mut self, bytes: usize) -> Result<(), Error> {
        match self.text.checked_sub(bytes as u64) {
            Some(rest) => {
                self.text = rest;
                Ok(())
            }
            None => Err(Error::budget("memory budget exceeded: too much text")),
        }
    }
}
