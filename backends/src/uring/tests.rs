use super::*;
use crate::file::tests::{Backend, suite};

impl Backend for Uring {
    fn make(options: &FileOptions, helpers: &Helpers) -> Result<Uring, FileError> {
        Uring::open(options, Completions::Interrupts, helpers)
    }

    fn look_again(&self) -> bool {
        self.rescan().unwrap()
    }
}

suite!(Uring);
