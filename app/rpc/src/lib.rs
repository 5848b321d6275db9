//! JSON-RPC: framing, states, server, save and load.
#![forbid(unsafe_code)]
