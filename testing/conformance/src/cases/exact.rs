//! Comparing, comparing and writing in one step, and copying.

use crate::case::{Env, Outcome, Verdict, ensure, skipped};
use crate::model::Model;
use crate::rig::Request;
use doorbell_block::{Op, Status};
use doorbell_sim::Entropy;
use std::rc::Rc;

fn random(entropy: &mut Entropy, env: &Env, blocks: u32) -> Vec<u8> {
    let mut bytes = vec![0; (blocks as usize) << env.shift()];
    entropy.fill(&mut bytes);
    bytes
}

/// A compare finds one bit of difference, wherever it is, and changes nothing.
pub(super) async fn compare(env: Rc<Env>) -> Outcome {
    if !env.has(Op::Compare) || !env.writable() {
        return skipped("it claims no compare, or may not be written");
    }
    let rig = env.rig(4).await?;
    let (unit, mut entropy) = (env.unit(), Entropy::new(env.seed));
    let bytes = random(&mut entropy, &env, unit);
    rig.run(Request::send(Op::Write, 0, unit, bytes.clone())).await?;
    let done = rig.run(Request::send(Op::Compare, 0, unit, bytes.clone())).await?;
    ensure!(done.status.is_ok(), "a compare of equal data ended as {}", done.status);
    for at in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        let done = rig.run(Request::send(Op::Compare, 0, unit, other)).await?;
        ensure!(done.status == Status::Miscompare, "a compare that differs at byte {at} ended as {}", done.status);
    }
    let read = rig.run(Request::read(0, unit, env.shift())).await?;
    ensure!(read.data == bytes, "a compare changed the data");
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// It writes when what is there is equal, and else nothing.
pub(super) async fn compare_and_write(env: Rc<Env>) -> Outcome {
    if !env.has(Op::CompareAndWrite) || !env.writable() {
        return skipped("it claims no compare-and-write, or may not be written");
    }
    let rig = env.rig(4).await?;
    let (unit, mut entropy) = (env.unit(), Entropy::new(env.seed));
    let mut there = random(&mut entropy, &env, unit);
    rig.run(Request::send(Op::Write, 0, unit, there.clone())).await?;
    for equal in [true, false, true] {
        let new = random(&mut entropy, &env, unit);
        let mut payload = there.clone();
        if !equal {
            *payload.last_mut().unwrap_or(&mut 0) ^= 0x80;
        }
        payload.extend_from_slice(&new);
        let done = rig.run(Request::send(Op::CompareAndWrite, 0, unit, payload)).await?;
        let want = if equal { Status::Ok } else { Status::Miscompare };
        ensure!(done.status == want, "compare-and-write of {} data ended as {}", if equal { "equal" } else { "other" }, done.status);
        if equal {
            there = new;
        }
        let read = rig.run(Request::read(0, unit, env.shift())).await?;
        ensure!(read.data == there, "after a compare-and-write that ended as {want}, the data is wrong");
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Of many that compare with the same content, one wins.
pub(super) async fn compare_and_write_is_atomic(env: Rc<Env>) -> Outcome {
    if !env.has(Op::CompareAndWrite) || !env.writable() {
        return skipped("it claims no compare-and-write, or may not be written");
    }
    let (a, b) = (env.rig(16).await?, env.rig(16).await?);
    let (unit, mut entropy) = (env.unit(), Entropy::new(env.seed));
    let mut there = random(&mut entropy, &env, unit);
    a.run(Request::send(Op::Write, 0, unit, there.clone())).await?;
    for round in 0..8 {
        let news: Vec<Vec<u8>> = (0..12).map(|_| random(&mut entropy, &env, unit)).collect();
        let request = |n: usize| Request::send(Op::CompareAndWrite, 0, unit, [there.clone(), news[n].clone()].concat()).tagged(n as u64);
        a.issue((0..6).map(request).collect()).await?;
        b.issue((6..12).map(request).collect()).await?;
        let mut done = a.collect(6).await?;
        done.extend(b.collect(6).await?);
        let won: Vec<u64> = done.iter().filter(|d| d.status.is_ok()).map(|d| d.tag).collect();
        let lost = done.iter().filter(|d| d.status == Status::Miscompare).count();
        ensure!(won.len() == 1 && lost == 11, "round {round}: {} of 12 equal compare-and-writes won, {lost} lost", won.len());
        there = news[won[0] as usize].clone();
        let read = a.run(Request::read(0, unit, env.shift())).await?;
        ensure!(read.data == there, "round {round}: the data is not the winner's");
    }
    a.leave().await?;
    b.leave().await?;
    Ok(Verdict::Passed)
}

/// A copy brings the source's data, and leaves the source and the neighbours alone.
pub(super) async fn copy(env: Rc<Env>) -> Outcome {
    copied(env, &[(0, 8), (8, 0), (2, 11), (12, 3)], &[1, 3, 4]).await
}

/// Where source and target overlap a copy goes as if through other memory, or is refused.
pub(super) async fn copy_onto_itself(env: Rc<Env>) -> Outcome {
    copied(env, &[(0, 0), (0, 1), (1, 0), (4, 6), (6, 4)], &[3, 4]).await
}

async fn copied(env: Rc<Env>, pairs: &[(u64, u64)], lengths: &[u32]) -> Outcome {
    let unit = env.unit();
    let region = 16 * u64::from(unit);
    if !env.has(Op::Copy) || !env.writable() || env.info.blocks < region {
        return skipped("it claims no copy, may not be written, or is too small");
    }
    let rig = env.rig(4).await?;
    let mut entropy = Entropy::new(env.seed);
    for (source, lba) in pairs.iter().map(|(s, l)| (s * u64::from(unit), l * u64::from(unit))) {
        for blocks in lengths.iter().map(|n| n * unit) {
            if env.info.limits.copy_blocks > 0 && blocks > env.info.limits.copy_blocks {
                continue;
            }
            let mut model = Model::new(0, region, env.shift());
            for at in (0..region).step_by(unit as usize) {
                let bytes = random(&mut entropy, &env, unit);
                model.write(at, &bytes);
                rig.run(Request::send(Op::Write, at, unit, bytes)).await?;
            }
            let done = rig.run(Request::copy(source, lba, blocks)).await?;
            let overlaps = source.abs_diff(lba) < u64::from(blocks);
            let about = format!("a copy of {blocks} blocks from {source} to {lba}");
            match done.status {
                Status::Ok => model.copy(source, lba, u64::from(blocks)),
                Status::Invalid if overlaps => {}
                other => ensure!(false, "{about} ended as {other}"),
            }
            for at in 0..region {
                let read = rig.run(Request::read(at, 1, env.shift())).await?;
                model.check(at, &read.data).map_err(|why| crate::case::Failure::new(format!("after {about}: {why}")))?;
            }
        }
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}
