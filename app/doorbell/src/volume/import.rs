//! `doorbell volume import`: a volume with the content of an image.
//!
//! Invariant: a volume that did not become whole and durable is deleted again.

use super::change::tell_one;
use super::place::{At, at};
use super::progress::{Progress, Steps};
use super::{Failed, failed, shown};
use crate::cli::VolumeImportArgs;
use crate::size::Size;
use doorbell_bdev::Access;
use doorbell_block::{BlockDevice, Op, Status};
use doorbell_reactor::{AsyncQueue, Local, oneshot};
use serde_json::json;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of one write.
const PIECE: u32 = 256 << 10;
/// How images begin that are no raw ones, and what they are.
const OTHERS: [(&[u8], &str); 4] = [(b"QFI\xfb", "qcow2"), (b"KDMV", "vmdk"), (b"vhdxfile", "vhdx"), (b"conectix", "vhd")];

/// Writes under way.
const WRITES: u32 = 8;

pub(super) fn import(args: VolumeImportArgs) -> Result<(), Failed> {
    let image = Image::open(&args)?;
    at(&args.at.clone(), async move |at| run(at, args, image).await)
}

/// Where the bytes come from.
struct Image {
    file: File,
    /// Holes can be passed over.
    seeks: bool,
    /// Bytes that the volume is to have at least.
    bytes: u64,
    /// Where the next byte stands.
    position: u64,
    name: String,
}

impl Image {
    fn open(args: &VolumeImportArgs) -> Result<Image, Failed> {
        if args.file.as_os_str() == "-" {
            let bytes = args.size.ok_or_else(|| failed("how much stdin gives is not known before it ends: give --size"))?;
            let file = io::stdin().as_fd().try_clone_to_owned().map(File::from).map_err(|why| failed(format!("stdin: {why}")))?;
            return Ok(Image { file, seeks: false, bytes, position: 0, name: "stdin".to_owned() });
        }
        let name = args.file.display().to_string();
        let wrong = |why: io::Error| failed(format!("{name} cannot be read: {why}"));
        let mut file = File::open(&args.file).map_err(wrong)?;
        let kind = file.metadata().map_err(wrong)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(failed(format!("{name} is neither a file nor a block device: send it to stdin (-)")));
        }
        let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length)).map_err(wrong)?;
        let bytes = args.size.unwrap_or(length);
        if bytes < length {
            return Err(failed(format!("{name} has {}, which is more than --size", Size(length))));
        }
        let mut image = Image { file, seeks: kind.is_file(), bytes, position: 0, name };
        image.is_raw()?;
        Ok(image)
    }

    fn wrong(&self, why: io::Error) -> Failed {
        failed(format!("{} cannot be read: {why}", self.name))
    }

    /// A disk in a container would be imported with the container.
    fn is_raw(&mut self) -> Result<(), Failed> {
        let mut head = [0; 8];
        let read = self.file.read_at(&mut head, 0).map_err(|why| self.wrong(why))?;
        match OTHERS.iter().find(|(magic, _)| head.get(..read).is_some_and(|head| head.starts_with(magic))) {
            None => Ok(()),
            Some((_, format)) => {
                let name = &self.name;
                Err(failed(format!("{name} is a {format} image: make a raw one of it first (`qemu-img convert -O raw {name} {name}.raw`)")))
            }
        }
    }

    /// Fills `buffer` with the next bytes that are not all zeroes: where they stand, and how many. None at the end.
    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<(u64, usize)>, Failed> {
        loop {
            if self.seeks && !self.skip_hole(buffer.len() as u64)? {
                return Ok(None);
            }
            let mut have = 0;
            while have < buffer.len() {
                match self.file.read(buffer.get_mut(have..).unwrap_or_default()) {
                    Ok(0) => break,
                    Ok(read) => have += read,
                    Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                    Err(why) => return Err(self.wrong(why)),
                }
            }
            let at = self.position;
            self.position += have as u64;
            if self.position > self.bytes {
                return Err(failed(format!("{} has more than {}", self.name, Size(self.bytes))));
            }
            match buffer.get(..have) {
                None | Some([]) => return Ok(None),
                Some(bytes) if bytes.iter().all(|byte| *byte == 0) => {}
                Some(_) => return Ok(Some((at, have))),
            }
        }
    }

    /// To where there is data, in whole pieces. False when there is no more.
    fn skip_hole(&mut self, piece: u64) -> Result<bool, Failed> {
        match rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Data(self.position)) {
            Ok(data) => {
                self.position = data / piece * piece;
                self.file.seek(SeekFrom::Start(self.position)).map(|_| true).map_err(|why| self.wrong(why))
            }
            Err(rustix::io::Errno::NXIO) => Ok(false),
            // A file system that knows no holes.
            Err(_) => {
                self.seeks = false;
                self.file.seek(SeekFrom::Start(self.position)).map(|_| true).map_err(|why| self.wrong(why))
            }
        }
    }
}

async fn run(at: &At, args: VolumeImportArgs, image: Image) -> Result<(), Failed> {
    let Some(registry) = at.place.registry() else {
        let ways = "stop it first, or have it make the volume (`doorbell volume create`), serve it, and write it there";
        return Err(failed(format!("a server has {}, and its volumes are written by its hosts: {ways}", shown(at.name()))));
    };
    let mib = image.bytes.div_ceil(1 << 20);
    let params = json!({"lvol_name": args.name, "size_in_mib": mib, "thin_provision": !args.thick, "uuid": at.uuid()});
    let made = at.call("bdev_lvol_create", params).await?;
    let uuid = made.as_str().unwrap_or_default();
    let progress = Progress::of(format!("importing {}", args.name));
    progress.steps.of.store(image.bytes, Ordering::Relaxed);
    let handle = registry.open(uuid, Access::Write, Box::new(|_| {})).map_err(failed)?;
    let copied = copy(at, handle, image, progress.steps.clone()).await;
    drop(progress);
    if let Err(why) = copied {
        // A volume that is half an image is nothing to be found later.
        at.call("bdev_lvol_delete", json!({ "name": uuid })).await?;
        return Err(why);
    }
    tell_one(at, args.at.how.json, uuid, "imported").await
}

async fn copy(at: &At, device: Arc<dyn BlockDevice>, image: Image, steps: Arc<Steps>) -> Result<(), Failed> {
    let local = &at.place.local;
    let shift = device.info().block_shift;
    let queue = Rc::new(AsyncQueue::open(local, device, WRITES).await.map_err(failed)?);
    let piece = local.with(|cx| cx.largest_buffer()).await.min(PIECE);
    let image = Rc::new(RefCell::new(image));
    let mut writers = Vec::new();
    for _ in 0..WRITES {
        let (tx, rx) = oneshot();
        let (local, queue, image, steps) = (local.clone(), queue.clone(), image.clone(), steps.clone());
        at.place.local.spawn(async move {
            let done = write(&local, &queue, &image, (piece, shift), &steps).await;
            drop((queue, image));
            tx.send(done);
        });
        writers.push(rx);
    }
    let mut done = Ok(());
    for writer in writers {
        done = done.and(writer.await.map_err(failed).and_then(|done| done));
    }
    done?;
    match queue.control(Op::Flush, 0, 0).await {
        Status::Ok => Ok(()),
        status => Err(failed(format!("the volume could not be made durable: {}", status.name()))),
    }
}

/// Takes pieces of the image and writes them, until there are none.
async fn write(local: &Local, queue: &AsyncQueue, image: &RefCell<Image>, (piece, shift): (u32, u8), steps: &Steps) -> Result<(), Failed> {
    loop {
        let buffer = local.with(move |cx| cx.buffer(piece)).await;
        let mut buffer = buffer.ok_or_else(|| failed(format!("no buffer of {piece} bytes is free: a bug, please report it")))?;
        let bytes = buffer.bytes().ok_or_else(|| failed("a buffer is still shared: a bug, please report it"))?;
        let bytes = bytes.get_mut(..piece as usize).unwrap_or_default();
        let Some((offset, have)) = image.borrow_mut().next(bytes)? else { return Ok(()) };
        let whole = have.next_multiple_of(1 << shift);
        bytes.get_mut(have..whole).unwrap_or_default().fill(0);
        buffer.narrow(0, whole as u32);
        let (status, _) = queue.write(offset >> shift, (whole >> shift) as u32, buffer).await;
        steps.done.fetch_max(offset + have as u64, Ordering::Relaxed);
        match status {
            Status::Ok => {}
            Status::NoSpace => return Err(failed("the store is full: the volume was not made")),
            other => return Err(failed(format!("{have} bytes at byte {offset} could not be written: {}", other.name()))),
        }
    }
}
