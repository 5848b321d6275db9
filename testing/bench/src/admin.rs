//! As much of a host as it takes to ask a target something and sleep until the answer comes: one connection with an admin queue.

use doorbell_wire_nvme::fabrics::{CNTLID_DYNAMIC, ConnectData};
use doorbell_wire_nvme::register::Property;
use doorbell_wire_nvme::{Cid, Connect, FabricsCommand, NqnField, PropertyGet, Sgl, U16, bytes};
use doorbell_wire_nvme_tcp::{Connection, Decoded, HEADER_ROOM, HostOffer, Pdu};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the target may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
pub(crate) struct Admin {
    stream: TcpStream,
    codec: Connection,
    cid: u16,
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Admin {
    /// Connects and shakes hands (ICReq, ICResp).
    pub(crate) fn open(address: SocketAddr) -> Result<Admin, String> {
        let stream = TcpStream::connect(address).map_err(told)?;
        stream.set_nodelay(true).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let mut admin = Admin { stream, codec: Connection::host(HostOffer::default()), cid: 0 };
        let mut room = [0; HEADER_ROOM];
        let len = admin.codec.write_ic_req(&mut room).unwrap_or(0);
        admin.stream.write_all(&room[..len]).map_err(told)?;
        admin.answer()?;
        Ok(admin)
    }

    /// Connects the admin queue of the subsystem `nqn`, without keep-alive.
    #[allow(clippy::field_reassign_with_default)] // Wire structures have private reserved fields.
    pub(crate) fn connect(&mut self, nqn: &str) -> Result<(), String> {
        let mut data = ConnectData::default();
        data.hostid = *b"doorbell bench 1";
        data.cntlid = U16::new(CNTLID_DYNAMIC);
        data.subnqn = NqnField::new(nqn);
        data.hostnqn = NqnField::new("nqn.2026-11.io.doorbell:bench-host");
        let command = FabricsCommand::Connect(Connect { qid: 0, sqsize: 31, ..Connect::default() });
        self.command(command, bytes(&data)).map(drop)
    }

    /// Asks for the controller's status: the smallest question there is.
    pub(crate) fn status(&mut self) -> Result<u64, String> {
        self.command(FabricsCommand::PropertyGet(PropertyGet { len: Some(4), property: Property::CSTS }), &[])
    }

    fn command(&mut self, command: FabricsCommand, data: &[u8]) -> Result<u64, String> {
        self.cid = (self.cid + 1) & 0x3fff;
        let len = u32::try_from(data.len()).map_err(told)?;
        let mut sqe = command.encode().with_cid(Cid(self.cid));
        if len > 0 {
            sqe = sqe.with_sgl(Sgl::Offset { offset: 0, len });
        }
        let mut capsule = vec![0; HEADER_ROOM];
        let head = self.codec.write_capsule_cmd(&mut capsule, &sqe, len).ok_or("a capsule that cannot be written")?;
        capsule.truncate(head);
        capsule.extend_from_slice(data);
        self.stream.write_all(&capsule).map_err(told)?;
        self.answer()
    }

    /// Reads one PDU: an ICResp, or a completion, whose result it gives.
    fn answer(&mut self) -> Result<u64, String> {
        let mut got = [0; HEADER_ROOM];
        let mut len = 0;
        loop {
            match self.codec.decode(&got[..len]) {
                Ok(Decoded::Pdu(frame)) => {
                    return match frame.pdu {
                        Pdu::IcResp(_) => Ok(0),
                        Pdu::CapsuleResp(cqe) if cqe.status().is_ok() => Ok(cqe.result()),
                        other => Err(format!("the target answered {other:?}")),
                    };
                }
                Ok(Decoded::Need(_)) => {}
                Err(violation) => return Err(format!("the target broke the protocol: {violation:?}")),
            }
            match self.stream.read(got.get_mut(len..).unwrap_or_default()).map_err(told)? {
                0 => return Err("the target hung up".to_owned()),
                more => len += more,
            }
        }
    }
}
