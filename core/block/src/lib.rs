//! The vocabulary of block I/O: requests, queues, devices and one turn of a reactor.
#![forbid(unsafe_code)]
