//! A way to a target that can fall silent or break, whatever the two ends do: bytes are passed on in both directions until it is told
//! otherwise. Connections that come later are passed on as if nothing had been.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    /// Both ends of every connection so far.
    ends: Vec<[TcpStream; 2]>,
    /// Of connections before this one nothing is passed on any more.
    silent_before: usize,
    over: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way. It is gone when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// A way to a port of this machine.
    pub(crate) fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", target))) else { continue };
                let mut state = accepting.lock();
                if state.over {
                    return;
                }
                let number = state.ends.len();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to, shared) = (from.try_clone().unwrap(), to.try_clone().unwrap(), accepting.clone());
                    std::thread::spawn(move || pass_on(number, from, to, &shared));
                }
                state.ends.push([near, far]);
            }
        });
        Proxy { port, shared }
    }

    /// Where it is entered.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().ends.len()
    }

    /// Nothing goes through the connections that there are any more, and neither end hears of it.
    pub(crate) fn fall_silent(&self) {
        let mut state = self.shared.lock();
        state.silent_before = state.ends.len();
    }

    /// The connections that there are break.
    pub(crate) fn break_off(&self) {
        for end in self.shared.lock().ends.iter().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.break_off();
        self.shared.changed.notify_all();
        // Who accepts looks once more.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass_on(number: usize, mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n) = from.read(&mut buffer) {
        let silent = |state: &State| number < state.silent_before && !state.over;
        if silent(&shared.lock()) {
            // What came is lost, and its connection stays as it is.
            drop(shared.changed.wait_while(shared.lock(), |state| silent(state)));
            return;
        }
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
