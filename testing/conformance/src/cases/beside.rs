//! Metadata beside the data.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use doorbell_block::{Io, Op, Status};
use doorbell_mem::Seg;
use doorbell_reactor::AsyncQueue;
use std::rc::Rc;

/// One request of data and metadata, in buffers that can be looked at afterwards.
struct Beside {
    queue: AsyncQueue,
    data: Seg,
    meta: Seg,
    blocks: u32,
}

impl Beside {
    async fn open(env: &Env, each: u32, blocks: u32) -> Result<Beside, Failure> {
        let lost = |_| Failure::new("it gave no queue");
        let queue = AsyncQueue::open(&env.local, env.device.clone(), 2).await.map_err(lost)?;
        let (bytes, meta_bytes) = (blocks << env.shift(), blocks * each);
        let buffers = env.local.with(move |cx| cx.buffer(bytes).zip(cx.buffer(meta_bytes))).await;
        let (data, meta) = buffers.ok_or_else(|| Failure::new("there were no buffers"))?;
        Ok(Beside { queue, data, meta, blocks })
    }

    /// Asks for it from block 0, the metadata in two pieces, where there is any.
    async fn ask(&self, env: &Env, op: Op, meta: Option<&Seg>) -> Result<Status, Failure> {
        let (data, blocks) = (self.data.clone(), self.blocks);
        let pieces: Vec<Seg> = meta.into_iter().flat_map(|m| [m.slice(0, 1), m.slice(1, m.len() - 1)]).collect();
        let prepare = move |io: &mut Io| {
            (io.op, io.lba, io.blocks) = (op, 0, blocks);
            io.sg.push(data);
            pieces.into_iter().filter(|piece| !piece.is_empty()).for_each(|piece| io.meta.push(piece));
        };
        let ended = env.patience.wait(&env.local, self.queue.request(prepare, |io| io.status)).await;
        ended.ok_or_else(|| Failure::new(format!("{op:?} with metadata did not come back")))
    }

    fn bytes(seg: &Seg) -> Vec<u8> {
        let mut bytes = vec![0; seg.len() as usize];
        seg.read_at(0, &mut bytes);
        bytes
    }

    fn fill(&self, by: u32) -> (Vec<u8>, Vec<u8>) {
        for seg in [&self.data, &self.meta] {
            let bytes: Vec<u8> = (0..seg.len()).map(|n| (n * by + n / 256 + 1) as u8).collect();
            seg.write_at(0, &bytes);
        }
        (Self::bytes(&self.data), Self::bytes(&self.meta))
    }
}

fn blocks(env: &Env) -> u32 {
    (4 * env.unit()).min(env.info.blocks as u32) / env.unit() * env.unit()
}

/// What is written with it is read with it, compared with it, and read without it.
pub(super) async fn metadata(env: Rc<Env>) -> Outcome {
    let Some(metadata) = env.info.metadata else { return skipped("its blocks have no metadata") };
    if !env.writable() || !env.has(Op::Read) {
        return skipped("it does not both read and write");
    }
    let beside = Beside::open(&env, metadata.bytes.into(), blocks(&env)).await?;
    for by in [3, 7] {
        let written = beside.fill(by);
        let status = beside.ask(&env, Op::Write, Some(&beside.meta)).await?;
        ensure!(status.is_ok(), "a write with metadata ended as {status}");
        if env.has(Op::Compare) {
            let status = beside.ask(&env, Op::Compare, Some(&beside.meta)).await?;
            ensure!(status.is_ok(), "a compare with what was written ended as {status}");
            beside.meta.write_at(beside.meta.len() - 1, &[!written.1[written.1.len() - 1]]);
            let status = beside.ask(&env, Op::Compare, Some(&beside.meta)).await?;
            ensure!(status == Status::Miscompare, "a compare with other metadata ended as {status}");
        }
        for meta in [Some(&beside.meta), None] {
            beside.data.fill(0, beside.data.len(), 0xa5);
            beside.meta.fill(0, beside.meta.len(), 0xa5);
            // Nothing that protects the blocks was made for them: without metadata the device would check it.
            if meta.is_none() && metadata.protection.is_some() {
                continue;
            }
            let status = beside.ask(&env, Op::Read, meta).await?;
            ensure!(status.is_ok(), "a read ended as {status}");
            ensure!(Beside::bytes(&beside.data) == written.0, "a read gave other data than was written");
            ensure!(meta.is_none() || Beside::bytes(&beside.meta) == written.1, "a read gave other metadata than was written");
        }
    }
    Ok(Verdict::Passed)
}

/// Metadata that is too short is refused.
pub(super) async fn metadata_of_the_wrong_length(env: Rc<Env>) -> Outcome {
    if !env.has(Op::Read) {
        return skipped("it does not read");
    }
    let Some(metadata) = env.info.metadata else { return skipped("its blocks have no metadata") };
    let beside = Beside::open(&env, metadata.bytes.into(), blocks(&env)).await?;
    let short = beside.meta.slice(0, beside.meta.len() - 1);
    let status = beside.ask(&env, Op::Read, Some(&short)).await?;
    ensure!(status == Status::Invalid, "a read with too little metadata ended as {status}");
    Ok(Verdict::Passed)
}
