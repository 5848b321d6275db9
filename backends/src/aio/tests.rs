use super::*;

crate::file::tests::suite!(Aio, Aio::open);
