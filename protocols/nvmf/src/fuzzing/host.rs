//! A host on the other end of pipes: says what it is told to, right or wrong, and reads what comes.

use super::world::{NQN, Pipe, World};
use doorbell_wire_nvme::fabrics::{CNTLID_DYNAMIC, ConnectAttributes, ConnectData, ConnectResult};
use doorbell_wire_nvme::register::{Cc, Property};
use doorbell_wire_nvme::{Cid, Connect, FabricsCommand, NqnField, PropertySet, Sgl, Sqe, Status, U16, bytes};
use doorbell_wire_nvme_tcp::{Connection, DIGEST_LEN, Decoded, Fault, H2cData, HEADER_ROOM, HostOffer, Pdu, R2t};
use std::collections::VecDeque;

/// The host's name.
pub(crate) const HOST_NQN: &str = "nqn.2026-11.io.doorbell:host";

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) cid: Cid,
    pub(crate) status: Status,
    pub(crate) result: u64,
    pub(crate) data: Vec<u8>,
}

/// One connection of a host.
pub(crate) struct End {
    pub(crate) pipe: Pipe,
    codec: Connection,
    received: Vec<u8>,
    data: Vec<(Cid, Vec<u8>)>,
    pub(crate) answers: VecDeque<Answer>,
    pub(crate) asked: VecDeque<R2t>,
    pub(crate) ended: Option<Fault>,
    /// Reads that ended without a completion.
    pub(crate) successes: u32,
}

/// A host: an admin queue and one I/O queue.
pub(crate) struct Host {
    pub(crate) admin: End,
    pub(crate) io: Option<End>,
    offer: HostOffer,
    pub(crate) cntlid: u16,
    next_cid: u16,
    /// What I/O queues ask for when they connect.
    pub(crate) attributes: ConnectAttributes,
}

impl End {
    fn new(world: &mut World, offer: HostOffer) -> End {
        End {
            pipe: world.open(),
            codec: Connection::host(offer),
            received: Vec::new(),
            data: Vec::new(),
            answers: VecDeque::new(),
            asked: VecDeque::new(),
            ended: None,
            successes: 0,
        }
    }

    pub(crate) fn send(&self, bytes: &[u8]) {
        self.pipe.0.borrow_mut().to_target.extend(bytes);
    }

    /// Has the target closed it?
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.pipe.0.borrow().finished
    }

    fn handshake(&mut self, world: &mut World) {
        let mut room = [0; HEADER_ROOM];
        if let Some(n) = self.codec.write_ic_req(&mut room) {
            self.send(room.get(..n).unwrap_or_default());
        }
        world.settle();
        self.read();
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        if self.codec.agreed().data_digest { doorbell_wire_nvme_tcp::Crc32c::of(data).to_le_bytes().to_vec() } else { Vec::new() }
    }

    /// Sends a command with data in its capsule.
    pub(crate) fn capsule(&self, sqe: &Sqe, data: &[u8]) {
        let mut room = [0; HEADER_ROOM];
        let len = u32::try_from(data.len()).unwrap_or(0);
        if let Some(n) = self.codec.write_capsule_cmd(&mut room, sqe, len) {
            self.send(room.get(..n).unwrap_or_default());
            self.send(data);
            if !data.is_empty() {
                self.send(&self.digest(data));
            }
        }
    }

    /// Sends data that was, or was not, asked for.
    pub(crate) fn h2c(&self, part: &H2cData, data: &[u8]) {
        let mut room = [0; HEADER_ROOM];
        if let Some(n) = self.codec.write_h2c_data(&mut room, part) {
            self.send(room.get(..n).unwrap_or_default());
            self.send(data);
            self.send(&self.digest(data));
        }
    }

    /// Reads what came.
    pub(crate) fn read(&mut self) {
        {
            let mut pipe = self.pipe.0.borrow_mut();
            self.received.extend(pipe.to_host.drain(..));
        }
        loop {
            let bytes = std::mem::take(&mut self.received);
            let used = self.one(&bytes).unwrap_or(0);
            self.received = bytes.get(used..).unwrap_or_default().to_vec();
            if used == 0 {
                return;
            }
        }
    }

    fn one(&mut self, bytes: &[u8]) -> Option<usize> {
        let Ok(Decoded::Pdu(frame)) = self.codec.decode(bytes) else { return None };
        let data = bytes.get(frame.data_offset..frame.data_offset + frame.data_len as usize)?;
        if frame.data_digest_len == DIGEST_LEN {
            let digest = bytes.get(frame.data_offset + data.len()..)?.first_chunk::<4>()?;
            assert_eq!(u32::from_le_bytes(*digest), doorbell_wire_nvme_tcp::Crc32c::of(data), "the target's data digest is wrong");
        }
        match frame.pdu {
            Pdu::CapsuleResp(cqe) => {
                let at = self.data.iter().position(|(cid, _)| *cid == cqe.cid());
                let data = at.map(|at| self.data.remove(at).1).unwrap_or_default();
                self.answers.push_back(Answer { cid: cqe.cid(), status: cqe.status(), result: cqe.result(), data });
            }
            Pdu::C2hData(part) => {
                if part.success {
                    self.successes += 1;
                    self.answers.push_back(Answer { cid: part.cccid, status: Status::SUCCESS, result: 0, data: data.to_vec() });
                } else {
                    self.data.push((part.cccid, data.to_vec()));
                }
            }
            Pdu::R2t(r2t) => self.asked.push_back(r2t),
            Pdu::TermReq(fault) => self.ended = Some(fault),
            _ => {}
        }
        Some(frame.len())
    }

    /// Sends a command, and its data as it is asked for, and waits for the answer.
    pub(crate) fn command(&mut self, world: &mut World, sqe: &Sqe, data: &[u8]) -> Option<Answer> {
        let in_capsule = matches!(sqe.sgl(), Sgl::Offset { .. });
        self.capsule(sqe, if in_capsule { data } else { &[] });
        for _ in 0..64 {
            world.settle();
            self.read();
            while let Some(r2t) = self.asked.pop_front() {
                for part in r2t.answers(self.codec.agreed().max_h2c_data) {
                    let (from, to) = (part.offset as usize, (part.offset + part.len) as usize);
                    self.h2c(&part, data.get(from..to)?);
                }
            }
            if let Some(at) = self.answers.iter().position(|a| a.cid == sqe.cid()) {
                return self.answers.remove(at);
            }
        }
        None
    }
}

impl Host {
    pub(crate) fn new(world: &mut World, offer: HostOffer) -> Host {
        Host { admin: End::new(world, offer), io: None, offer, cntlid: CNTLID_DYNAMIC, next_cid: 0, attributes: ConnectAttributes::new() }
    }

    pub(crate) fn cid(&mut self) -> Cid {
        self.next_cid = (self.next_cid + 1) & 0x3fff;
        Cid(self.next_cid)
    }

    pub(crate) fn handshake(&mut self, world: &mut World) {
        self.admin.handshake(world);
    }

    /// The data of a Connect.
    #[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
    pub(crate) fn connect_data(&self, nqn: &str) -> ConnectData {
        let mut data = ConnectData::default();
        data.hostid = [7; 16];
        data.cntlid = U16::new(self.cntlid);
        data.subnqn = NqnField::new(nqn);
        data.hostnqn = NqnField::new(HOST_NQN);
        data
    }

    /// Connects the admin queue.
    pub(crate) fn connect_admin(&mut self, world: &mut World, nqn: &str, kato_ms: u32) -> Option<Answer> {
        let command = Connect { qid: 0, sqsize: 31, kato_ms, ..Connect::default() };
        let data = self.connect_data(nqn);
        let answer = self.fabrics(world, FabricsCommand::Connect(command), bytes(&data))?;
        if answer.status.is_ok() {
            self.cntlid = ConnectResult::from_bits(u32::try_from(answer.result & 0xffff_ffff).ok()?).cntlid();
        }
        Some(answer)
    }

    /// A fabrics command on the admin queue.
    pub(crate) fn fabrics(&mut self, world: &mut World, command: FabricsCommand, data: &[u8]) -> Option<Answer> {
        let len = u32::try_from(data.len()).ok()?;
        let sqe = command.encode().with_cid(self.cid());
        let sqe = if len > 0 { sqe.with_sgl(Sgl::Offset { offset: 0, len }) } else { sqe };
        self.admin.command(world, &sqe, data)
    }

    /// Enables the controller.
    pub(crate) fn enable(&mut self, world: &mut World) -> Option<Answer> {
        let cc = Cc::new().with_en(true).with_iosqes(6).with_iocqes(4);
        self.set_cc(world, cc)
    }

    pub(crate) fn set_cc(&mut self, world: &mut World, cc: Cc) -> Option<Answer> {
        let set = PropertySet { len: Some(4), property: Property::CC, value: cc.into_bits().into() };
        self.fabrics(world, FabricsCommand::PropertySet(set), &[])
    }

    /// Connects an I/O queue.
    pub(crate) fn connect_io(&mut self, world: &mut World, qid: u16) -> Option<(End, Answer)> {
        let mut end = End::new(world, self.offer);
        end.handshake(world);
        let command = Connect { qid, sqsize: 31, cattr: self.attributes, ..Connect::default() };
        let data = self.connect_data(NQN);
        let sqe = FabricsCommand::Connect(command).encode().with_cid(self.cid()).with_sgl(Sgl::Offset { offset: 0, len: 1024 });
        let answer = end.command(world, &sqe, bytes(&data))?;
        Some((end, answer))
    }

    /// Everything that is needed for I/O. True if it went well.
    pub(crate) fn connect_all(&mut self, world: &mut World) -> bool {
        if self.admin.codec.phase() == doorbell_wire_nvme_tcp::Phase::Handshake {
            self.handshake(world);
        }
        let admin = self.connect_admin(world, NQN, 0).is_some_and(|a| a.status.is_ok());
        let enabled = self.enable(world).is_some_and(|a| a.status.is_ok());
        let Some((end, answer)) = self.connect_io(world, 1) else { return false };
        self.io = Some(end);
        admin && enabled && answer.status.is_ok()
    }

    /// A command on the I/O queue.
    pub(crate) fn io(&mut self, world: &mut World, sqe: &Sqe, data: &[u8]) -> Option<Answer> {
        let sqe = sqe.with_cid(self.cid());
        self.io.as_mut()?.command(world, &sqe, data)
    }

    /// A command on the admin queue.
    #[cfg(test)]
    pub(crate) fn admin(&mut self, world: &mut World, sqe: &Sqe) -> Option<Answer> {
        let sqe = sqe.with_cid(self.cid());
        self.admin.command(world, &sqe, &[])
    }

    fn end(&mut self, io: bool) -> &mut End {
        match &mut self.io {
            Some(end) if io => end,
            _ => &mut self.admin,
        }
    }

    pub(crate) fn raw(&mut self, io: bool, bytes: &[u8]) {
        self.end(io).send(bytes);
    }

    pub(crate) fn capsule(&mut self, io: bool, sqe: &Sqe, data: &[u8]) {
        self.end(io).capsule(sqe, data);
    }

    pub(crate) fn h2c(&mut self, io: bool, part: &H2cData) {
        self.end(io).h2c(part, &vec![0x5a; part.len as usize]);
    }

    pub(crate) fn read(&mut self, io: bool) {
        self.end(io).read();
    }

    /// Closes its connections.
    pub(crate) fn hang_up(&mut self) {
        self.admin.pipe.0.borrow_mut().hung_up = true;
        if let Some(io) = &self.io {
            io.pipe.0.borrow_mut().hung_up = true;
        }
    }
}
