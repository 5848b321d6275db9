//! The edges of a device and of requests.

use crate::case::{Env, Outcome, Verdict, ensure, skipped};
use crate::rig::{Cuts, Payload, Request};
use doorbell_block::{Op, Status};
use doorbell_sim::Entropy;
use std::rc::Rc;

/// Block 0 and the last one hold what was written to them.
pub(super) async fn first_and_last_block(env: Rc<Env>) -> Outcome {
    let (shift, unit) = (env.shift(), env.unit());
    let rig = env.rig(4).await?;
    let last = env.info.blocks - u64::from(unit);
    let mut entropy = Entropy::new(env.seed);
    for lba in [0, last] {
        let mut bytes = vec![0; (unit as usize) << shift];
        entropy.fill(&mut bytes);
        if env.writable() {
            let done = rig.run(Request::send(Op::Write, lba, unit, bytes.clone())).await?;
            ensure!(done.status.is_ok(), "a write at {lba} ended as {}", done.status);
        }
        let done = rig.run(Request::read(lba, unit, shift)).await?;
        ensure!(done.status.is_ok(), "a read at {lba} ended as {}", done.status);
        ensure!(!env.writable() || done.data == bytes, "block {lba} does not hold what was written to it");
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

fn ranged(env: &Env, op: Op, lba: u64, blocks: u32) -> Request {
    let bytes = op.payload(blocks, env.shift());
    let payload = match (op, bytes) {
        (_, 0) => Payload::None,
        (Op::Read, n) => Payload::Room(n as u32),
        (_, n) => Payload::Bytes(vec![0xa5; n as usize]),
    };
    Request { payload, ..Request::plain(op, lba, blocks) }
}

/// Whatever touches a block past the end is refused, however its numbers wrap.
pub(super) async fn out_of_range(env: Rc<Env>) -> Outcome {
    let rig = env.rig(8).await?;
    let (blocks, unit) = (env.info.blocks, env.unit());
    let read_last = Request::read(blocks - u64::from(unit), unit, env.shift());
    let before = rig.run(read_last.clone()).await?;
    let far = u64::MAX - u64::from(unit) + 1;
    for op in Op::ALL.into_iter().filter(|op| op.has_range() && env.has(*op) && !(op.writes() && env.info.read_only)) {
        let mut wrong = vec![
            ranged(&env, op, blocks, unit),
            ranged(&env, op, blocks - u64::from(unit), 2 * unit),
            ranged(&env, op, u64::MAX / 2, unit),
            ranged(&env, op, far, unit),
            ranged(&env, op, far, 2 * unit),
        ];
        if op.payload(1, 9) == 0 && blocks < u64::from(u32::MAX - unit) {
            wrong.push(ranged(&env, op, 0, u32::MAX / unit * unit));
        }
        if op == Op::Copy {
            for source in [blocks, blocks - u64::from(unit) + 1, u64::MAX] {
                wrong.push(Request { source, ..ranged(&env, op, 0, unit) });
            }
        }
        for request in wrong {
            let about = format!("{op:?} of {} blocks at {} (source {}) of {blocks}", request.blocks, request.lba, request.source);
            let done = rig.run(request).await?;
            ensure!(done.status == Status::OutOfRange, "{about} ended as {}", done.status);
        }
    }
    for op in [Op::SeekData, Op::SeekHole].into_iter().filter(|op| env.has(*op)) {
        for lba in [blocks, u64::MAX] {
            let done = rig.run(Request::plain(op, lba, 0)).await?;
            let nothing = done.status.is_ok() && done.result == u64::MAX;
            ensure!(nothing || done.status == Status::OutOfRange, "{op:?} from {lba} ended as {} with {}", done.status, done.result);
        }
    }
    let after = rig.run(read_last).await?;
    ensure!(before.data == after.data, "requests past the end changed the last block");
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Requests of no blocks come back, and change nothing.
pub(super) async fn zero_blocks(env: Rc<Env>) -> Outcome {
    let rig = env.rig(8).await?;
    let before = rig.run(Request::read(0, env.unit(), env.shift())).await?;
    for op in Op::ALL.into_iter().filter(|op| op.has_range()) {
        for lba in [0, env.info.blocks - 1, env.info.blocks, u64::MAX] {
            let done = rig.run(Request::plain(op, lba, 0)).await?;
            let told = matches!(done.status, Status::Ok | Status::Invalid | Status::OutOfRange | Status::Unsupported | Status::ReadOnly);
            ensure!(told, "{op:?} of no blocks at {lba} ended as {}", done.status);
        }
    }
    let after = rig.run(Request::read(0, env.unit(), env.shift())).await?;
    ensure!(before.data == after.data, "requests of no blocks changed the data");
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// A payload that is too short, too long or missing is refused, and nothing has changed.
pub(super) async fn payload_length(env: Rc<Env>) -> Outcome {
    let rig = env.rig(8).await?;
    let (shift, unit) = (env.shift(), env.unit());
    let before = rig.run(Request::read(0, unit, shift)).await?;
    for op in [Op::Read, Op::Write, Op::Compare, Op::CompareAndWrite] {
        if !env.has(op) || op.writes() && env.info.read_only {
            continue;
        }
        let right = op.payload(unit, shift) as u32;
        for wrong in [0, 1, 512, right - 1, right + 1, right + (1 << shift), 2 * right].into_iter().filter(|n| *n != right) {
            let payload = match (wrong, op) {
                (0, _) => Payload::None,
                (n, Op::Read) => Payload::Room(n),
                (n, _) => Payload::Bytes(vec![0x77; n as usize]),
            };
            let done = rig.run(Request { payload, ..Request::plain(op, 0, unit) }).await?;
            ensure!(done.status == Status::Invalid, "{op:?} of {unit} blocks with {wrong} bytes ended as {}", done.status);
        }
    }
    let after = rig.run(Request::read(0, unit, shift)).await?;
    ensure!(before.data == after.data, "requests with wrong payloads changed the data");
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Beyond its limits a device refuses, or does all the same what was asked; nothing in between.
pub(super) async fn beyond_limits(env: Rc<Env>) -> Outcome {
    let (l, shift) = (env.info.limits, env.shift());
    let mut shapes: Vec<(&str, u64, u32, Cuts)> = Vec::new();
    let most = 1u32 << (20 - shift);
    if l.transfer_blocks > 0 && l.transfer_blocks < most {
        let blocks = (l.transfer_blocks + 1).next_multiple_of(env.unit());
        shapes.push(("too long", 0, blocks, Cuts::One));
    }
    if l.boundary_blocks > 1 && l.boundary_blocks < most {
        shapes.push(("across a boundary", u64::from(l.boundary_blocks - env.unit()), 2 * env.unit(), Cuts::One));
    }
    if env.unit() > 1 {
        shapes.push(("off its write unit", 1, env.unit(), Cuts::One));
        shapes.push(("less than its write unit", 0, 1, Cuts::One));
    }
    let align = l.align_bytes.max(1);
    if l.segments > 0 && (u32::from(l.segments) + 1) * align <= (env.unit() << shift).max(64 << 10) {
        let blocks = ((u32::from(l.segments) + 1) * align).div_ceil(1 << shift).next_multiple_of(env.unit());
        shapes.push(("too many segments", 0, blocks, Cuts::Shares(vec![align])));
    }
    if l.segment_bytes > 0 && l.segment_bytes < 1 << 20 {
        let blocks = (l.segment_bytes + 1).div_ceil(1 << shift).next_multiple_of(env.unit());
        shapes.push(("a segment too long", 0, blocks, Cuts::One));
    }
    shapes.retain(|(_, lba, blocks, _)| lba + u64::from(*blocks) <= env.info.blocks && *blocks << shift <= 1 << 20);
    if shapes.is_empty() || !env.writable() {
        return skipped("it states no limits that a test could pass, or may not be written");
    }
    let rig = env.rig(4).await?;
    let mut entropy = Entropy::new(env.seed);
    for (what, lba, blocks, cuts) in shapes {
        let mut bytes = vec![0; (blocks as usize) << shift];
        entropy.fill(&mut bytes);
        let write = rig.run(Request::send(Op::Write, lba, blocks, bytes.clone()).cut(cuts.clone())).await?;
        ensure!(matches!(write.status, Status::Ok | Status::Invalid), "a write that is {what} ended as {}", write.status);
        let read = rig.run(Request::read(lba, blocks, shift).cut(cuts)).await?;
        ensure!(matches!(read.status, Status::Ok | Status::Invalid), "a read that is {what} ended as {}", read.status);
        if write.status.is_ok() && read.status.is_ok() {
            ensure!(read.data == bytes, "a write that is {what} ended as ok, and was not done");
        }
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}
