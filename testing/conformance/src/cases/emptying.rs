//! Zeroes, unmapping, and finding what is there.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use crate::model::Model;
use crate::rig::{Request, Rig};
use crate::shape::Shape;
use doorbell_block::{Flags, Op, ReadAfterUnmap};
use doorbell_sim::Entropy;
use std::rc::Rc;

/// Fills the first blocks with data, in pieces that the limits allow.
async fn fill(rig: &Rig, env: &Env, model: &mut Model, blocks: u64, entropy: &mut Entropy) -> Result<(), Failure> {
    let unit = env.unit();
    let mut lba = 0;
    while lba < blocks {
        let mut bytes = vec![0; (unit as usize) << env.shift()];
        entropy.fill(&mut bytes);
        model.write(lba, &bytes);
        let done = rig.run(Request::send(Op::Write, lba, unit, bytes)).await?;
        ensure!(done.status.is_ok(), "a write at {lba} ended as {}", done.status);
        lba += u64::from(unit);
    }
    Ok(())
}

async fn check(rig: &Rig, env: &Env, model: &Model, blocks: u64, after: &str) -> Result<(), Failure> {
    for lba in 0..blocks {
        let done = rig.run(Request::read(lba, 1, env.shift())).await?;
        ensure!(done.status.is_ok(), "a read at {lba} ended as {}", done.status);
        model.check(lba, &done.data).map_err(|why| Failure::new(format!("after {after}: {why}")))?;
    }
    Ok(())
}

/// Zeroes are read where they were written, and nowhere else.
pub(super) async fn write_zeroes(env: Rc<Env>) -> Outcome {
    if !env.has(Op::WriteZeroes) || !env.writable() {
        return skipped("it claims no write zeroes, or may not be written");
    }
    emptied(env, Op::WriteZeroes).await
}

/// Unmapped blocks read as the device says, and others are untouched.
pub(super) async fn unmap(env: Rc<Env>) -> Outcome {
    if !env.has(Op::Unmap) || !env.writable() {
        return skipped("it claims no unmap, or may not be written");
    }
    emptied(env, Op::Unmap).await
}

async fn emptied(env: Rc<Env>, op: Op) -> Outcome {
    let rig = env.rig(4).await?;
    let blocks = env.info.blocks.min(24.max(4 * u64::from(env.unit()))) / u64::from(env.unit()) * u64::from(env.unit());
    let (mut model, mut entropy) = (Model::new(0, blocks, env.shift()), Entropy::new(env.seed));
    let shape = Shape::of(&env.info);
    for round in 0..8 {
        fill(&rig, &env, &mut model, blocks, &mut entropy).await?;
        let Some((lba, n)) = shape.range(&mut entropy, op, &(0..blocks)) else { continue };
        let flags = if op == Op::WriteZeroes && round % 2 == 1 { Flags::MAY_UNMAP } else { Flags::NONE };
        let done = rig.run(Request::plain(op, lba, n).flagged(flags)).await?;
        ensure!(done.status.is_ok(), "{op:?} of {n} blocks at {lba} ended as {}", done.status);
        match (op, env.info.read_after_unmap) {
            (Op::Unmap, ReadAfterUnmap::Undefined) => model.forget(lba, u64::from(n)),
            _ => model.zero(lba, u64::from(n)),
        }
        check(&rig, &env, &model, blocks, &format!("{op:?} of {n} blocks at {lba} with {flags:?}")).await?;
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// A seek never skips data that is not zero, and what it calls a hole reads as zeroes.
pub(super) async fn seek(env: Rc<Env>) -> Outcome {
    if !env.has(Op::SeekData) || !env.has(Op::SeekHole) {
        return skipped("it does not claim both seeks");
    }
    let rig = env.rig(4).await?;
    let unit = u64::from(env.unit());
    let blocks = env.info.blocks.min(32.max(4 * unit)) / unit * unit;
    let (mut model, mut entropy) = (Model::new(0, blocks, env.shift()), Entropy::new(env.seed));
    if env.writable() {
        fill(&rig, &env, &mut model, blocks / 2 / unit * unit, &mut entropy).await?;
        if env.has(Op::Unmap) {
            rig.run(Request::plain(Op::Unmap, unit, env.unit())).await?;
        }
    }
    // What is unmapped and may read as anything is neither.
    let anything = env.has(Op::Unmap) && env.info.read_after_unmap == ReadAfterUnmap::Undefined;
    let mut data = Vec::new();
    for lba in 0..blocks {
        if anything && (!env.writable() || lba >= blocks / 2 / unit * unit || (unit..2 * unit).contains(&lba)) {
            data.push(false);
            continue;
        }
        data.push(rig.run(Request::read(lba, 1, env.shift())).await?.data.iter().any(|b| *b != 0));
    }
    for lba in 0..blocks {
        let found = rig.run(Request::plain(Op::SeekData, lba, 0)).await?;
        ensure!(found.status.is_ok(), "SeekData from {lba} ended as {}", found.status);
        ensure!(found.result >= lba, "SeekData from {lba} went back to {}", found.result);
        ensure!(found.result == u64::MAX || found.result < env.info.blocks, "SeekData from {lba} found {}, past the end", found.result);
        if let Some(skipped) = (lba..found.result.min(blocks)).find(|at| data[*at as usize]) {
            ensure!(false, "SeekData from {lba} found {}, and block {skipped} before it holds data", found.result);
        }
        let hole = rig.run(Request::plain(Op::SeekHole, lba, 0)).await?;
        ensure!(hole.status.is_ok(), "SeekHole from {lba} ended as {}", hole.status);
        ensure!(hole.result >= lba, "SeekHole from {lba} went back to {}", hole.result);
        let full = hole.result < blocks && data[hole.result as usize];
        ensure!(!full, "SeekHole from {lba} found {}, which holds data", hole.result);
        ensure!(hole.result != found.result || hole.result == u64::MAX, "block {} is a hole and is data", hole.result);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}
