//! Serves sessions over a Unix socket, on one thread's local executor.
//!
//! Each connection has a task that reads and one that writes, and each call is a task of its own: a call that takes long
//! holds up nobody, a client that reads nothing holds only its own buffers, and one that breaks the protocol ends alone.

use crate::limits::{CONNECTIONS_MAX, READ_BYTES};
use crate::session::{Call, Session};
use crate::socket::Socket;
use doorbell_control::{Control, LocalFuture};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long to leave new connections alone when the process has no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// What the server needs of a thread's executor. Its tasks stay on that thread.
pub trait Executor: Clone + 'static {
    /// A descriptor whose readiness the executor follows.
    type Watched: Watched;
    /// Runs a task.
    fn spawn(&self, task: LocalFuture<()>);
    /// Follows a non-blocking descriptor.
    fn watch(&self, fd: OwnedFd, what: Readiness) -> impl Future<Output = io::Result<Self::Watched>>;
    /// Until some time has passed.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

/// What a task waits for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// That there is something to read, or to accept.
    Read,
    /// That there is room to write.
    Write,
}

/// A descriptor whose readiness is followed.
pub trait Watched {
    /// Tries until it neither would block nor is interrupted.
    fn retry<T>(&self, attempt: impl FnMut(BorrowedFd<'_>) -> io::Result<T>) -> impl Future<Output = io::Result<T>>;
}

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
pub async fn serve<E: Executor>(executor: E, control: Control, socket: Rc<Socket>) -> io::Error {
    let listener = match socket.listener().try_clone() {
        Ok(fd) => executor.watch(fd, Readiness::Read).await,
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
                if let Err(error) = start(&executor, &control, stream, &slots) {
                    control.notice(&format!("RPC: a connection could not be served: {error}"));
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                control.notice(&format!("RPC: no connection can be accepted: {error}"));
                executor.sleep(PAUSE).await;
            }
        }
    }
}

fn start<E: Executor>(executor: &E, control: &Control, reading: OwnedFd, slots: &Rc<Slots>) -> io::Result<()> {
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
    executor.spawn(Box::pin(read(executor.clone(), control.clone(), Rc::clone(&connection), reading)));
    executor.spawn(Box::pin(write(executor.clone(), connection, writing)));
    Ok(())
}

/// Reads and starts calls until the client has said its last word and the last answer is sent.
async fn read<E: Executor>(executor: E, control: Control, connection: Rc<Connection>, stream: OwnedFd) {
    if let Ok(stream) = executor.watch(stream, Readiness::Read).await {
        let mut buffer = vec![0; READ_BYTES];
        let mut client_done = false;
        while !connection.ended.get() {
            start_calls(&executor, &control, &connection);
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
                Ok(count) => connection.session.borrow_mut().receive(&buffer[..count]),
                Err(_) => break,
            }
        }
    }
    connection.ended.set(true);
    connection.output.tell();
}

fn start_calls<E: Executor>(executor: &E, control: &Control, connection: &Rc<Connection>) {
    loop {
        let Some(call) = connection.session.borrow_mut().next_call() else { break };
        executor.spawn(Box::pin(run(control.clone(), Rc::clone(connection), call)));
    }
    connection.output.tell();
}

async fn run(control: Control, connection: Rc<Connection>, call: Call) {
    let answer = control.call(&call.method, call.params).await;
    connection.session.borrow_mut().answer(call.ticket, &answer);
    connection.output.tell();
    connection.progress.tell();
}

/// Sends what there is until nothing more can come, then closes.
async fn write<E: Executor>(executor: E, connection: Rc<Connection>, stream: OwnedFd) {
    let closing = stream.try_clone();
    if let Ok(stream) = executor.watch(stream, Readiness::Write).await {
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
