use super::*;

crate::file::tests::suite!(Uring, |options, helpers| Uring::open(options, Completions::Interrupts, helpers));
