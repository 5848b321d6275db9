//! From nothing to a queue: TCP, ICReq and ICResp, Connect (TCP 1.1, 3.1; Base 2.1, 6.3).

use super::{Failure, Step, TcpLink};
use doorbell_block::Ticks;
use doorbell_sys::socket::{Closed, Stream};
use doorbell_wire_nvme::fabrics::{ConnectAttributes, ConnectData, ConnectResult};
use doorbell_wire_nvme::{Cid, Connect, Cqe, FabricsCommand, NqnField, Sgl, U16, bytes};
use doorbell_wire_nvme_tcp::{Crc32c, Fault, HEADER_ROOM};
use std::io;

/// The identifier of Connect, before which no command is in flight.
const CONNECT: Cid = Cid(0);

impl TcpLink {
    /// Begins with the address that is next in turn, or ends with the last one's failure.
    pub(super) fn dial(&mut self, now: Ticks) {
        loop {
            let Some(&address) = self.spec.addresses.get(self.at) else { return };
            self.peer = address;
            // Those that follow get their share of the time that is left.
            let left = self.deadline.since(now) / (self.spec.addresses.len() - self.at) as u64;
            self.next_address = now.after(left);
            match Stream::connect_from(self.spec.source, address).and_then(|stream| self.prepare(stream)) {
                Ok(()) => {
                    self.step = Step::Dialing;
                    return;
                }
                Err(error) if self.is_last() => return self.fail(Failure::of_dial(address, &error)),
                Err(_) => self.at += 1,
            }
        }
    }

    fn prepare(&mut self, stream: Stream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if self.spec.priority != 0 {
            stream.set_priority(self.spec.priority)?;
        }
        self.watch(&stream);
        self.stream = Some(stream);
        Ok(())
    }

    fn is_last(&self) -> bool {
        self.at + 1 >= self.spec.addresses.len()
    }

    /// Looks what has become of connecting.
    #[cold]
    pub(super) fn go_on(&mut self, now: Ticks) {
        let step = match self.step {
            Step::Dialing => return self.dialed(now),
            Step::Greeting => "it took the connection and does not answer the ICReq",
            Step::Joining => "it does not answer the Connect",
            Step::Ready { .. } | Step::Over => return,
        };
        if now >= self.deadline {
            self.fail(Failure::TimedOut { address: self.peer, step });
        }
    }

    fn dialed(&mut self, now: Ticks) {
        let Some(stream) = &self.stream else { return };
        let failure = match stream.connected() {
            Ok(true) => return self.greet(),
            Ok(false) if now < self.next_address => return,
            Ok(false) => Failure::TimedOut { address: self.peer, step: "it takes no connection" },
            Err(error) => Failure::of_dial(self.peer, &error),
        };
        if self.is_last() {
            return self.fail(failure);
        }
        self.stream = None;
        self.at += 1;
        self.dial(now);
    }

    /// TCP is connected.
    pub(super) fn greet(&mut self) {
        self.step = Step::Greeting;
        let codec = &self.codec;
        self.tx.head(HEADER_ROOM, |out| codec.write_ic_req(out));
        self.flush();
    }

    /// The ICResp has come.
    pub(super) fn greeted(&mut self) {
        let (offer, agreed) = (self.spec.offer, *self.codec.agreed());
        let missing = match () {
            () if offer.header_digest && !agreed.header_digest => Some("header"),
            () if offer.data_digest && !agreed.data_digest => Some("data"),
            () => None,
        };
        if let Some(which) = missing {
            return self.fail(Failure::NoDigest { address: self.peer, which });
        }
        self.step = Step::Joining;
        let spec = &self.spec;
        let data = ConnectData {
            hostid: spec.host.id,
            cntlid: U16::new(spec.cntlid),
            subnqn: NqnField::new(&spec.subsystem),
            hostnqn: NqnField::new(&spec.host.nqn),
            reserved18: [0; 238],
            reserved768: [0; 256],
        };
        let cattr = ConnectAttributes::new().with_disable_sqfc(!spec.flow_control);
        let command = Connect { recfmt: 0, qid: spec.qid, sqsize: spec.depth, cattr, kato_ms: spec.keep_alive_ms };
        let data = bytes(&data);
        let len = data.len() as u32;
        let sqe = FabricsCommand::Connect(command).encode().with_cid(CONNECT).with_sgl(Sgl::Offset { offset: 0, len });
        let codec = &self.codec;
        self.tx.head(HEADER_ROOM, |out| codec.write_capsule_cmd(out, &sqe, len));
        self.tx.bytes(data);
        if agreed.data_digest {
            self.tx.bytes(&Crc32c::of(data).to_le_bytes());
        }
        self.flush();
    }

    /// The answer to Connect has come.
    pub(super) fn joined(&mut self, cqe: &Cqe) -> Result<(), Fault> {
        if cqe.cid() != CONNECT {
            return Err(Fault::field(8 + 12));
        }
        let result = cqe.dw0.get();
        if !cqe.status().is_ok() {
            self.fail(Failure::of_connect(self.peer, &self.spec, cqe.status(), result));
            return Ok(());
        }
        let result = ConnectResult::from_bits(result);
        if result.authentication() || result.secure_channel() {
            self.fail(Failure::Authentication { address: self.peer, subsystem: self.spec.subsystem.clone() });
            return Ok(());
        }
        if self.spec.qid != 0 && result.cntlid() != self.spec.cntlid {
            let why = format!("queue {} of controller {} was given to controller {}", self.spec.qid, self.spec.cntlid, result.cntlid());
            self.fail(Failure::Protocol { address: self.peer, why });
            return Ok(());
        }
        // Connect itself is the first entry of the submission queue.
        self.advance_tail();
        self.note_head(cqe.sqhd.get());
        self.step = Step::Ready { cntlid: result.cntlid() };
        Ok(())
    }

    /// The peer has closed.
    #[cold]
    pub(super) fn lost(&mut self, how: Closed) {
        let address = self.peer;
        self.fail(match self.step {
            Step::Dialing | Step::Greeting => Failure::of_early_end(address, false, how),
            Step::Joining => Failure::of_early_end(address, true, how),
            Step::Ready { .. } | Step::Over => Failure::Lost { address, why: how.to_string() },
        });
    }
}
