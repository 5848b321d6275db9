//! Requests that come back early, and owners that leave.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use crate::rig::{Finished, Request, Rig};
use doorbell_block::{Abort, Op, Status};
use std::collections::HashSet;
use std::rc::Rc;

/// Writes (or reads, where writing is not allowed) of one unit each, tagged by number, on blocks of their own.
fn many(env: &Env, n: u64, byte: u8) -> Vec<Request> {
    let unit = env.unit();
    let request = |k: u64| {
        let lba = k * u64::from(unit) % (env.info.blocks / u64::from(unit) * u64::from(unit));
        let request = if env.writable() && k % 3 != 2 {
            Request::send(Op::Write, lba, unit, vec![byte; (unit as usize) << env.shift()])
        } else {
            Request::read(lba, unit, env.shift())
        };
        request.tagged(k)
    };
    (0..n).map(request).collect()
}

/// Every tag came back once, and as `Ok` or `Aborted`.
fn all_back(done: &[Finished], n: u64) -> Result<(), Failure> {
    let tags: HashSet<u64> = done.iter().map(|d| d.tag).collect();
    ensure!(tags.len() as u64 == n && done.len() as u64 == n, "{} boxes with {} tags came back, and {n} were sent", done.len(), tags.len());
    for d in done {
        let fine = matches!(d.status, Status::Ok | Status::Aborted);
        ensure!(fine, "{:?} with tag {} ended as {}", d.op, d.tag, d.status);
    }
    Ok(())
}

/// What ended as `Ok` was done, and afterwards the queue works as before.
async fn works_after(rig: &Rig, env: &Env, done: &[Finished], byte: u8) -> Result<(), Failure> {
    let unit = env.unit();
    for d in done.iter().filter(|d| d.op == Op::Write && d.status.is_ok()) {
        let read = rig.run(Request::read(d.tag * u64::from(unit), unit, env.shift())).await?;
        ensure!(read.status.is_ok(), "a read afterwards ended as {}", read.status);
        ensure!(read.data.iter().all(|b| *b == byte), "a write ended as ok, and its data is not there (tag {})", d.tag);
    }
    let again = rig.run_all(many(env, 4, byte)).await?;
    for d in &again {
        ensure!(d.status.is_ok(), "afterwards {:?} ended as {}", d.op, d.status);
    }
    Ok(())
}

fn count(env: &Env) -> u64 {
    32.min(env.info.blocks / u64::from(env.unit()))
}

/// Asking one box back brings each back once.
pub(super) async fn abort_one(env: Rc<Env>) -> Outcome {
    let rig = env.rig(32).await?;
    let n = count(&env);
    let first = rig.run_all(many(&env, 1, 0x10)).await?;
    // A box that is back already: nobody's.
    rig.abort(Abort::One(first[0].id)).await;
    let ids = rig.issue(many(&env, n, 0x11)).await?;
    for id in ids.iter().step_by(3) {
        rig.abort(Abort::One(*id)).await;
        rig.abort(Abort::One(*id)).await;
    }
    let done = rig.collect(ids.len()).await?;
    all_back(&done, n)?;
    works_after(&rig, &env, &done, 0x11).await?;
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// Asking all back brings each back once, and none of another queue.
pub(super) async fn abort_all(env: Rc<Env>) -> Outcome {
    let (rig, other) = (env.rig(32).await?, env.rig(4).await?);
    let n = count(&env);
    rig.abort(Abort::All).await;
    rig.issue(many(&env, n, 0x22)).await?;
    other.issue(vec![Request::read(0, 1, env.shift())]).await?;
    rig.abort(Abort::All).await;
    let done = rig.collect(n as usize).await?;
    all_back(&done, n)?;
    let theirs = other.collect(1).await?;
    ensure!(theirs[0].status.is_ok(), "a request of another queue ended as {}", theirs[0].status);
    works_after(&rig, &env, &done, 0x22).await?;
    rig.leave().await?;
    other.leave().await?;
    Ok(Verdict::Passed)
}

/// A reset ends, what was in flight comes back, and the queue works as before.
pub(super) async fn reset(env: Rc<Env>) -> Outcome {
    if !env.has(Op::Reset) {
        return skipped("it claims no reset");
    }
    let rig = env.rig(32).await?;
    let n = count(&env).min(16);
    for round in 0..3 {
        let mut requests = many(&env, n, 0x33);
        requests.insert(n as usize / 2, Request::plain(Op::Reset, 0, 0).tagged(n));
        let done = rig.run_all(requests).await?;
        let status = done.iter().find(|d| d.op == Op::Reset).map(|d| d.status);
        ensure!(status == Some(Status::Ok), "round {round}: the reset ended as {status:?}");
        all_back(&done, n + 1)?;
        works_after(&rig, &env, &done, 0x33).await?;
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// An owner leaves with requests out: they come back to the pool.
pub(super) async fn leave_with_requests_out(env: Rc<Env>) -> Outcome {
    for aborts in [false, true] {
        let rig = env.rig(32).await?;
        rig.issue(many(&env, count(&env), 0x44)).await?;
        if aborts {
            rig.abort(Abort::All).await;
        }
        rig.leave().await?;
    }
    let rig = env.rig(4).await?;
    let done = rig.run_all(many(&env, 4.min(count(&env)), 0x45)).await?;
    for d in &done {
        ensure!(d.status.is_ok(), "afterwards {:?} ended as {}", d.op, d.status);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// More requests than the owner announced wait their turn.
pub(super) async fn beyond_depth(env: Rc<Env>) -> Outcome {
    let rig = env.rig(2).await?;
    let mut requests = Vec::new();
    for _ in 0..4 {
        requests.extend(many(&env, count(&env), 0x55));
    }
    let n = requests.len();
    let done = rig.run_all(requests).await?;
    for d in &done {
        ensure!(d.status.is_ok(), "{:?} with tag {} of {n} at once ended as {}", d.op, d.tag, d.status);
    }
    rig.leave().await?;
    Ok(Verdict::Passed)
}

/// With nothing outstanding it wakes nobody, so that its reactor can sleep.
pub(super) async fn rests_when_idle(env: Rc<Env>) -> Outcome {
    let rig = env.rig(8).await?;
    rig.run_all(many(&env, 8.min(count(&env)), 0x66)).await?;
    // What was under way inside, and timers that were set, may still run out.
    env.local.sleep_ns(2_000_000).await;
    let before = rig.runs();
    for _ in 0..4 {
        rig.issue(Vec::new()).await?; // a kick, and nothing more
        env.local.sleep_ns(1_000_000).await;
    }
    let runs = rig.runs() - before;
    ensure!(runs <= 16, "in 4 ms with nothing outstanding its owner was woken {runs} times, for nothing");
    rig.leave().await?;
    Ok(Verdict::Passed)
}
