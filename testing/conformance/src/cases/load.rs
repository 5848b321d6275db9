//! Data integrity under random mixed load, alone and beside others.

use crate::case::{Env, Failure, Outcome, Verdict, ensure, skipped};
use crate::load::{LoadSpec, Pieces, start};
use doorbell_block::{Cx, ReactorId};
use doorbell_reactor::{Receiver, oneshot};
use std::ops::Range;
use std::rc::Rc;

/// How many blocks a load of tests works on.
const REGION_BLOCKS: u64 = 512;

/// The blocks that the `nth` of `of` loads has for itself.
fn share(env: &Env, nth: u64, of: u64) -> Range<u64> {
    let unit = u64::from(env.unit()).max(u64::from(env.info.limits.boundary_blocks).min(env.info.blocks / of).max(1));
    let each = (env.info.blocks / of / unit * unit).min(REGION_BLOCKS.next_multiple_of(unit));
    nth * each..(nth + 1) * each
}

async fn outcome(env: &Env, answer: Receiver<Result<u64, Failure>>) -> Result<u64, Failure> {
    match env.patience.wait(&env.local, answer).await {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(Failure::new("the load vanished")),
        None => Err(Failure::new("the load came to a stop: requests did not come back, or nobody was woken")),
    }
}

async fn alone(env: Rc<Env>, depth: u32, requests: u64) -> Outcome {
    let (sender, answer) = oneshot();
    let device = env.device.clone();
    let spec = LoadSpec { seed: env.seed, region: share(&env, 0, 1), requests, depth, pieces: Pieces::Any };
    env.local.with(move |cx| start(cx, &*device, spec, sender)).await;
    let made = outcome(&env, answer).await?;
    ensure!(made > requests, "the load made {made} requests of {requests}");
    gone(&env).await
}

/// Waits until queues that were left are gone.
async fn gone(env: &Env) -> Outcome {
    let retired = async {
        while env.local.with(|cx| cx.retired()).await > 0 {
            env.local.sleep_ns(100_000).await;
        }
    };
    match env.patience.wait(&env.local, retired).await {
        Some(()) => Ok(Verdict::Passed),
        None => Err(Failure::new("a queue that was left never got its last box back")),
    }
}

/// One request at a time.
pub(super) async fn integrity_depth_1(env: Rc<Env>) -> Outcome {
    alone(env, 1, 300).await
}

/// Eight at a time.
pub(super) async fn integrity_depth_8(env: Rc<Env>) -> Outcome {
    alone(env, 8, 1_000).await
}

/// Sixty-four at a time.
pub(super) async fn integrity_depth_64(env: Rc<Env>) -> Outcome {
    alone(env, 64, 2_000).await
}

/// With few boxes and buffers left everyone waits his turn, and nothing fails or stops.
pub(super) async fn scarce_boxes_and_buffers(env: Rc<Env>) -> Outcome {
    let (sender, answer) = oneshot();
    let device = env.device.clone();
    let spec = LoadSpec { seed: env.seed, region: share(&env, 0, 1), requests: 400, depth: 32, pieces: Pieces::OneBuffer };
    let hoard = move |cx: &mut Cx| {
        start(cx, &*device, spec, sender);
        // Queues are open and have their reserves; what is left is for all.
        let mut boxes = Vec::new();
        while cx.spare_boxes() > 12
            && let Some(io) = cx.take_io()
        {
            boxes.push(io);
        }
        let mut buffers = Vec::new();
        let mut sizes: Vec<(u32, u32)> = cx.pool().stats().iter().map(|c| (c.size, c.free)).collect();
        sizes.reverse();
        for (size, free) in sizes {
            for _ in 6..free {
                buffers.extend(cx.buffer(size));
            }
        }
        (boxes, buffers)
    };
    let (boxes, buffers) = env.local.with(hoard).await;
    let made = outcome(&env, answer).await;
    drop(buffers);
    let put_back = move |cx: &mut Cx| boxes.into_iter().for_each(|io| cx.put_io(io));
    env.local.with(put_back).await;
    made?;
    gone(&env).await
}

/// Two queues of one reactor, on blocks of their own.
pub(super) async fn two_queues(env: Rc<Env>) -> Outcome {
    several(env, 1, 2).await
}

/// Queues on several reactors at once, on blocks of their own.
pub(super) async fn several_reactors(env: Rc<Env>) -> Outcome {
    let reactors = env.local.reactors();
    several(env, reactors, 2).await
}

async fn several(env: Rc<Env>, reactors: u32, each: u32) -> Outcome {
    let all = u64::from(reactors * each);
    if share(&env, 0, all).is_empty() {
        return skipped("it is too small to share");
    }
    let mut answers = Vec::new();
    for n in 0..reactors * each {
        let (sender, answer) = oneshot();
        let device = env.device.clone();
        let (seed, region) = (env.seed ^ u64::from(n) << 32, share(&env, u64::from(n), all));
        let spec = LoadSpec { seed, region, requests: 500, depth: 16, pieces: Pieces::Any };
        let begun = env.local.visit(ReactorId(n % reactors), move |cx| start(cx, &*device, spec, sender)).await;
        ensure!(begun.is_ok(), "reactor {} does not answer", n % reactors);
        answers.push(answer);
    }
    let mut worst = None;
    for answer in answers {
        if let Err(e) = outcome(&env, answer).await {
            worst.get_or_insert(e);
        }
    }
    for n in 1..reactors {
        let left = async {
            while env.local.visit(ReactorId(n), |cx| cx.retired()).await.unwrap_or(0) > 0 {
                env.local.sleep_ns(100_000).await;
            }
        };
        env.patience.wait(&env.local, left).await;
    }
    match worst {
        Some(e) => Err(e),
        None => gone(&env).await,
    }
}
