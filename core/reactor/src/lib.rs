//! Reactors: turns, timers, messages, local async and idle sleep.
#![forbid(unsafe_code)]
