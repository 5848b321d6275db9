//! A process with one method of its own, served to any JSON-RPC client:
//!
//! ```text
//! cargo run -p doorbell-rpc --example own_method -- /tmp/own.sock &
//! echo '{"method": "doorbell_add", "id": 1, "params": {"a": 40}}' | socat - UNIX:/tmp/own.sock
//! ```

use doorbell_control::{Control, Methods, Options, RpcError, When, params};
use doorbell_reactor::{Config, Local, run};
use doorbell_rpc::{Socket, serve};
use std::path::PathBuf;
use std::rc::Rc;

params! {
    /// Of `doorbell_add`.
    struct Add {
        /// One number.
        a: u32,
        /// Another one.
        b: u32 = 2,
    }
}

async fn add(p: Add) -> Result<u32, RpcError> {
    p.a.checked_add(p.b).ok_or_else(|| RpcError::errno(34).because("the sum exceeds 32 bits"))
}

fn methods(methods: &mut Methods) {
    methods.add("doorbell_add", When::Any, "Adds two numbers.", add);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).map(PathBuf::from);
    let socket = Socket::open(path.as_deref())?;
    println!("serving {}", socket.path().display());
    let control = Control::new(Options::default());
    control.add_methods(methods)?;
    let main = |local: Local| async move { serve(local, control, Rc::new(socket)).await };
    let (error, _) = run(&Config::default(), main)?;
    Err(error.into())
}
