use super::*;
use doorbell_block::DeviceInfo;
use doorbell_mem::{Backing, ClassSpec, PoolSpec};
use doorbell_reactor::{Config, oneshot, run};
use std::sync::Mutex;

/// Memory that may lie: every `rot`th write (0: none) stores something else.
struct Memory {
    bytes: Mutex<Vec<u8>>,
    rot: u64,
    fail_from: u64,
    status: Status,
}

struct Queue {
    memory: Arc<Memory>,
    token: Token,
    held: Done,
    writes: u64,
}

impl BlockQueue for Queue {
    fn submit(&mut self, cx: &mut Cx, mut io: Box<Io>) {
        let mut bytes = self.memory.bytes.lock().unwrap();
        let at = (io.lba as usize) << 9;
        let part = &mut bytes[at..at + io.sg.bytes() as usize];
        io.status = Status::Ok;
        match io.op {
            _ if io.lba >= self.memory.fail_from => io.status = self.memory.status,
            Op::Read => io.sg.write_at(0, part),
            _ => {
                io.sg.read_at(0, part);
                self.writes += 1;
                if self.memory.rot > 0 && self.writes.is_multiple_of(self.memory.rot) {
                    part[77] ^= 1;
                }
            }
        }
        self.held.push(io);
        cx.wake(self.token);
    }

    fn kick(&mut self, _cx: &mut Cx) {}

    fn poll(&mut self, _cx: &mut Cx, done: &mut Done) {
        done.append(&mut self.held);
    }
}

struct Device(Arc<Memory>);

impl BlockDevice for Device {
    fn info(&self) -> Arc<DeviceInfo> {
        DeviceInfo::plain(9, self.0.bytes.lock().unwrap().len() as u64 >> 9).into()
    }

    fn open(&self, _cx: &mut Cx, who: Token, depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        if depth == 13 {
            return Err(OpenError::Resources("thirteen".to_owned()));
        }
        Ok(Box::new(Queue { memory: self.0.clone(), token: who, held: Vec::new(), writes: 0 }))
    }
}

fn memory(rot: u64, fail_from: u64) -> Device {
    Device(Arc::new(Memory { bytes: Mutex::new(vec![0; 1 << 20]), rot, fail_from, status: Status::WriteError }))
}

/// Fails so in its second half.
fn failing(status: Status) -> Device {
    Device(Arc::new(Memory { bytes: Mutex::new(vec![0; 1 << 20]), rot: 0, fail_from: 1024, status }))
}

/// Runs a job on a reactor with 64 boxes and buffers; nothing may be lost.
fn go(device: Device, job: Job) -> Result<Outcome, String> {
    let pool = PoolSpec { classes: vec![ClassSpec { size: 8192, count: 64 }], backing: Backing::Ordinary, node: None };
    let config = Config { boxes: 64, pool, ..Config::default() };
    let (outcome, closed) = run(&config, |local| async move {
        let (tx, rx) = oneshot();
        let started = local.with(move |cx| Generator::start(cx, &device, &job, tx).map_err(|e| e.to_string())).await;
        match started {
            Ok(()) => Ok(rx.await.unwrap()),
            Err(e) => Err(e),
        }
    })
    .unwrap();
    assert_eq!((closed[0].boxes_out, closed[0].buffers_out), (0, 0));
    outcome
}

fn job(pattern: Pattern) -> Job {
    Job { depth: 16, stop: Stop::AfterIos(2000), ..Job::new(pattern, 4096) }
}

#[test]
fn every_pattern_runs_to_its_end_and_gives_everything_back() {
    for pattern in [Pattern::Read, Pattern::Write, Pattern::RandRead, Pattern::RandWrite, Pattern::Rw, Pattern::RandRw] {
        let outcome = go(memory(0, u64::MAX), job(pattern)).unwrap();
        assert!(outcome.ios >= 2000 && outcome.ios < 2000 + 16, "{pattern:?}: {}", outcome.ios);
        assert_eq!(outcome.latency.count(), outcome.ios);
        assert_eq!(outcome.errors, [0; Status::ALL.len()]);
        assert!(outcome.elapsed_ns > 0);
    }
}

#[test]
fn large_requests_take_several_buffers() {
    let outcome = go(memory(0, u64::MAX), Job { io_bytes: 20480, depth: 4, ..job(Pattern::RandWrite) }).unwrap();
    assert!(outcome.ios >= 2000);
}

#[test]
fn verification_passes_on_memory_and_counts_what_it_compared() {
    for pattern in [Pattern::Write, Pattern::RandRead, Pattern::RandRw] {
        let outcome = go(memory(0, u64::MAX), Job { verify: true, ..job(pattern) }).unwrap();
        assert_eq!((outcome.mismatches, outcome.first_mismatch), (0, None), "{pattern:?}");
        assert!(outcome.verified >= 200, "{pattern:?}: {}", outcome.verified);
    }
}

#[test]
fn verification_finds_a_flipped_bit() {
    let outcome = go(memory(97, u64::MAX), Job { verify: true, ..job(Pattern::Write) }).unwrap();
    assert!(outcome.mismatches > 0);
    assert_eq!(outcome.first_mismatch.map(|m| m.byte), Some(72));
}

#[test]
fn verification_of_fewer_slots_than_boxes_runs() {
    let outcome = go(memory(0, u64::MAX), Job { verify: true, range: 8..40, ..job(Pattern::RandRw) }).unwrap();
    assert_eq!(outcome.mismatches, 0);
}

#[test]
fn failures_are_counted_by_status() {
    for verify in [false, true] {
        let outcome = go(failing(Status::WriteError), Job { verify, ..job(Pattern::Write) }).unwrap();
        let failed = outcome.errors[Status::WriteError as usize];
        assert!((2000..2016).contains(&(outcome.ios + failed)) || verify, "{failed} and {}", outcome.ios);
        assert!((600..1400).contains(&failed), "{failed} and {}", outcome.ios);
        // What failed is no work, and took no time that says anything.
        assert!((600..1400).contains(&outcome.ios) && outcome.latency.count() == outcome.ios, "{failed} and {}", outcome.ios);
    }
}

#[test]
fn a_load_ends_when_its_device_has_gone() {
    for (verify, stop) in [(false, Stop::AfterIos(u64::MAX)), (true, Stop::AfterIos(u64::MAX)), (false, Stop::AfterNs(u64::MAX / 2))] {
        let outcome = go(failing(Status::Gone), Job { verify, stop, ..job(Pattern::Write) }).unwrap();
        let gone = outcome.errors[Status::Gone as usize];
        assert!((1..=32).contains(&gone), "{gone}");
        assert!((64..=256).contains(&outcome.ios) && outcome.latency.count() == outcome.ios, "{}", outcome.ios);
    }
}

#[test]
fn what_cannot_run_says_why_and_leaves_nothing_behind() {
    let said = |job: Job| go(memory(0, u64::MAX), job).unwrap_err();
    assert!(said(Job { io_bytes: 1000, ..job(Pattern::Read) }).contains("no multiple"));
    assert!(said(Job { range: 5..9, ..job(Pattern::Read) }).contains("room for 4 blocks"));
    assert!(said(Job { depth: 65, ..job(Pattern::Read) }).contains("for 64 requests only"));
    assert!(said(Job { depth: 13, ..job(Pattern::Read) }).contains("thirteen"));
}

struct Zoned;

impl BlockDevice for Zoned {
    fn info(&self) -> Arc<DeviceInfo> {
        let zones = doorbell_block::Zones { blocks: 64, max_open: 0, max_active: 0, max_append_blocks: 8 };
        Arc::new(DeviceInfo { zones: Some(zones), ..DeviceInfo::plain(9, 128) })
    }

    fn open(&self, _cx: &mut Cx, _who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Err(OpenError::Gone)
    }
}

#[test]
fn zones_are_read_and_not_written() {
    let mut cx = Cx::for_test(16, 4096, 16);
    let mut start = |pattern, verify| {
        let job = Job { depth: 2, verify, ..Job::new(pattern, 4096) };
        Generator::start(&mut cx, &Zoned, &job, oneshot().0).unwrap_err()
    };
    for pattern in [Pattern::Write, Pattern::RandWrite, Pattern::Rw, Pattern::RandRw] {
        assert!(matches!(start(pattern, false), StartError::Zoned { pattern: said } if said == pattern));
    }
    assert!(matches!(start(Pattern::RandRead, true), StartError::Zoned { pattern: Pattern::RandRead }));
    assert!(matches!(start(Pattern::RandRead, false), StartError::Open(OpenError::Gone)));
}
