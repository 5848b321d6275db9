//! Namespaces with metadata: apart and interleaved, with and without protection information, of every type, with both guards that QEMU has.

use super::*;
use doorbell_block::Io;
use doorbell_mem::Seg;
use doorbell_wire_nvme::protection::{Expected, Layout, Type};

/// What each namespace is formatted with, `pif=2` being the guard of 64 bits.
const FORMATS: [&str; 9] = [
    "logical_block_size=512,ms=8,mset=0,pi=1",
    "logical_block_size=4096,physical_block_size=4096,ms=16,mset=1",
    "logical_block_size=512,ms=64,mset=0",
    "logical_block_size=4096,physical_block_size=4096,ms=8,mset=1,pi=2",
    "logical_block_size=4096,physical_block_size=4096,ms=16,mset=0,pi=1,pil=1",
    "logical_block_size=512,ms=64,mset=1,pi=3",
    "logical_block_size=4096,physical_block_size=4096,ms=16,mset=1,pi=1,pif=2",
    "logical_block_size=4096,physical_block_size=4096,ms=64,mset=0,pi=1,pil=1,pif=2",
    "logical_block_size=512,ms=64,mset=1,pi=2",
];

const APPLICATION: u16 = 0x1234;
const BLOCKS: u32 = 5;

/// Boots a guest with a controller that has a namespace of each format.
fn in_a_formatted_guest(name: &str, by: By) {
    let disks: Vec<String> = (0..FORMATS.len()).map(|n| format!("disk{n}")).collect();
    let namespace = |(n, format): (usize, &&str)| format!("nvme-ns,bus=first,drive=disk{n},nsid={},{format}", n + 1);
    let mut devices = vec!["nvme,id=first,serial=first,mdts=5,max_ioqpairs=4,ioeventfd=off,addr=04.0".to_owned()];
    devices.extend(FORMATS.iter().enumerate().map(namespace));
    let (disks, devices): (Vec<&str>, Vec<&str>) =
        (disks.iter().map(String::as_str).collect(), devices.iter().map(String::as_str).collect());
    in_guest::boot(name, by, &disks, &devices);
}

/// Data and metadata of a few blocks, and how they are asked for.
struct Blocks {
    namespace: Arc<Namespace>,
    queue: AsyncQueue,
    data: Seg,
    meta: Seg,
    size: u32,
    each: u32,
    layout: Option<Layout>,
}

#[derive(Clone, Copy)]
enum With {
    Metadata,
    Nothing,
}

const CHECKS: Flags = Flags::CHECK_GUARD.with(Flags::CHECK_APPLICATION).with(Flags::CHECK_REFERENCE);

impl Blocks {
    async fn new(env: &Env, namespace: Arc<Namespace>) -> Blocks {
        let (size, format) = (namespace.info().block_size(), namespace.described().format);
        let each = u32::from(format.metadata_bytes);
        let queue = AsyncQueue::open(&env.local, namespace.clone(), 4).await.unwrap();
        let data = env.local.with(move |cx| cx.buffer(BLOCKS * size).unwrap()).await;
        let meta = env.local.with(move |cx| cx.buffer(BLOCKS * each).unwrap()).await;
        Blocks { namespace, queue, data, meta, size, each, layout: format.layout }
    }

    /// Fills them with what `seed` says, the information that protects the blocks from `lba` included.
    fn fill(&self, seed: u8, lba: u64) -> (Vec<u8>, Vec<u8>) {
        let bytes = |len: u32, by: u8| (0..len).map(|n| (n as u8).wrapping_mul(by) ^ (n >> 8) as u8 ^ seed).collect::<Vec<u8>>();
        let (data, mut meta) = (bytes(self.data.len(), 31), bytes(self.meta.len(), 17));
        if let Some(layout) = self.layout {
            let blocks = data.chunks(self.size as usize).zip(meta.chunks_mut(self.each as usize));
            for (n, (data, meta)) in (0u64..).zip(blocks) {
                assert!(layout.protect([data], meta, APPLICATION, 0, lba + n));
            }
        }
        self.data.write_at(0, &data);
        self.meta.write_at(0, &meta);
        (data, meta)
    }

    fn now(&self) -> (Vec<u8>, Vec<u8>) {
        let bytes = |seg: &Seg| {
            let mut bytes = vec![0; seg.len() as usize];
            seg.read_at(0, &mut bytes);
            bytes
        };
        (bytes(&self.data), bytes(&self.meta))
    }

    /// A request of all the blocks, data and metadata in two pieces each where `cut` is not 0.
    async fn ask(&self, op: Op, lba: u64, with: With, (flags, application): (Flags, u16), cut: u32) -> Status {
        let pieces = |seg: &Seg, at: u32| match at {
            0 => vec![seg.clone()],
            at => vec![seg.slice(0, at), seg.slice(at, seg.len() - at)],
        };
        let (data, meta) = (pieces(&self.data, cut * 4), pieces(&self.meta, cut * 4));
        let moves = op != Op::Verify;
        let prepare = move |io: &mut Io| {
            (io.op, io.lba, io.blocks, io.flags) = (op, lba, BLOCKS, flags);
            (io.application_tag, io.application_mask) = (application, 0xffff);
            if moves {
                data.into_iter().for_each(|seg| io.sg.push(seg));
            }
            if moves && matches!(with, With::Metadata) {
                meta.into_iter().for_each(|seg| io.meta.push(seg));
            }
        };
        let own = move |io: &mut Io| (io.status, io.depth());
        let (status, depth) = self.queue.request(prepare, own).await;
        assert_eq!(depth, 0);
        status
    }

    async fn write(&self, lba: u64, flags: Flags, cut: u32) -> Status {
        self.ask(Op::Write, lba, With::Metadata, (flags, APPLICATION), cut).await
    }

    async fn read(&self, lba: u64, with: With, flags: Flags, cut: u32) -> Status {
        self.data.fill(0, self.data.len(), 0xa5);
        self.meta.fill(0, self.meta.len(), 0xa5);
        self.ask(Op::Read, lba, with, (flags, APPLICATION), cut).await
    }

    /// Ok where the controller does not say that it has this: QEMU 7.2 has it, and does not say so.
    async fn verify(&self, lba: u64) -> Status {
        match self.namespace.info().ops.has(Op::Verify) {
            true => self.ask(Op::Verify, lba, With::Nothing, (Flags::NONE, 0), 0).await,
            false => Status::Ok,
        }
    }

    /// What the host made is taken and comes back, whatever the pieces.
    async fn own_metadata_travels(&self) {
        for (n, cut) in [0, 1, 3].into_iter().enumerate() {
            let lba = 100 + 10 * n as u64;
            let written = self.fill(n as u8, lba);
            assert_eq!(self.write(lba, CHECKS, cut).await, Status::Ok, "cut at {cut}");
            assert_eq!(self.read(lba, With::Metadata, CHECKS, cut).await, Status::Ok, "cut at {cut}");
            assert!(self.now() == written, "cut at {cut}");
            assert_eq!(self.read(lba, With::Nothing, Flags::NONE, cut).await, Status::Ok);
            assert!(self.now().0 == written.0, "cut at {cut}, without metadata");
            assert_eq!(self.verify(lba).await, Status::Ok);
        }
    }

    /// What is left to the controller is right, or zeroes where it protects nothing.
    async fn left_metadata_is_made(&self) {
        let lba = 50;
        let (data, _) = self.fill(7, lba);
        assert_eq!(self.ask(Op::Write, lba, With::Nothing, (Flags::NONE, 0), 1).await, Status::Ok);
        assert_eq!(self.read(lba, With::Metadata, Flags::NONE, 0).await, Status::Ok);
        let (now, meta) = self.now();
        assert!(now == data);
        let Some(layout) = self.layout else { return assert!(meta.iter().all(|b| *b == 0)) };
        for (n, (data, meta)) in (0u64..).zip(now.chunks(self.size as usize).zip(meta.chunks(self.each as usize))) {
            let expected = Expected { guard: true, application_tag: Some((0, 0xffff)), reference_tag: Some(lba + n), storage_tag: None };
            assert_eq!(layout.check([data], meta, &expected), Ok(()), "block {n}");
        }
    }

    /// Each thing that is wrong has its own status, on the way in and, where it got in unchecked, on the way out.
    async fn what_is_wrong_is_said(&self) {
        let Some(layout) = self.layout else { return };
        let lba = 200;
        self.fill(9, lba);
        assert_eq!(self.ask(Op::Write, lba, With::Metadata, (CHECKS, APPLICATION ^ 1), 0).await, Status::BadApplicationTag);
        let spoil = |offset: u32| {
            let mut byte = [0];
            self.data.read_at(offset, &mut byte);
            self.data.write_at(offset, &[!byte[0]]);
        };
        spoil(2 * self.size);
        assert_eq!(self.write(lba, CHECKS, 0).await, Status::BadGuard);
        assert_eq!(self.write(lba, Flags::NONE, 1).await, Status::Ok);
        assert_eq!(self.read(lba, With::Metadata, CHECKS, 0).await, Status::BadGuard);
        assert_eq!(self.read(lba, With::Nothing, Flags::NONE, 0).await, Status::BadGuard);
        if self.namespace.info().ops.has(Op::Verify) {
            assert_eq!(self.verify(lba).await, Status::BadGuard);
        }
        assert_eq!(self.read(lba, With::Metadata, Flags::NONE, 1).await, Status::Ok);
        if layout.kind() != Type::Three {
            self.fill(10, lba + 1);
            assert_eq!(self.write(lba, CHECKS, 0).await, Status::BadReferenceTag);
            assert_eq!(self.write(lba, Flags::CHECK_GUARD, 0).await, Status::Ok);
            assert_eq!(self.read(lba, With::Metadata, Flags::CHECK_REFERENCE, 1).await, Status::BadReferenceTag);
            assert_eq!(self.read(lba, With::Nothing, Flags::NONE, 0).await, Status::BadReferenceTag);
        }
        // Right again, for whoever reads all of it.
        self.fill(11, lba);
        assert_eq!(self.write(lba, CHECKS, 0).await, Status::Ok);
    }

    /// Metadata of the wrong length is refused before anything is sent.
    async fn wrong_lengths_are_refused(&self) {
        let (data, meta) = (self.data.clone(), self.meta.slice(0, self.meta.len() - 1));
        let prepare = move |io: &mut Io| {
            (io.op, io.lba, io.blocks) = (Op::Write, 0, BLOCKS);
            io.sg.push(data);
            io.meta.push(meta);
        };
        assert_eq!(self.queue.request(prepare, |io| io.status).await, Status::Invalid);
    }
}

/// A namespace that forgets nothing: QEMU 7.2 empties blocks that are smaller than those of the file system, and leaves their guards.
struct Kept(Arc<Namespace>);

impl BlockDevice for Kept {
    fn info(&self) -> Arc<DeviceInfo> {
        let info = self.0.info();
        Arc::new(DeviceInfo { ops: info.ops.without(Op::Unmap), ..(*info).clone() })
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        self.0.open(cx, who, depth)
    }
}

#[test]
fn metadata_travels_and_is_checked() {
    over("metadata::metadata_travels_and_is_checked", By::Narrow);
}

#[test]
fn metadata_travels_and_is_checked_over_uio() {
    over("metadata::metadata_travels_and_is_checked_over_uio", By::Uio);
}

fn over(name: &str, by: By) {
    if env::var_os(INSIDE).is_none() {
        return in_a_formatted_guest(name, by);
    }
    let first = take(FIRST);
    on_reactors(move |env| async move {
        for use_sgls in [true, false] {
            let controller = attach(&env, first, Options { use_sgls, ..Options::default() }).await;
            let namespaces = controller.namespaces();
            assert_eq!(namespaces.len(), FORMATS.len());
            for (n, namespace) in namespaces.into_iter().enumerate() {
                assert_eq!(namespace.described().usable, Ok(()));
                println!("{}: {:?}, SGLs {use_sgls}", FORMATS[n], namespace.described().format);
                let blocks = Blocks::new(&env, namespace).await;
                blocks.own_metadata_travels().await;
                blocks.left_metadata_is_made().await;
                blocks.what_is_wrong_is_said().await;
                blocks.wrong_lengths_are_refused().await;
                let namespace = blocks.namespace.clone();
                drop(blocks);
                exercise(&env, Arc::new(Kept(namespace)), n as u64 + 20).await;
            }
            assert!(mark(&env.local, controller.namespaces()[0].clone()).await);
            controller.detach().await;
        }
    });
    // The kernel's own driver checks what protects the first namespace, and reads it.
    Sysfs::new().unbind(first, false).unwrap();
    let mut bytes = vec![0; 4096];
    use std::io::Read;
    File::open(wait_for_disk()).unwrap().read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().all(|b| *b == 0x5a), "the kernel reads other bytes than were written");
}
