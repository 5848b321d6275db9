//! One queue over TCP by itself, driven by the thread that has it: what tools, probes and tests need.
//!
//! What it is not: it brings up no controller by the rules of time, retries nothing and shares nothing; serving goes through a controller's
//! queue pairs. It sleeps while it waits, with a limit.

use crate::link::tcp::{Failure, Progress, TcpLink, TcpSpec};
use crate::link::{Completed, Flight, Link, OwnerId};
use doorbell_block::{Io, Ticks};
use doorbell_mem::{Pool, SgList};
use doorbell_sys::clock::MonotonicClock;
use doorbell_sys::epoll::{Interest, Mode, Poller};
use doorbell_sys::socket::Stream;
use doorbell_wire_nvme::fabrics::CNTLID_DYNAMIC;
use doorbell_wire_nvme::register::{Cc, Csts, Property};
use doorbell_wire_nvme::{AdminCommand, Cqe, FabricsCommand, Identify, PropertyGet, PropertySet, Sqe};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE_NS: u64 = 20_000_000_000;

/// A command that is over.
pub struct Ended {
    /// As it was given.
    pub tag: u64,
    /// The controller's answer.
    pub cqe: Cqe,
    /// The command's payload.
    pub payload: SgList,
}

/// What ended a session's command without an answer, or with a bad one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// There is no connection.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The controller refused the command.
    #[error("{what} failed: {status}")]
    Status {
        /// Which command.
        what: &'static str,
        /// The controller's answer.
        status: doorbell_wire_nvme::Status,
    },
    /// The command cannot be sent over TCP, or too many are on their way.
    #[error("the command cannot be sent over TCP: metadata apart from its data, data both ways, or a full queue")]
    NotSent,
    /// No answer has come.
    #[error("the controller does not answer")]
    Silent,
    /// An answer is not what was asked for.
    #[error("the controller's answer makes no sense: {0}")]
    Nonsense(&'static str),
}

/// A connected queue.
pub struct Session {
    link: TcpLink,
    clock: MonotonicClock,
    poller: Poller,
    pool: Pool,
    boxes: Vec<Box<Io>>,
    done: Vec<Completed>,
    cntlid: u16,
}

/// Bytes of a buffer of a session's own.
const BUFFER: u32 = 8192;

impl Session {
    /// Connects the queue that `spec` describes, and waits until it is usable.
    pub fn connect(spec: TcpSpec) -> Result<Session, Failure> {
        let now = Ticks(MonotonicClock.now());
        Session::wait_ready(TcpLink::begin(now, spec)?)
    }

    /// The same on a connection that exists already.
    pub fn over(stream: Stream, spec: TcpSpec) -> Result<Session, Failure> {
        let now = Ticks(MonotonicClock.now());
        Session::wait_ready(TcpLink::over(now, spec, stream)?)
    }

    fn wait_ready(link: TcpLink) -> Result<Session, Failure> {
        let local = |e: std::io::Error| Failure::Local { address: link.peer(), why: e.to_string() };
        let poller = Poller::new().map_err(local)?;
        if let Some(fd) = link.descriptor() {
            poller.add(fd, 0, Interest::READ, Mode::Level).map_err(local)?;
        }
        let pool = Pool::small(BUFFER, 4);
        let mut session =
            Session { link, clock: MonotonicClock, poller, pool, boxes: Vec::new(), done: Vec::new(), cntlid: CNTLID_DYNAMIC };
        loop {
            // A failure is told by what follows.
            let _ = session.reap();
            match session.link.progress() {
                Progress::Ready { cntlid } => {
                    session.cntlid = cntlid;
                    return Ok(session);
                }
                Progress::Failed(failure) => return Err(failure),
                Progress::Connecting => session.sleep(session.link.deadline()),
            }
        }
    }

    fn now(&self) -> Ticks {
        Ticks(self.clock.now())
    }

    fn reap(&mut self) -> Result<(), Failure> {
        let now = self.now();
        match (self.link.reap(now, u32::MAX, &mut self.done), self.link.progress()) {
            (Err(_), Progress::Failed(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Until there is something to reap, or this time has come.
    fn sleep(&mut self, until: Option<Ticks>) {
        if self.link.arm() == doorbell_block::Armed::Armed {
            let left = until.map_or(PATIENCE_NS, |until| until.since(self.now()));
            // Whatever ends the wait, the caller looks.
            let _ = self.poller.wait(Some(Duration::from_nanos(left)));
        }
        self.link.disarm();
    }

    /// The controller that the queue belongs to.
    pub fn cntlid(&self) -> u16 {
        self.cntlid
    }

    /// Sets the data that fits into a command capsule of an I/O queue, in bytes.
    pub fn set_in_capsule(&mut self, bytes: u32) {
        self.link.set_in_capsule(bytes);
    }

    /// Calls of the system so far that sent, and that received.
    pub fn calls(&self) -> (u64, u64) {
        self.link.calls()
    }

    /// Is there room for one more command?
    pub fn has_room(&self) -> bool {
        self.link.has_room()
    }

    /// How many commands are on their way.
    pub fn in_flight(&self) -> usize {
        self.link.in_flight()
    }

    /// Takes a command and its payload, which comes back with the answer. It is sent by [`Session::poll`].
    pub fn start(&mut self, sqe: &Sqe, payload: SgList, tag: u64) -> Result<(), SessionError> {
        let mut io = self.boxes.pop().unwrap_or_else(|| Io::boxed(1));
        (io.sg, io.tag) = (payload, tag);
        let flight = Flight { io, raw: None, owner: OwnerId { index: 0, generation: 0 }, since: Ticks(0), tries: 0 };
        self.link.submit(flight, sqe).map_err(|_| SessionError::NotSent)
    }

    /// Sends what was started, receives, and gives what has ended. Does not wait.
    pub fn poll(&mut self, mut ended: impl FnMut(Ended)) -> Result<(), Failure> {
        self.link.kick();
        self.reap()?;
        for Completed { flight, cqe } in self.done.drain(..) {
            let mut io = flight.io;
            ended(Ended { tag: io.tag, cqe, payload: std::mem::take(&mut io.sg) });
            io.clean();
            self.boxes.push(io);
        }
        Ok(())
    }

    /// As [`Session::poll`], after waiting until something has come. A controller that answers nothing for long is given up.
    pub fn wait(&mut self, mut ended: impl FnMut(Ended)) -> Result<(), Failure> {
        self.link.kick();
        let (limit, received) = (self.now().after(PATIENCE_NS), self.link.received());
        self.sleep(Some(limit));
        self.poll(&mut ended)?;
        if self.now() >= limit && self.link.received() == received {
            return Err(Failure::TimedOut { address: self.link.peer(), step: "commands were sent, and nothing comes back" });
        }
        Ok(())
    }

    /// One command with at most 8 KiB of data, which is sent or overwritten, and its answer, whatever it says.
    pub fn command(&mut self, sqe: &Sqe, data: &mut [u8]) -> Result<Cqe, SessionError> {
        let mut payload = SgList::default();
        if !data.is_empty() {
            let len = u32::try_from(data.len()).map_err(|_| SessionError::NotSent)?;
            payload.push(self.pool.get(len).ok_or(SessionError::NotSent)?);
            payload.write_at(0, data);
        }
        self.start(sqe, payload, u64::MAX)?;
        let deadline = self.now().after(PATIENCE_NS);
        let mut answer = None;
        while answer.is_none() {
            self.poll(|e| answer = (e.tag == u64::MAX).then_some((e.cqe, e.payload)))?;
            if answer.is_none() && self.now() >= deadline {
                return Err(SessionError::Silent);
            }
            if answer.is_none() {
                self.sleep(Some(deadline));
            }
        }
        let (cqe, payload) = answer.ok_or(SessionError::Silent)?;
        payload.read_at(0, data);
        Ok(cqe)
    }

    /// One command that must succeed; `what` names it.
    pub fn demand(&mut self, what: &'static str, sqe: &Sqe, data: &mut [u8]) -> Result<Cqe, SessionError> {
        let cqe = self.command(sqe, data)?;
        if cqe.status().is_ok() { Ok(cqe) } else { Err(SessionError::Status { what, status: cqe.status() }) }
    }

    /// A property of the controller (admin queue).
    pub fn property(&mut self, property: Property) -> Result<u64, SessionError> {
        let get = PropertyGet { len: property.size(), property };
        Ok(self.demand("Property Get", &FabricsCommand::PropertyGet(get).encode(), &mut [])?.result())
    }

    /// Sets a property of the controller (admin queue).
    pub fn set_property(&mut self, property: Property, value: u64) -> Result<(), SessionError> {
        let set = PropertySet { len: property.size(), property, value };
        self.demand("Property Set", &FabricsCommand::PropertySet(set).encode(), &mut []).map(drop)
    }

    /// Enables the controller and waits until it is ready (admin queue).
    pub fn enable(&mut self) -> Result<(), SessionError> {
        let cc = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);
        self.set_property(Property::CC, cc.into_bits().into())?;
        let deadline = self.now().after(PATIENCE_NS);
        loop {
            let csts = Csts::from_bits(self.property(Property::CSTS)? as u32);
            match () {
                () if csts.cfs() => return Err(SessionError::Nonsense("it says that it has failed fatally")),
                () if csts.rdy() => return Ok(()),
                () if self.now() >= deadline => return Err(SessionError::Silent),
                () => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// An identify page (admin queue).
    pub fn identify(&mut self, identify: Identify, nsid: u32) -> Result<Vec<u8>, SessionError> {
        let mut page = vec![0; doorbell_wire_nvme::PAGE_LEN];
        self.demand("Identify", &AdminCommand::Identify(identify).encode().with_nsid(nsid), &mut page)?;
        Ok(page)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.link.reclaim());
    }
}
