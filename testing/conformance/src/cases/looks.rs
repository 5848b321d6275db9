//! What a device says of itself, and whether it is true.

use crate::case::{Env, Outcome, Verdict, ensure, skipped};
use crate::rig::{Payload, Request};
use doorbell_block::{FRAMES, Flags, Op, Status, WriteCache};
use std::rc::Rc;

/// What it says makes sense, and is the same when asked again.
pub(super) async fn info(env: Rc<Env>) -> Outcome {
    let i = &env.info;
    ensure!(*i == env.device.info(), "info says something else when asked again");
    ensure!((9..=16).contains(&i.block_shift), "blocks of 2^{} bytes", i.block_shift);
    ensure!(i.blocks > 0, "a device of no blocks");
    ensure!(i.blocks.checked_mul(u64::from(i.block_size())).is_some(), "more than 2^64 bytes");
    ensure!(i.physical_block_bytes >= i.block_size(), "physical blocks of {} bytes, smaller than logical ones", i.physical_block_bytes);
    ensure!(usize::from(i.frames) <= FRAMES, "{} words of a request, and there are {FRAMES}", i.frames);
    ensure!(i.ops.has(Op::Read), "a device that cannot be read");
    let l = &i.limits;
    let align = l.align_bytes;
    ensure!(align == 0 || align.is_power_of_two(), "segments aligned to {align} bytes, which is no power of two");
    ensure!(l.segment_bytes == 0 || l.segment_bytes >= align, "segments shorter than their alignment");
    let unit = l.write_unit_blocks.max(1);
    ensure!(i.blocks.is_multiple_of(u64::from(unit)), "{} blocks are not whole write units of {unit}", i.blocks);
    ensure!(l.transfer_blocks == 0 || l.transfer_blocks >= unit, "transfers of {} blocks, less than a write unit", l.transfer_blocks);
    ensure!(l.boundary_blocks.is_multiple_of(unit), "a boundary of {} blocks that cuts write units", l.boundary_blocks);
    let a = &i.atomic;
    ensure!(a.normal_blocks >= 1 && a.power_fail_blocks >= 1, "writes of one block that are not atomic: {a:?}");
    ensure!(a.power_fail_blocks <= a.normal_blocks, "more blocks atomic across a power cut than as others see it: {a:?}");
    if i.write_cache == WriteCache::Volatile && env.writable() {
        ensure!(i.ops.has(Op::Flush) || i.fua, "a volatile write cache that nothing empties: neither flush nor FUA");
    }
    Ok(Verdict::Passed)
}

/// Queues come and go unused.
pub(super) async fn open_and_leave(env: Rc<Env>) -> Outcome {
    for depth in [1, 64] {
        env.rig(depth).await?.leave().await?;
    }
    let (a, b) = (env.rig(4).await?, env.rig(4).await?);
    b.leave().await?;
    a.run(Request::read(0, 1, env.shift())).await?;
    a.leave().await?;
    Ok(Verdict::Passed)
}

/// A plain request of each kind, which a device that claims it must take.
fn plain(env: &Env, op: Op) -> Request {
    let unit = if op.writes() { env.unit() } else { 1 };
    let mut request = match op {
        Op::Flush | Op::Reset => Request::plain(op, 0, 0),
        Op::SeekData | Op::SeekHole => Request::plain(op, 0, 0),
        _ => Request::plain(op, 0, unit),
    };
    let bytes = op.payload(request.blocks, env.shift()) as usize;
    if op == Op::Read {
        request.payload = Payload::Room(bytes as u32);
    } else if bytes > 0 {
        request.payload = Payload::Bytes(vec![0x5a; bytes]);
    }
    request.source = u64::from(unit);
    request
}

/// What it claims, it does.
pub(super) async fn claimed_operations(env: Rc<Env>) -> Outcome {
    let rig = env.rig(4).await?;
    for op in Op::ALL.into_iter().filter(|op| env.has(*op)) {
        if op.writes() && env.info.read_only || op == Op::Copy && env.info.blocks < 2 * u64::from(env.unit()) {
            continue;
        }
        let done = rig.run(plain(&env, op)).await?;
        let compares = matches!(op, Op::Compare | Op::CompareAndWrite);
        let fine = done.status.is_ok() || compares && done.status == Status::Miscompare;
        ensure!(fine, "{op:?} is claimed and ended as {}", done.status);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// What it does not claim it refuses, and nothing has changed.
pub(super) async fn unclaimed_operations(env: Rc<Env>) -> Outcome {
    let missing: Vec<Op> = Op::ALL.into_iter().filter(|op| !env.has(*op)).collect();
    if missing.is_empty() {
        return skipped("it claims every operation");
    }
    let rig = env.rig(16).await?;
    let span = 2 * env.unit();
    let before = rig.run(Request::read(0, span, env.shift())).await?;
    for op in &missing {
        let done = rig.run(plain(&env, *op)).await?;
        // A device that may not be written may say that first.
        let fine = done.status == Status::Unsupported || op.writes() && env.info.read_only && done.status == Status::ReadOnly;
        ensure!(fine, "{op:?} is not claimed and ended as {}", done.status);
    }
    let all = rig.run_all(missing.iter().map(|op| plain(&env, *op)).collect()).await?;
    ensure!(all.len() == missing.len(), "refused requests were lost");
    let after = rig.run(Request::read(0, span, env.shift())).await?;
    ensure!(before.data == after.data, "refused requests changed the data");
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// What may not be written is not.
pub(super) async fn read_only(env: Rc<Env>) -> Outcome {
    if !env.info.read_only {
        return skipped("it may be written");
    }
    let rig = env.rig(4).await?;
    let before = rig.run(Request::read(0, env.unit(), env.shift())).await?;
    ensure!(before.status.is_ok(), "a read ended as {}", before.status);
    for op in Op::ALL.into_iter().filter(|op| op.writes() && env.has(*op)) {
        for flags in [Flags::NONE, Flags::FUA] {
            let done = rig.run(plain(&env, op).flagged(flags)).await?;
            ensure!(done.status == Status::ReadOnly, "{op:?} to a read-only device ended as {}", done.status);
        }
    }
    let after = rig.run(Request::read(0, env.unit(), env.shift())).await?;
    ensure!(before.data == after.data, "a read-only device changed");
    rig.leave().await?;
    Ok(Verdict::Passed)
}
