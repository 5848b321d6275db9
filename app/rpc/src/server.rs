//! Serves sessions over a Unix socket, on one reactor's local local.
//!
//! Each connection has a task that reads and one that writes, and each call that has to wait is a task of its own: a call that takes long
//! holds up nobody, a client that reads nothing holds only its own buffers, and one that breaks the protocol ends alone.

use crate::limits::{CONNECTIONS_MAX, READ_BYTES};
use crate::session::{Call, Session};
use crate::socket::Socket;
use doorbell_control::{Control, Fault};
use doorbell_reactor::Local;
use doorbell_sys::epoll::Interest;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How long to leave new connections alone when the process has no file descriptors left.
const PAUSE_NS: u64 = 100_000_000;

/// Tells one waiting task that something changed; a signal that comes before the wait is not lost.
#[derive(Default)]
struct Changed {
    changed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Changed {
    fn tell(&self) {
        self.changed.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            if self.changed.replace(false) {
                return Poll::Ready(());
            }
            self.waker.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Lets everything else that is ready run first.
async fn give_way() {
    let mut waited = false;
    poll_fn(|cx| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// How many connections there are. One counts until its last call has ended, so that clients that come, ask and go
/// cannot heap up calls without bound.
#[derive(Default)]
struct Slots {
    used: Cell<usize>,
    freed: Changed,
}

struct Connection {
    session: RefCell<Session>,
    /// For the reader: an answer was given or sent.
    progress: Changed,
    /// For the writer: there is something to send, or nothing more will come.
    output: Changed,
    ended: Cell<bool>,
    slots: Rc<Slots>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.slots.used.set(self.slots.used.get() - 1);
        self.slots.freed.tell();
    }
}

/// Accepts and serves connections until its future is dropped; comes back only if the socket cannot be watched.
pub async fn serve(local: Local, control: Control, socket: Rc<Socket>) -> io::Error {
    let listener = match socket.listener().try_clone() {
        Ok(fd) => local.watch(fd, Interest::READ).await,
        Err(error) => Err(error),
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let slots = Rc::new(Slots::default());
    loop {
        while slots.used.get() >= CONNECTIONS_MAX {
            slots.freed.wait().await;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        match listener.retry(|fd| Ok(accept_with(fd, flags)?)).await {
            Ok(stream) => {
                if let Err(error) = start(&local, &control, stream, &slots) {
                    control.notice(&format!("RPC: a connection could not be served: {error}"));
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                control.notice(&format!("RPC: no connection can be accepted: {error}"));
                local.sleep_ns(PAUSE_NS).await;
            }
        }
    }
}

fn start(local: &Local, control: &Control, reading: OwnedFd, slots: &Rc<Slots>) -> io::Result<()> {
    // A descriptor of its own for writing, so that reader and writer can wait at the same time.
    let writing = reading.try_clone()?;
    slots.used.set(slots.used.get() + 1);
    let connection = Rc::new(Connection {
        session: RefCell::new(Session::new()),
        progress: Changed::default(),
        output: Changed::default(),
        ended: Cell::new(false),
        slots: Rc::clone(slots),
    });
    local.spawn(read(local.clone(), control.clone(), Rc::clone(&connection), reading));
    local.spawn(write(local.clone(), connection, writing));
    Ok(())
}

/// Reads and starts calls until the client has said its last word and the last answer is sent.
async fn read(local: Local, control: Control, connection: Rc<Connection>, stream: OwnedFd) {
    if let Ok(stream) = local.watch(stream, Interest::READ).await {
        let mut buffer = vec![0; READ_BYTES];
        let mut client_done = false;
        while !connection.ended.get() {
            start_calls(&local, &control, &connection).await;
            let (room, over) = {
                let session = connection.session.borrow();
                (session.room(), session.idle() && (client_done || session.broken()))
            };
            if over {
                break;
            }
            if client_done || room == 0 {
                connection.progress.wait().await;
                continue;
            }
            let room = room.min(buffer.len());
            match stream.retry(|fd| Ok(recv(fd, &mut buffer[..room], RecvFlags::empty())?.0)).await {
                Ok(0) => client_done = true,
                Ok(count) => {
                    connection.session.borrow_mut().receive(&buffer[..count]);
                    // A client that sends without end, if only blanks, gets no more than its turn.
                    give_way().await;
                }
                Err(_) => break,
            }
        }
    }
    connection.ended.set(true);
    connection.output.tell();
}

/// Starts what may run, in the order of the requests: what a call does at once is done before the next one begins, so that
/// a batch may create a thing and use it. What has to wait becomes a task of its own.
async fn start_calls(local: &Local, control: &Control, connection: &Rc<Connection>) {
    loop {
        let Some(call) = connection.session.borrow_mut().next_call() else { break };
        let mut call = Box::pin(run(control.clone(), Rc::clone(connection), call));
        if poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await {
            local.spawn(call);
        }
    }
    connection.output.tell();
}

async fn run(control: Control, connection: Rc<Connection>, call: Call) {
    let answer = match call.twice {
        Some(name) => Err(control.refuse(&call.method, &Fault::twice(&name))),
        None => control.call(&call.method, call.params).await,
    };
    connection.session.borrow_mut().answer(call.ticket, &answer);
    connection.output.tell();
    connection.progress.tell();
}

/// Sends what there is until nothing more can come, then closes.
async fn write(local: Local, connection: Rc<Connection>, stream: OwnedFd) {
    let closing = stream.try_clone();
    if let Ok(stream) = local.watch(stream, Interest::WRITE).await {
        loop {
            if connection.session.borrow().output().is_empty() {
                if connection.ended.get() {
                    break;
                }
                connection.output.wait().await;
                continue;
            }
            let sent = stream.retry(|fd| Ok(send(fd, connection.session.borrow().output(), SendFlags::NOSIGNAL)?)).await;
            let Ok(count) = sent else { break };
            connection.session.borrow_mut().sent(count);
            connection.progress.tell();
        }
    }
    connection.ended.set(true);
    connection.progress.tell();
    // The reader, if it still waits for bytes, sees the end.
    if let Ok(stream) = closing {
        let _ = shutdown(stream, Shutdown::Both);
    }
}
