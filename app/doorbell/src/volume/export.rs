//! `doorbell volume export`: a volume's content in a file, with holes where the volume has nothing.
//!
//! A file is written under another name beside its place, made durable, and then given its name: whatever happens, what has the name is whole.

use super::catalog::Catalog;
use super::{Failed, failed, with};
use crate::cli::VolumeExportArgs;
use crate::size::Size;
use doorbell_block::{BlockDevice, Io, Op, Status};
use doorbell_reactor::{AsyncQueue, Local, oneshot};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Reads under way, and bytes of one.
const READS: usize = 8;
const PIECE: u32 = 256 << 10;

/// Nothing is said of how far it is before so long, and then so often.
const QUIET_NS: u64 = 1_000_000_000;
const SAID_NS: u64 = 250_000_000;

pub(super) fn export(args: VolumeExportArgs) -> Result<(), Failed> {
    let to = if args.file.as_os_str() == "-" { To::stdout()? } else { To::file(&args)? };
    with(&args.at, false, async move |local, catalog| run(local, catalog, &args.volume, to).await)
}

/// Where it goes.
enum To {
    /// In order, holes as zeroes.
    Stdout,
    /// In any order, holes as holes.
    File(Draft),
}

/// A file that has not got its name yet. Gone with the value, unless it got it.
struct Draft {
    file: File,
    path: PathBuf,
    wanted: PathBuf,
    replace: bool,
}

impl To {
    fn stdout() -> Result<To, Failed> {
        match io::stdout().is_terminal() {
            true => Err(failed("a volume's bytes are nothing for a terminal: send stdout into a file or a program")),
            false => Ok(To::Stdout),
        }
    }

    fn file(args: &VolumeExportArgs) -> Result<To, Failed> {
        let path = &args.file;
        let shown = path.display();
        if let Ok(found) = path.metadata() {
            let is_store = args.at.store.path.metadata().is_ok_and(|store| (store.dev(), store.ino()) == (found.dev(), found.ino()));
            if is_store {
                return Err(failed(format!("{shown} is the store itself: name another file")));
            }
            if !found.is_file() {
                return Err(failed(format!("{shown} is no regular file: write to stdout (-) and send that there")));
            }
        }
        if path.symlink_metadata().is_ok() && !args.force {
            return Err(failed(format!("{shown} is there already: name another file, or add --force to replace it")));
        }
        let Some(name) = path.file_name() else { return Err(failed(format!("{shown} is no name of a file"))) };
        let mut draft = name.to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = path.with_file_name(draft);
        let file = File::create_new(&draft).map_err(|why| failed(format!("{} cannot be made: {why}", draft.display())))?;
        Ok(To::File(Draft { file, path: draft, wanted: path.clone(), replace: args.force }))
    }
}

impl Draft {
    fn wrong(&self, why: io::Error) -> Failed {
        failed(format!("{} cannot be written: {why}", self.wanted.display()))
    }

    /// Makes it durable, and gives it its name.
    fn finish(self) -> Result<(), Failed> {
        self.file.sync_all().map_err(|why| self.wrong(why))?;
        let named = match self.replace {
            true => std::fs::rename(&self.path, &self.wanted),
            // Unlike a new name, a second one takes nobody's away.
            false => match std::fs::hard_link(&self.path, &self.wanted) {
                Err(why) if why.kind() != io::ErrorKind::AlreadyExists && self.wanted.symlink_metadata().is_err() => {
                    std::fs::rename(&self.path, &self.wanted)
                }
                done => done,
            },
        };
        named.map_err(|why| self.wrong(why))?;
        let folder = self.wanted.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|why| self.wrong(why))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Not there any more when it has its name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One copy.
struct Job {
    local: Local,
    queue: AsyncQueue,
    shift: u8,
    to: To,
    /// What is left to read, ascending: first block and how many.
    left: RefCell<VecDeque<(u64, u64)>>,
    /// Blocks of one read, and what none crosses; zero for nothing.
    most: u64,
    boundary: u64,
    /// Bytes that stdout has.
    position: Cell<u64>,
    done: Cell<u64>,
}

async fn run(local: &Local, catalog: &Catalog, wanted: &str, to: To) -> Result<(), Failed> {
    let entry = catalog.find(wanted)?;
    let volume = catalog.store.volume(entry.blob.id, None).map_err(failed)?;
    let device: Arc<dyn BlockDevice> = Arc::new(volume);
    let info = device.info();
    let queue = AsyncQueue::open(local, device, READS as u32).await.map_err(failed)?;
    let largest = local.with(|cx| cx.largest_buffer()).await.min(PIECE);
    let limit = if info.limits.transfer_blocks == 0 { u32::MAX } else { info.limits.transfer_blocks };
    let extents = extents(&queue, info.blocks).await?;
    let bytes: u64 = extents.iter().map(|(_, blocks)| blocks << info.block_shift).sum();
    if let To::File(draft) = &to {
        draft.file.set_len(info.bytes()).map_err(|why| draft.wrong(why))?;
    }
    let workers = if matches!(to, To::Stdout) { 1 } else { READS };
    let copy = Rc::new(Job {
        local: local.clone(),
        queue,
        shift: info.block_shift,
        to,
        left: RefCell::new(extents.into()),
        most: u64::from((largest >> info.block_shift).min(limit).max(1)),
        boundary: info.limits.boundary_blocks.into(),
        position: Cell::new(0),
        done: Cell::new(0),
    });
    if io::stderr().is_terminal() {
        show(&copy, bytes);
    }
    let copied = copy.all(workers).await;
    if io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
    copied?;
    if matches!(copy.to, To::Stdout) {
        copy.put(info.bytes(), &[])?;
        return io::stdout().flush().map_err(|why| failed(format!("stdout: {why}")));
    }
    match Rc::into_inner(copy).map(|copy| copy.to) {
        Some(To::File(draft)) => draft.finish(),
        _ => Err(failed("the copy is still being written: a bug, please report it")),
    }
}

/// Where the volume has data: first block and how many.
async fn extents(queue: &AsyncQueue, blocks: u64) -> Result<Vec<(u64, u64)>, Failed> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < blocks {
        let from = seek(queue, Op::SeekData, at).await?;
        if from >= blocks {
            break;
        }
        at = seek(queue, Op::SeekHole, from).await?.min(blocks);
        if at <= from {
            return Err(failed("the volume's map changes while it is read"));
        }
        all.push((from, at - from));
    }
    Ok(all)
}

async fn seek(queue: &AsyncQueue, op: Op, lba: u64) -> Result<u64, Failed> {
    let ask = move |io: &mut Io| (io.op, io.lba, io.blocks) = (op, lba, 0);
    match queue.request(ask, |io| (io.status, io.result)).await {
        (Status::Ok, found) => Ok(found),
        (status, _) => Err(failed(format!("what the volume has cannot be found out: {}", status.name()))),
    }
}

impl Job {
    /// Copies all, by so many readers; the first failure ends it.
    async fn all(self: &Rc<Job>, workers: usize) -> Result<(), Failed> {
        let mut ends = Vec::new();
        for _ in 0..workers {
            let (tx, rx) = oneshot();
            let copy = self.clone();
            self.local.spawn(async move {
                let done = copy.some().await;
                if done.is_err() {
                    copy.left.borrow_mut().clear();
                }
                // Whoever waits for this may want the copy for himself.
                drop(copy);
                tx.send(done);
            });
            ends.push(rx);
        }
        let mut result = Ok(());
        for end in ends {
            let done = end.await.map_err(failed).and_then(|done| done);
            result = result.and(done);
        }
        result
    }

    async fn some(&self) -> Result<(), Failed> {
        while let Some((lba, blocks)) = self.take() {
            let bytes = blocks << self.shift;
            let buffer = self.local.with(move |cx| cx.buffer(bytes)).await;
            let buffer = buffer.ok_or_else(|| failed(format!("no buffer of {bytes} bytes is free: a bug, please report it")))?;
            let (status, mut buffer) = self.queue.read(lba, blocks, buffer).await;
            let offset = lba << self.shift;
            if !status.is_ok() {
                return Err(failed(format!("{bytes} bytes at byte {offset} of the volume could not be read: {}", status.name())));
            }
            let whole = buffer.bytes().ok_or_else(|| failed("a buffer is still shared: a bug, please report it"))?;
            self.put(offset, &whole[..bytes as usize])?;
            self.done.set(self.done.get() + u64::from(bytes));
        }
        Ok(())
    }

    /// The next piece to read.
    fn take(&self) -> Option<(u64, u32)> {
        let mut left = self.left.borrow_mut();
        let (lba, blocks) = left.pop_front()?;
        let room = if self.boundary == 0 { u64::MAX } else { self.boundary - lba % self.boundary };
        let piece = blocks.min(self.most).min(room);
        if piece < blocks {
            left.push_front((lba + piece, blocks - piece));
        }
        Some((lba, piece as u32))
    }

    fn put(&self, offset: u64, bytes: &[u8]) -> Result<(), Failed> {
        match &self.to {
            To::File(draft) => draft.file.write_all_at(bytes, offset).map_err(|why| draft.wrong(why)),
            To::Stdout => {
                let mut out = io::stdout().lock();
                let hole = offset - self.position.get();
                let written = io::copy(&mut io::Read::take(io::repeat(0), hole), &mut out).and_then(|_| out.write_all(bytes));
                self.position.set(offset + bytes.len() as u64);
                written.map_err(|why| failed(format!("stdout: {why}")))
            }
        }
    }
}

/// Says on the terminal how far it is.
fn show(copy: &Rc<Job>, bytes: u64) {
    let (local, copy) = (copy.local.clone(), Rc::downgrade(copy));
    local.clone().spawn(async move {
        local.sleep_ns(QUIET_NS).await;
        while let Some(done) = copy.upgrade().map(|copy| copy.done.get()) {
            eprint!("\r  {} of {}   ", Size(done), Size(bytes));
            local.sleep_ns(SAID_NS).await;
        }
    });
}
