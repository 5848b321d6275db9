//! The suite over devices that are broken on purpose, one fault each: a suite that passes them is the one that is broken.

use doorbell_block::{
    Abort, BlockDevice, BlockQueue, ConsumerId, Cx, DeviceInfo, Done, Flags, Io, IoId, Op, OpenError, Status, Token, WriteCache,
};
use doorbell_conformance::{Ram, Subject, Suite};
use doorbell_sim::{DiskSpec, SimDisk};
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A flush is answered and not passed on.
    SwallowsFlush,
    /// FUA is taken off on the way down.
    SwallowsFua,
    /// Every tenth box is kept.
    KeepsBoxes,
    /// A box of the pool comes back with each tenth, made up to look like it.
    CompletesTwice,
    /// Nobody is woken.
    WakesNobody,
    /// The place is translated on the way down and not back.
    ForgetsToTranslateBack,
    /// Requests come back as they went.
    ForgetsStatus,
    /// A request is put into the pool as soon as it is submitted.
    CompletesInSubmit,
    /// The last byte of a read with several segments is wrong.
    DamagesSegments,
    /// One block past the end is as good as any.
    OffByOne,
    /// Zeroes are not written.
    SkipsZeroes,
    /// Unmapped blocks read as they did.
    SkipsUnmap,
    /// What it does not claim it does not answer.
    LosesUnclaimed,
    /// A payload of the wrong length is none of its business.
    IgnoresLength,
    /// Read-only is what others are.
    WritesReadOnly,
    /// Whatever is compared is equal.
    ForgivesMiscompare,
    /// An abort loses a box.
    AbortLoses,
    /// A write to a far block lands one block off.
    Misplaces,
    /// A write is acknowledged, and one in forty is not done.
    LosesWrites,
    /// A copy leaves its target as it was.
    SkipsCopy,
    /// It wakes its owner for nothing, for ever.
    NeverRests,
    /// It panics at the end of its device.
    Panics,
}

struct Broken {
    inner: Arc<dyn BlockDevice>,
    fault: Fault,
}

struct Queue {
    inner: Box<dyn BlockQueue>,
    fault: Fault,
    info: Arc<DeviceInfo>,
    who: Token,
    nth: u64,
    /// Boxes it answers itself.
    own: Vec<Box<Io>>,
    /// Boxes nobody sees again.
    kept: Vec<Box<Io>>,
    /// What requests were before they were changed on the way down.
    was: HashMap<IoId, (Op, Flags, Status)>,
    aborted: bool,
}

impl BlockDevice for Broken {
    fn info(&self) -> Arc<DeviceInfo> {
        let info = self.inner.info();
        match self.fault {
            Fault::WritesReadOnly => Arc::new(DeviceInfo { read_only: true, ..(*info).clone() }),
            _ => info,
        }
    }

    fn open(&self, cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        let (fault, info) = (self.fault, self.inner.info());
        let woken = if fault == Fault::WakesNobody { cx.token(ConsumerId(1_000)) } else { who };
        let inner = self.inner.open(cx, woken, depth)?;
        let (own, kept, was) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Box::new(Queue { inner, fault, info, who, nth: 0, own, kept, was, aborted: false }))
    }
}

impl Queue {
    fn answer(&mut self, cx: &mut Cx, mut io: Box<Io>, status: Status) {
        io.status = status;
        self.own.push(io);
        cx.wake(self.who);
    }
}

impl BlockQueue for Queue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        self.nth += 1;
        let tenth = self.nth.is_multiple_of(10);
        let end = io.end();
        match (self.fault, io.op) {
            (Fault::SwallowsFlush, Op::Flush) => return self.answer(cx, io, Status::Ok),
            (Fault::SkipsZeroes, Op::WriteZeroes) | (Fault::SkipsUnmap, Op::Unmap) | (Fault::SkipsCopy, Op::Copy)
                if end.is_some_and(|e| e <= self.info.blocks) =>
            {
                return self.answer(cx, io, Status::Ok);
            }
            (Fault::SwallowsFua, _) => {
                self.was.insert(io.id(), (io.op, io.flags, Status::Ok));
                io.flags = io.flags.without(Flags::FUA);
            }
            (Fault::KeepsBoxes, _) if tenth => return self.kept.push(io),
            (Fault::ForgetsToTranslateBack, Op::Read | Op::Write) if io.lba > 0 => io.lba -= 1,
            (Fault::Misplaces, Op::Write) if io.lba > 20 && end.is_some_and(|e| e < self.info.blocks) => {
                self.was.insert(io.id(), (io.op, io.flags, Status::Ok));
                io.lba += 1;
            }
            (Fault::LosesWrites, Op::Write) if self.nth.is_multiple_of(40) => return self.answer(cx, io, Status::Ok),
            (Fault::ForgetsStatus, _) => {
                self.own.push(io);
                return cx.wake(self.who);
            }
            (Fault::CompletesInSubmit, _) => return cx.put_io(io),
            (Fault::OffByOne, _) if end == Some(self.info.blocks + 1) => return self.answer(cx, io, Status::Ok),
            (Fault::LosesUnclaimed, op) if !self.info.ops.has(op) => return self.kept.push(io),
            (Fault::IgnoresLength, Op::Read | Op::Write) if u64::from(io.sg.bytes()) > io.op.payload(io.blocks, self.info.block_shift) => {
                return self.answer(cx, io, Status::Ok);
            }
            (Fault::Panics, _) if end > Some(self.info.blocks) => panic!("past the end"),
            _ => {}
        }
        self.inner.submit(cx, io);
    }

    fn kick(&mut self, cx: &mut Cx) {
        self.inner.kick(cx);
    }

    fn poll(&mut self, cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.own);
        if self.fault == Fault::NeverRests {
            cx.wake(self.who);
        }
        let mut back = Vec::new();
        self.inner.poll(cx, &mut back);
        for mut io in back {
            if let Some((op, flags, _)) = self.was.remove(&io.id()) {
                if self.fault == Fault::Misplaces {
                    io.lba -= 1;
                }
                (io.op, io.flags) = (op, flags);
            }
            match self.fault {
                Fault::ForgivesMiscompare if io.status == Status::Miscompare => io.status = Status::Ok,
                Fault::DamagesSegments if io.op == Op::Read && io.sg.segs().len() > 1 => io.sg.fill(io.sg.bytes() - 1, 1, 0xee),
                Fault::AbortLoses if std::mem::take(&mut self.aborted) => {
                    self.kept.push(io);
                    continue;
                }
                Fault::CompletesTwice if self.nth.is_multiple_of(10) => {
                    if let Some(mut twin) = cx.take_io() {
                        (twin.op, twin.lba, twin.blocks, twin.tag) = (io.op, io.lba, io.blocks, io.tag);
                        done.push(twin);
                    }
                }
                _ => {}
            }
            done.push(io);
        }
    }

    fn abort(&mut self, cx: &mut Cx, which: Abort) {
        self.aborted = true;
        self.inner.abort(cx, which);
    }
}

/// The case fails, and says this.
#[track_caller]
fn caught(fault: Fault, inner: impl Fn() -> (Arc<dyn BlockDevice>, Option<SimDisk>) + 'static, case: &str, says: &str) {
    let suite = |fault: Option<Fault>| {
        let inner = inner();
        Suite::new("broken", move |_| {
            let (inner, disk) = inner.clone();
            let device: Arc<dyn BlockDevice> = match fault {
                Some(fault) => Arc::new(Broken { inner, fault }),
                None => inner,
            };
            let mut subject = Subject::new(device);
            if let Some(disk) = disk {
                subject = subject.probe(move || disk.counters().flushes + disk.counters().fua_writes);
            }
            async move { Ok(subject) }
        })
        .only(&[case])
    };
    let report = suite(Some(fault)).run_simulated();
    assert!(report.has_failed(case), "{fault:?} was not caught by {case}");
    assert!(report.to_string().contains(says), "{fault:?} was caught by {case}, which said:\n{report}");
    // Without the fault the same case finds nothing: it was the fault that it caught.
    let report = suite(None).run_simulated();
    assert!(report.failed().is_empty(), "{report}");
}

fn ram() -> (Arc<dyn BlockDevice>, Option<SimDisk>) {
    (Arc::new(Ram::new(9, 1_000)), None)
}

fn plain() -> (Arc<dyn BlockDevice>, Option<SimDisk>) {
    (Arc::new(Ram::with(DeviceInfo::plain(9, 1_000))), None)
}

fn disk() -> (Arc<dyn BlockDevice>, Option<SimDisk>) {
    let disk = SimDisk::new(DiskSpec::new(1, 9, 1_000));
    assert_eq!(disk.info().write_cache, WriteCache::Volatile);
    (Arc::new(disk.clone()), Some(disk))
}

macro_rules! faults {
    ($($test:ident: $fault:ident of $inner:ident, caught by $case:literal, which says $says:literal;)*) => {
        $(#[test]
        fn $test() {
            caught(Fault::$fault, $inner, $case, $says);
        })*
    };
}

faults! {
    a_swallowed_flush: SwallowsFlush of disk, caught by "flush", which says "no flush reached";
    a_swallowed_fua: SwallowsFua of disk, caught by "fua", which says "neither FUA nor a flush";
    a_kept_box: KeepsBoxes of ram, caught by "beyond_depth", which says "did not come back";
    a_kept_box_of_an_owner_that_left: KeepsBoxes of ram, caught by "leave_with_requests_out", which says "never came back";
    a_kept_box_under_load: KeepsBoxes of ram, caught by "integrity_depth_8", which says "came to a stop";
    a_second_completion: CompletesTwice of ram, caught by "integrity_depth_8", which says "was not out";
    a_wake_forgotten: WakesNobody of ram, caught by "first_and_last_block", which says "had not been woken";
    a_wake_forgotten_by_a_disk: WakesNobody of disk, caught by "first_and_last_block", which says "had not been woken";
    a_field_not_restored: ForgetsToTranslateBack of ram, caught by "first_and_last_block", which says "came back changed";
    a_status_not_set: ForgetsStatus of ram, caught by "first_and_last_block", which says "nobody set the status";
    a_completion_inside_submit: CompletesInSubmit of ram, caught by "first_and_last_block", which says "submit put a box back";
    a_damaged_segment: DamagesSegments of ram, caught by "segments", which says "differs";
    an_end_that_is_off_by_one: OffByOne of ram, caught by "out_of_range", which says "ended as ok";
    zeroes_not_written: SkipsZeroes of ram, caught by "write_zeroes", which says "after WriteZeroes";
    blocks_not_unmapped: SkipsUnmap of ram, caught by "unmap", which says "after Unmap";
    an_unclaimed_operation_lost: LosesUnclaimed of plain, caught by "unclaimed_operations", which says "did not come back";
    a_length_not_checked: IgnoresLength of ram, caught by "payload_length", which says "ended as ok";
    a_read_only_device_that_writes: WritesReadOnly of ram, caught by "read_only", which says "ended as ok";
    a_miscompare_forgiven: ForgivesMiscompare of ram, caught by "compare", which says "ended as ok";
    a_lost_update: ForgivesMiscompare of ram, caught by "compare_and_write_is_atomic", which says "of 12 equal";
    an_abort_that_loses_a_box: AbortLoses of disk, caught by "abort_all", which says "did not come back";
    a_misplaced_write: Misplaces of plain, caught by "integrity_depth_8", which says "differs from byte 0";
    a_lost_write: LosesWrites of ram, caught by "integrity_depth_64", which says "differs from byte 0";
    a_copy_not_done: SkipsCopy of ram, caught by "copy", which says "after a copy";
    wakes_for_nothing: NeverRests of ram, caught by "rests_when_idle", which says "for nothing";
    a_panic: Panics of ram, caught by "out_of_range", which says "panicked: past the end";
}

/// What is said to be taken away, or made smaller, and is not.
#[test]
fn a_change_that_did_not_come() {
    let make = || Subject::new(Arc::new(Ram::new(9, 4096))).removal(|| {}).resizing(|_, _| {});
    let suite = Suite::new("broken", move |_| async move { Ok(make()) }).only(&["removed_under_load", "resized_under_load"]);
    let report = suite.run_simulated();
    let says = |case: &str, what: &str| report.failed().iter().any(|(name, why)| *name == case && why.contains(what));
    assert!(says("removed_under_load", "ended as ok after the device was taken away"), "{report}");
    assert!(says("resized_under_load", "it says 4096 blocks, and has 2048"), "{report}");
}
