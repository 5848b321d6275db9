use super::*;
use crate::file::tests::{Backend, suite};

impl Backend for Aio {
    fn make(options: &FileOptions, helpers: &Helpers) -> Result<Aio, FileError> {
        Aio::open(options, helpers)
    }

    fn look_again(&self) -> bool {
        self.rescan().unwrap()
    }
}

suite!(Aio);
