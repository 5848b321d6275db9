//! A device that gets another size, or goes, while requests are out.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use crate::rig::{Finished, Request, Rig};
use doorbell_block::{Op, Status};
use std::rc::Rc;

/// Requests of one unit each, spread evenly over the first `blocks`: writes where writing is allowed, and reads.
fn spread(env: &Env, blocks: u64, n: u64) -> Vec<Request> {
    let unit = env.unit();
    let places = (blocks / u64::from(unit)).max(1);
    let request = |k: u64| {
        let lba = (k * places / n.max(1)) * u64::from(unit);
        match env.writable() && k.is_multiple_of(2) {
            true => Request::send(Op::Write, lba, unit, vec![0x5c; (unit as usize) << env.shift()]),
            false => Request::read(lba, unit, env.shift()),
        }
        .tagged(lba)
    };
    (0..n.min(places)).map(request).collect()
}

const OUT: u64 = 48;

/// Sends some to the first `reach` blocks, does `what`, sends some more to all at once, and waits for all: first those of before.
async fn meanwhile(rig: &Rig, env: &Env, reach: u64, what: impl AsyncFnOnce()) -> Result<[Vec<Finished>; 2], Failure> {
    let blocks = env.info.blocks;
    let before = rig.issue(spread(env, reach, OUT)).await?;
    what().await;
    let after = rig.issue(spread(env, blocks, OUT)).await?;
    let mut done = rig.collect(before.len() + after.len()).await?;
    let later = done.extract_if(.., |one| after.contains(&one.id)).collect();
    Ok([done, later])
}

/// Smaller, then as it was: what lies outside is refused as such, everything else is served, and nothing is lost.
pub(super) async fn resized_under_load(env: Rc<Env>) -> Outcome {
    let Some(resize) = env.resizing.clone() else { return skipped("there is no way to give it another size") };
    let unit = u64::from(env.unit());
    let (whole, half) = (env.info.blocks, env.info.blocks / 2 / unit * unit);
    if half == 0 {
        return skipped("it has no half");
    }
    let rig = env.rig(64).await?;
    for round in 0..3 {
        for blocks in [half, whole] {
            let resize = resize.clone();
            let change = async || env.local.with(move |cx| resize(cx, blocks)).await;
            let reach = if env.grows { half } else { whole };
            let [before, after] = meanwhile(&rig, &env, reach, change).await?;
            let now = env.device.info().blocks;
            ensure!(now == blocks, "round {round}: it says {now} blocks, and has {blocks}");
            for one in &before {
                // Those were on their way: the device may have had them already, or met the end of its medium.
                let outside = one.tag + unit > half;
                let fine = match one.status {
                    Status::Ok => true,
                    Status::OutOfRange | Status::ReadError | Status::WriteError => outside,
                    _ => false,
                };
                ensure!(fine, "round {round}: {:?} at {} ended as {} while the size went to {blocks}", one.op, one.tag, one.status);
            }
            for one in &after {
                let want = if one.tag + unit > blocks { Status::OutOfRange } else { Status::Ok };
                ensure!(one.status == want, "round {round}: {:?} at {} of {blocks} ended as {}", one.op, one.tag, one.status);
            }
        }
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Taken away: every request comes back, those that come too late as gone, and its owner can leave.
pub(super) async fn removed_under_load(env: Rc<Env>) -> Outcome {
    let Some(remove) = env.removal.clone() else { return skipped("there is no way to take it away") };
    let (rig, other) = (env.rig(64).await?, env.rig(8).await?);
    let theirs = other.issue(spread(&env, env.info.blocks, 8)).await?;
    let [before, after] = meanwhile(&rig, &env, env.info.blocks, async || remove()).await?;
    for one in before.iter().chain(&other.collect(theirs.len()).await?) {
        let fine = matches!(one.status, Status::Ok | Status::Gone);
        ensure!(fine, "{:?} ended as {} while the device was taken away", one.op, one.status);
    }
    for one in &after {
        ensure!(one.status == Status::Gone, "{:?} ended as {} after the device was taken away", one.op, one.status);
    }
    rig.leave().await?;
    other.leave().await?;
    Ok(Verdict::Passed)
}
