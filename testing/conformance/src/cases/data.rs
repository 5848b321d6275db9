//! Payloads in every cut, and what makes writes durable.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use crate::rig::{Cuts, Request, Rig};
use crate::shape::Shape;
use doorbell_block::{Flags, Op, Status, WriteCache};
use doorbell_sim::Entropy;
use std::rc::Rc;

/// Writes in one cut and reads in another.
async fn there_and_back(rig: &Rig, env: &Env, entropy: &mut Entropy, blocks: u32, cuts: [Cuts; 2]) -> Result<(), Failure> {
    let [down, up] = cuts;
    let mut bytes = vec![0; (blocks as usize) << env.shift()];
    entropy.fill(&mut bytes);
    let write = rig.run(Request::send(Op::Write, 0, blocks, bytes.clone()).cut(down.clone())).await?;
    ensure!(write.status.is_ok(), "a write of {blocks} blocks cut {down:?} ended as {}", write.status);
    let read = rig.run(Request::read(0, blocks, env.shift()).cut(up.clone())).await?;
    ensure!(read.status.is_ok(), "a read of {blocks} blocks cut {up:?} ended as {}", read.status);
    let differs = read.data.iter().zip(&bytes).position(|(a, b)| a != b);
    ensure!(read.data.len() == bytes.len(), "a read brought {} bytes of {}", read.data.len(), bytes.len());
    ensure!(differs.is_none(), "written cut {down:?}, read cut {up:?}: byte {} differs", differs.unwrap_or(0));
    Ok(())
}

/// Payloads of many and odd segments, as far as the limits allow.
pub(super) async fn segments(env: Rc<Env>) -> Outcome {
    if !env.writable() {
        return skipped("it may not be written");
    }
    let rig = env.rig(4).await?;
    let shape = Shape::of(&env.info);
    let mut entropy = Entropy::new(env.seed);
    let most = shape.most(Op::Write).min(env.info.blocks).min(u64::from(env.info.limits.boundary_blocks.wrapping_sub(1)) + 1);
    let most = most as u32 / env.unit() * env.unit();
    for round in 0..24 {
        let blocks = if round % 3 == 0 { most } else { env.unit() * (1 + entropy.below(u64::from(most / env.unit())) as u32) };
        let len = blocks << env.shift();
        let cuts = [shape.cuts(&mut entropy, len), shape.cuts(&mut entropy, len)];
        there_and_back(&rig, &env, &mut entropy, blocks, cuts).await?;
    }
    let l = &env.info.limits;
    let free = l.segments == 0 && l.segment_bytes == 0 && l.align_bytes <= 1;
    if free {
        let unit = env.unit();
        let many = (1 << env.shift()).min(4096) / 8;
        for cuts in [Cuts::Shares(vec![1, 3, 510]), Cuts::Shares(vec![(unit << env.shift()) / many]), Cuts::Apart(vec![511, 513, 7])] {
            there_and_back(&rig, &env, &mut entropy, unit, [cuts, Cuts::One]).await?;
        }
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Segments off their alignment are refused, or served all the same; nothing in between.
pub(super) async fn misaligned_segments(env: Rc<Env>) -> Outcome {
    if env.info.limits.align_bytes <= 1 || !env.writable() {
        return skipped("it takes segments as they come, or may not be written");
    }
    let rig = env.rig(4).await?;
    let (unit, shift) = (env.unit(), env.shift());
    let mut entropy = Entropy::new(env.seed);
    let read_back = Request::read(0, unit, shift);
    for cuts in [Cuts::Skewed(1), Cuts::Skewed(env.info.limits.align_bytes / 2), Cuts::Shares(vec![1, (unit << shift) - 1])] {
        let before = rig.run(read_back.clone()).await?;
        let mut bytes = vec![0; (unit as usize) << shift];
        entropy.fill(&mut bytes);
        let write = rig.run(Request::send(Op::Write, 0, unit, bytes.clone()).cut(cuts.clone())).await?;
        let after = rig.run(read_back.clone()).await?;
        match write.status {
            Status::Ok => ensure!(after.data == bytes, "a write cut {cuts:?} ended as ok, and was not done"),
            Status::Invalid => ensure!(after.data == before.data, "a write cut {cuts:?} was refused, and was done"),
            other => ensure!(false, "a write cut {cuts:?} ended as {other}"),
        }
        let read = rig.run(read_back.clone().cut(cuts.clone())).await?;
        let right = read.status.is_ok() && read.data == after.data || read.status == Status::Invalid;
        ensure!(right, "a read cut {cuts:?} ended as {} or brought other data", read.status);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

async fn write_something(rig: &Rig, env: &Env, flags: Flags) -> Result<(), Failure> {
    let bytes = vec![0x3c; (env.unit() as usize) << env.shift()];
    let done = rig.run(Request::send(Op::Write, 0, env.unit(), bytes).flagged(flags)).await?;
    ensure!(done.status.is_ok(), "a write with {flags:?} ended as {}", done.status);
    Ok(())
}

/// A flush is done, also with nothing to flush and beside writes; and it reaches what makes it true.
pub(super) async fn flush(env: Rc<Env>) -> Outcome {
    if !env.has(Op::Flush) {
        return skipped("it claims no flush");
    }
    let rig = env.rig(16).await?;
    let flush = Request::plain(Op::Flush, 0, 0);
    let done = rig.run(flush.clone()).await?;
    ensure!(done.status.is_ok(), "a flush of nothing ended as {}", done.status);
    if env.writable() {
        let before = env.probe.as_ref().map(|p| p());
        write_something(&rig, &env, Flags::NONE).await?;
        let done = rig.run(flush.clone()).await?;
        ensure!(done.status.is_ok(), "a flush ended as {}", done.status);
        if let (Some(before), Some(probe), WriteCache::Volatile) = (before, &env.probe, env.info.write_cache) {
            ensure!(probe() > before, "a write and a flush were done, and no flush reached what lies beneath");
        }
        let mut beside = Vec::new();
        for n in 0..8 {
            let bytes = vec![n; (env.unit() as usize) << env.shift()];
            beside.push(Request::send(Op::Write, 0, env.unit(), bytes));
            beside.push(flush.clone());
        }
        for done in rig.run_all(beside).await? {
            ensure!(done.status.is_ok(), "{:?} beside others ended as {}", done.op, done.status);
        }
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// A FUA write is done, and something beneath made it durable.
pub(super) async fn fua(env: Rc<Env>) -> Outcome {
    if !env.info.fua || !env.writable() {
        return skipped("it claims no FUA, or may not be written");
    }
    let rig = env.rig(4).await?;
    let before = env.probe.as_ref().map(|p| p());
    write_something(&rig, &env, Flags::FUA).await?;
    if let (Some(before), Some(probe), WriteCache::Volatile) = (before, &env.probe, env.info.write_cache) {
        ensure!(probe() > before, "a FUA write was done, and neither FUA nor a flush reached what lies beneath");
    }
    let read = rig.run(Request::read(0, env.unit(), env.shift())).await?;
    ensure!(read.data.iter().all(|b| *b == 0x3c), "a FUA write was done, and its data is not there");
    for op in [Op::WriteZeroes].into_iter().filter(|op| env.has(*op)) {
        let done = rig.run(Request::plain(op, 0, env.unit()).flagged(Flags::FUA)).await?;
        ensure!(done.status.is_ok(), "{op:?} with FUA ended as {}", done.status);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}
