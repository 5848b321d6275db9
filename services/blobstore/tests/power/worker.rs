//! Requests to volumes, several at a time and on two reactors, each of them noted in its volume's model.

use crate::world::{CLUSTER_BLOCKS, Shared};
use doorbell_block::{Flags, Io, Op, Status};
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::{WriteId, stamp_block};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Noted {
    Write(WriteId),
    /// It may read as zeroes afterwards, or as before.
    Unmap(WriteId),
    Flush(u64),
    Read(u64),
}

struct Request {
    op: Op,
    lba: u64,
    blocks: u64,
    fua: bool,
    noted: Noted,
}

/// Sends requests until it is told to stop.
pub(crate) async fn work(local: Local, world: Shared) {
    let mut queues: BTreeMap<String, Rc<AsyncQueue>> = BTreeMap::new();
    loop {
        if world.borrow().stop {
            break;
        }
        queues.retain(|name, _| world.borrow().vols.get(name).is_some_and(|vol| !vol.closing));
        let name = world.borrow_mut().pick(|vol| !vol.paused && !vol.closing && vol.volume.is_some() && vol.clusters > 0);
        let Some(name) = name else {
            local.sleep_ns(50_000).await;
            continue;
        };
        if !queues.contains_key(&name) {
            let volume = world.borrow().vols[&name].volume.clone().unwrap();
            world.borrow_mut().vols.get_mut(&name).unwrap().under_way += 1;
            let queue = AsyncQueue::open(&local, Arc::new(volume), 4).await.unwrap();
            world.borrow_mut().vols.get_mut(&name).unwrap().under_way -= 1;
            queues.insert(name.clone(), Rc::new(queue));
            continue;
        }
        let queue = queues[&name].clone();
        let Some(request) = begin(&world, &name) else { continue };
        let (op, lba, blocks, fua, noted) = (request.op, request.lba, request.blocks, request.fua, request.noted);
        let bytes = op.payload(blocks as u32, 9) as u32;
        let mut buffer = None;
        while bytes > 0 && buffer.is_none() {
            buffer = local.with(move |cx| cx.buffer(bytes)).await;
            if buffer.is_none() {
                local.sleep_ns(1_000).await;
            }
        }
        if let (Some(buffer), Noted::Write(id)) = (&buffer, noted) {
            let mut data = vec![0; bytes as usize];
            (lba..).zip(data.chunks_mut(512)).for_each(|(lba, block)| stamp_block(block, lba, id));
            buffer.write_at(0, &data);
        }
        let flags = if fua { Flags::FUA } else { Flags::NONE };
        let (status, data) = queue
            .request(
                move |io: &mut Io| {
                    (io.op, io.lba, io.blocks, io.flags) = (op, lba, blocks as u32, flags);
                    if let Some(buffer) = buffer {
                        io.sg.push(buffer);
                    }
                },
                |io: &mut Io| {
                    let mut data = vec![0; io.sg.bytes() as usize];
                    io.sg.read_at(0, &mut data);
                    assert_eq!((io.op, io.lba, io.blocks), (op, lba, blocks as u32), "a box came back changed");
                    (io.status, data)
                },
            )
            .await;
        end(&world, &name, &request, status, &data);
    }
    drop(queues);
    world.borrow_mut().workers -= 1;
}

/// Chooses a request and notes it.
fn begin(world: &Shared, name: &str) -> Option<Request> {
    let mut world = world.borrow_mut();
    let crate::world::World { vols, entropy, unmap_is_wild, .. } = &mut *world;
    let vol = vols.get_mut(name)?;
    if vol.paused || vol.closing || vol.clusters == 0 {
        return None;
    }
    let writes = [Op::Write, Op::Write, Op::Write, Op::Write, Op::Write, Op::Read, Op::WriteZeroes, Op::Unmap, Op::Flush, Op::Flush];
    let op = if vol.read_only { Op::Read } else { *entropy.pick(&writes) };
    let all = vol.clusters * CLUSTER_BLOCKS;
    // Few places, so that requests meet; in large volumes a few clusters at both ends.
    let cluster = match entropy.below(3) {
        0 => vol.clusters - 1 - entropy.below(vol.clusters.min(3)),
        _ => entropy.below(vol.clusters.min(8)),
    };
    let (mut lba, mut blocks) = (cluster * CLUSTER_BLOCKS + entropy.below(CLUSTER_BLOCKS), 1 + entropy.below(12));
    match op {
        Op::Unmap | Op::WriteZeroes if entropy.coin() => {
            (lba, blocks) = (cluster * CLUSTER_BLOCKS, CLUSTER_BLOCKS * (1 + entropy.below(3)));
        }
        Op::Unmap | Op::WriteZeroes => blocks = 1 + entropy.below(70),
        _ => blocks = blocks.min(CLUSTER_BLOCKS - lba % CLUSTER_BLOCKS),
    }
    blocks = blocks.min(all - lba);
    let fua = matches!(op, Op::Write | Op::WriteZeroes) && entropy.chance(100_000);
    vol.under_way += 1;
    let noted = match op {
        Op::Write => Noted::Write(vol.model.write(lba, blocks, fua)),
        Op::WriteZeroes => Noted::Write(vol.model.zeroes(lba, blocks, fua)),
        // Zeroes or what was there; from a disk that promises nothing, anything.
        Op::Unmap if *unmap_is_wild => Noted::Unmap(vol.model.anything(lba, blocks, false)),
        Op::Unmap => Noted::Unmap(vol.model.zeroes(lba, blocks, false)),
        Op::Flush => Noted::Flush(vol.model.flush()),
        _ => Noted::Read(vol.model.read()),
    };
    if op == Op::Flush {
        (lba, blocks) = (0, 0);
    }
    Some(Request { op, lba, blocks, fua, noted })
}

/// Notes how it ended.
fn end(world: &Shared, name: &str, request: &Request, status: Status, data: &[u8]) {
    let mut world = world.borrow_mut();
    world.done += 1;
    if status == Status::NoSpace {
        world.full += 1;
    }
    let Some(vol) = world.vols.get_mut(name) else { return };
    vol.under_way -= 1;
    let mut breach = None;
    match (request.noted, status) {
        (Noted::Write(id), Status::Ok) => vol.model.acked(id),
        (Noted::Write(id), _) | (Noted::Unmap(id), _) => vol.model.failed(id),
        (Noted::Flush(at), Status::Ok) => vol.model.flushed(at),
        (Noted::Flush(at), _) => vol.model.flush_failed(at),
        (Noted::Read(began), Status::Ok) => breach = vol.model.check_read(began, request.lba, data).err(),
        (Noted::Read(began), _) => vol.model.read_failed(began),
    }
    if let Some(breach) = breach {
        world.fail(format!("a read of {name}: {breach}"));
    }
    let expected =
        matches!(status, Status::Ok | Status::Gone) || status == Status::NoSpace && matches!(request.op, Op::Write | Op::WriteZeroes);
    if !expected {
        world.fail(format!("{:?} of {name}, blocks {}+{}: {status}", request.op, request.lba, request.blocks));
    }
}
