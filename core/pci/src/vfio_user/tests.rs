//! The client against a server made of the other half of the codec.

use crate::{Function, FunctionAddress, Interrupts, OpenOptions, PciError, open, ready};
use doorbell_mem::{Backing, Foreign, Regions};
use doorbell_wire_vfio_user::*;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

/// How the server misbehaves, from the first configuration access on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twist {
    None,
    /// Answers another command.
    WrongId,
    /// Announces an answer of 4 GiB.
    Huge,
    /// Reads less than was asked for.
    Short,
    /// Refuses.
    Refuses,
    /// Closes.
    Leaves,
    /// Wants memory by message before each answer.
    Asks,
}

/// What the server saw.
#[derive(Default)]
struct Seen {
    commands: Vec<Command>,
    events: Vec<(u32, u32, OwnedFd)>,
    memory: Vec<(DmaMap, OwnedFd)>,
    unmapped: Vec<u64>,
    refusals: u32,
}

struct Server {
    stream: UnixStream,
    twist: Twist,
    config: Vec<u8>,
    registers: Vec<u8>,
    doorbells: OwnedFd,
    seen: Seen,
}

/// Who writes here has the server leave at the next access.
const LAST_WORD: u16 = 255;

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder with a socket, and the server behind it for one client.
fn serve(twist: Twist) -> (Folder, JoinHandle<Seen>) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("doorbell-vfu-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = Folder(std::env::temp_dir().join(name));
    std::fs::create_dir_all(&folder.0).unwrap();
    let listener = UnixListener::bind(folder.0.join("cntrl")).unwrap();
    let thread = std::thread::spawn(move || {
        let mut config = vec![0; 256];
        // A capability list: power management at 40h, MSI-X at 84h.
        config[0x34] = 0x40;
        config[0x40..0x42].copy_from_slice(&[1, 0x84]);
        config[0x84] = 0x11;
        config[0x87] = 0x40;
        let doorbells = rustix::fs::memfd_create("doorbells", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&doorbells, 8192).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut registers = vec![0; 4096];
        registers[8..12].copy_from_slice(&0x2_0000u32.to_le_bytes());
        let mut server = Server { stream, twist, config, registers, doorbells, seen: Seen::default() };
        while server.one() {}
        server.seen
    });
    (folder, thread)
}

impl Server {
    fn receive(&mut self) -> Option<(Header, Vec<u8>, Vec<OwnedFd>)> {
        let mut head = [0; Header::LEN];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(&self.stream, &mut [IoSliceMut::new(&mut head)], &mut control, RecvFlags::WAITALL).ok()?;
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                fds.extend(passed);
            }
        }
        if got.bytes < head.len() {
            return None;
        }
        let (header, _) = Header::decode(&head).unwrap();
        let mut body = vec![0; header.body_len(1 << 20).unwrap()];
        self.stream.read_exact(&mut body).ok()?;
        Some((header, body, fds))
    }

    fn send(&mut self, header: Header, body: &[u8], fd: Option<&OwnedFd>) {
        let message = [&header.encode()[..], body].concat();
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        let _ = sendmsg(&self.stream, &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL);
    }

    /// Serves one message. False at the end.
    fn one(&mut self) -> bool {
        let Some((header, body, fds)) = self.receive() else { return false };
        if header.is_reply() {
            self.seen.refusals += u32::from(header.failure() == Some(errno::ENOTSUP));
            return true;
        }
        self.seen.commands.push(header.command);
        let is_config = matches!(header.command, Command::REGION_READ | Command::REGION_WRITE);
        if is_config && self.twisted(header, &body) {
            return self.twist != Twist::Leaves;
        }
        let request = Request::decode(header.command, &body).unwrap();
        let mut fd = None;
        let answer = self.answer(request, fds, &mut fd);
        self.send(header.reply(answer.len()).unwrap(), &answer, fd.as_ref());
        true
    }

    /// Does what the twist is; true when that was instead of an answer.
    fn twisted(&mut self, header: Header, body: &[u8]) -> bool {
        match self.twist {
            Twist::None => false,
            Twist::WrongId => {
                self.send(Header { id: header.id.wrapping_add(1), ..header.reply(body.len()).unwrap() }, body, None);
                true
            }
            Twist::Huge => {
                self.send(Header { size: u32::MAX, ..header.reply(0).unwrap() }, &[], None);
                true
            }
            Twist::Short => {
                let access = RegionAccess { count: 1, ..RegionAccess::decode(body).unwrap() };
                self.send(header.reply(17).unwrap(), &[&access.encode()[..], &[0]].concat(), None);
                true
            }
            Twist::Refuses => {
                self.send(header.error_reply(errno::EPERM), &[], None);
                true
            }
            Twist::Leaves => true,
            Twist::Asks => {
                let asked = DmaAccess { address: 0, count: 64 };
                self.send(Header::request(header.id, Command::DMA_READ, DmaAccess::LEN).unwrap(), &asked.encode(), None);
                false
            }
        }
    }

    fn answer(&mut self, request: Request<'_>, mut fds: Vec<OwnedFd>, fd: &mut Option<OwnedFd>) -> Vec<u8> {
        match request {
            Request::Version(version) => {
                assert!(version.text.is_some_and(|text| text.starts_with(b"{\"capabilities\"")));
                [&Version::ours(b"{}").encode_fixed()[..], b"{}\0"].concat()
            }
            Request::DeviceInfo(_) => {
                let flags = DeviceInfoFlags::RESET.with(DeviceInfoFlags::PCI);
                DeviceInfo { argsz: 16, flags, regions: region::COUNT, irqs: irq::COUNT }.encode().to_vec()
            }
            Request::RegionInfo(asked) => self.region(asked.index, fd),
            Request::IrqInfo(asked) => {
                let count = if asked.index == irq::MSIX { 8 } else { 0 };
                IrqInfo { argsz: 16, flags: IrqInfoFlags::EVENTFD, index: asked.index, count }.encode().to_vec()
            }
            Request::RegionRead(access) => {
                let (at, len) = (access.offset as usize, access.count as usize);
                let from = if access.region == region::CONFIG { &self.config } else { &self.registers };
                [&access.encode()[..], &from[at..at + len]].concat()
            }
            Request::RegionWrite(access, data) => {
                let at = access.offset as usize;
                if (access.region, access.offset) == (region::CONFIG, LAST_WORD.into()) {
                    self.twist = Twist::Leaves;
                }
                let to = if access.region == region::CONFIG { &mut self.config } else { &mut self.registers };
                to[at..at + data.len()].copy_from_slice(data);
                access.encode().to_vec()
            }
            Request::DmaMap(map) => {
                self.seen.memory.push((map, fds.pop().unwrap()));
                Vec::new()
            }
            Request::DmaUnmap(unmap, _) => {
                self.seen.unmapped.push(unmap.address);
                unmap.encode().to_vec()
            }
            Request::SetIrqs(set) => {
                // Vectors fire once the switch in configuration space is thrown.
                assert_eq!(self.config[0x87], 0x80, "MSI-X is on, and not masked");
                if let Some(event) = fds.pop() {
                    rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
                    self.seen.events.push((set.start, set.count, event));
                }
                Vec::new()
            }
            Request::Reset => {
                self.config[0x87] = 0x40;
                Vec::new()
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// BAR 0 has its doorbells in a file; configuration space is 256 bytes.
    fn region(&self, index: u32, fd: &mut Option<OwnedFd>) -> Vec<u8> {
        let both = RegionInfoFlags::READ.with(RegionInfoFlags::WRITE);
        let mut info = RegionInfo { argsz: 32, index, ..Default::default() };
        match index {
            region::BAR0 => {
                let len = sparse_len(1).unwrap();
                let flags = both.with(RegionInfoFlags::MMAP).with(RegionInfoFlags::CAPS);
                info = RegionInfo { argsz: 32 + len as u32, flags, cap_offset: 32, size: 0x4000, ..info };
                *fd = Some(self.doorbells.try_clone().unwrap());
                let mut caps = vec![0; len];
                SparseMmap::encode(&[Area { offset: 0x1000, size: 0x1000 }], &mut caps).unwrap();
                [&info.encode()[..], &caps].concat()
            }
            region::CONFIG => RegionInfo { flags: both, size: 256, ..info }.encode().to_vec(),
            _ => info.encode().to_vec(),
        }
    }
}

fn connect(folder: &Folder) -> Result<Arc<dyn Function>, PciError> {
    open(&FunctionAddress::VfioUser(folder.0.clone()), &OpenOptions::default())
}

#[test]
fn a_served_function_is_like_any_other() {
    let (folder, server) = serve(Twist::None);
    let function = connect(&folder).unwrap();
    assert_eq!((function.interrupts(), function.is_leaving()), (Interrupts::Vectors(8), false));
    let bar = function.bar(0).unwrap();
    assert!(Arc::ptr_eq(&bar, &function.bar(0).unwrap()) && function.bar(1).is_err());
    assert_eq!((bar.read32(8), bar.len()), (0x2_0000, 0x4000));
    bar.write64(0x28, 0x1234);
    assert_eq!(bar.read64(0x28), 0x1234);
    assert!(bar.is_mapped(0x1000, 0x1000) && !bar.is_mapped(0, 4) && bar.read32(0x4000) == u32::MAX);
    bar.doorbell(0x1008).unwrap().ring(77);

    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
    function.set_interrupt(3, Some(event.as_fd())).unwrap();
    assert!(ready(event.as_fd()), "the server wrote to it");
    function.set_interrupt(3, None).unwrap();
    assert!(function.set_interrupt(8, None).is_err());
    function.reset().unwrap();
    function.set_interrupt(0, Some(event.as_fd())).unwrap();

    let regions = Regions::new();
    let domain: Arc<dyn doorbell_mem::RegionObserver> = function.domain().clone();
    let region = regions.map(2 << 20, Backing::Ordinary, None).unwrap();
    Foreign::of(region.clone()).seg(4096, 5).unwrap().write_at(0, b"hello");
    regions.attach(domain.clone()).unwrap();
    function.set_bus_master(true).unwrap();
    regions.detach(&domain);
    drop((bar, function, domain));

    let seen = server.join().unwrap();
    let first = [Command::VERSION, Command::DEVICE_GET_INFO, Command::DEVICE_GET_REGION_INFO];
    assert_eq!(seen.commands[..3], first);
    assert_eq!(seen.events.iter().map(|(start, count, _)| (*start, *count)).collect::<Vec<_>>(), [(3, 1), (0, 1)]);
    let [(map, file)] = seen.memory.as_slice() else { panic!("one region") };
    assert_eq!((map.size, map.flags.0, map.address % (2 << 20), &seen.unmapped), (2 << 20, 3, 0, &vec![map.address]));
    let mut shared = [0; 5];
    rustix::io::pread(file, &mut shared, map.offset + 4096).unwrap();
    assert_eq!(&shared, b"hello");
    assert_eq!(seen.refusals, 0);
}

#[test]
fn a_server_that_breaks_the_rules_is_left() {
    let why = |twist| {
        let (folder, server) = serve(twist);
        let said = connect(&folder).err().expect("it is refused").to_string();
        server.join().unwrap();
        said
    };
    assert!(why(Twist::WrongId).contains("answered something else"));
    assert!(why(Twist::Huge).contains("absurd size"));
    assert!(why(Twist::Short).contains("less than was asked for"));
    assert!(why(Twist::Refuses).contains("Operation not permitted"));
    assert!(why(Twist::Leaves).contains("has gone"));
}

#[test]
fn memory_by_message_is_refused_and_the_answer_still_found() {
    let (folder, server) = serve(Twist::Asks);
    let function = connect(&folder).unwrap();
    assert_eq!(function.bar(0).unwrap().read32(8), 0x2_0000);
    drop(function);
    let seen = server.join().unwrap();
    assert!(seen.refusals >= 3, "{}", seen.refusals);
}

#[test]
fn a_server_that_goes_is_noticed() {
    let (folder, server) = serve(Twist::None);
    let function = connect(&folder).unwrap();
    let bar = function.bar(0).unwrap();
    assert!(!ready(function.leaving().unwrap()));
    assert!(function.config_read(254, &mut [0; 4]).is_err(), "outside of its configuration space");
    function.config_write(LAST_WORD, &[1]).unwrap();
    assert_eq!(bar.read32(8), u32::MAX);
    assert!(ready(function.leaving().unwrap()) && function.is_leaving());
    assert!(matches!(function.config_read(0, &mut [0; 2]), Err(PciError::Gone { .. })));
    bar.doorbell(0x1000).unwrap().ring(1);
    drop(folder);
    let again = connect(&Folder(PathBuf::from("/nonexistent")));
    assert!(again.err().is_some_and(|e| e.to_string().contains("there is no socket")));
    drop((bar, function));
    server.join().unwrap();
}
