//! Load on block devices, in this process: what `doorbell perf block` does, for other programs too.
//!
//! A [`Generator`] runs on one reactor over one device; its [`Outcome`] says how fast it went. It knows nothing of where the device
//! comes from, and of what else the reactor does.
//!
//! ```
//! use doorbell::perf::block::{Generator, Job, Pattern, Stop};
//! # use doorbell_block::*;
//! # struct Null; struct Queue(Token, Done);
//! # impl BlockQueue for Queue {
//! #     fn submit(&mut self, cx: &mut Cx, io: Box<Io>) { self.1.push(io); cx.wake(self.0) }
//! #     fn kick(&mut self, _: &mut Cx) {}
//! #     fn poll(&mut self, _: &mut Cx, done: &mut Done) { done.append(&mut self.1) }
//! # }
//! # impl BlockDevice for Null {
//! #     fn info(&self) -> std::sync::Arc<DeviceInfo> { DeviceInfo::plain(9, 1 << 20).into() }
//! #     fn open(&self, _: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
//! #         Ok(Box::new(Queue(who, Vec::with_capacity(depth as usize))))
//! #     }
//! # }
//! # let device = Null;
//! let job = Job { depth: 8, stop: Stop::AfterIos(10_000), ..Job::new(Pattern::RandRead, 4096) };
//! let (outcome, _) = doorbell_reactor::run(&doorbell_reactor::Config::default(), |local| async move {
//!     let (tx, rx) = doorbell_reactor::oneshot();
//!     local.with(move |cx| Generator::start(cx, &device, &job, tx)).await.unwrap();
//!     rx.await.unwrap()
//! })
//! .unwrap();
//! assert!(outcome.ios >= 10_000 && outcome.errors.iter().all(|n| *n == 0));
//! ```

mod generator;
mod histogram;
mod pattern;
mod verify;

pub use generator::{Generator, Job, Outcome, StartError, Stop};
pub use histogram::Histogram;
pub use pattern::Pattern;
pub use verify::Mismatch;
