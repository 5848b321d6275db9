//! The driver against a controller that fails in every way, by seed: every request ends, what was said to be written reads back, nothing is
//! lost, and nothing hangs. `DOORBELL_SEEDS=10000` runs as many, `DOORBELL_SEED=n` one.

use doorbell_block::{BlockDevice, Op, Status};
use doorbell_mem::Regions;
use doorbell_nvme::{Controller, Env, Namespace, Options, Payload, Policy, State};
use doorbell_nvme_model::{Absurd, Counters, DiskSpec, Model, Plan, SimFunction, Stuck};
use doorbell_reactor::{AsyncQueue, Local};
use doorbell_sim::{Entropy, Machine, MachineSpec, seeds};
use doorbell_sys::helper::Helpers;
use doorbell_wire_nvme::{AdminCommand, Cns, Identify};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

const DISKS: [DiskSpec; 2] = [DiskSpec { nsid: 1, shift: 9, blocks: 512 }, DiskSpec { nsid: 3, shift: 12, blocks: 64 }];
const REACTORS: u32 = 2;
/// Virtual time in which all has to end.
const BUDGET_NS: u64 = 900_000_000_000;
const OPERATIONS: u32 = 25;

fn options(entropy: &mut Entropy) -> Options {
    let policy = Policy { timeout_ns: 1_500_000_000, admin_timeout_ns: 2_000_000_000, ..Policy::default() };
    Options {
        io_queue_entries: *entropy.pick(&[2, 4, 16, 256]),
        policy,
        reconnect_delay_ms: *entropy.pick(&[0, 100, 2_000]),
        loss_timeout_ms: Some(20_000),
        fast_fail_ms: *entropy.pick(&[0, 3_000]),
        ..Options::default()
    }
}

/// What may be in a block: the stamps of writes that were acknowledged last, or that may have been done since.
type Possible = Vec<u64>;

fn fill(stamp: u64, bytes: &mut [u8]) {
    for (n, word) in bytes.chunks_mut(8).enumerate() {
        let value = if stamp == 0 { 0 } else { stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ n as u64 };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

/// What all of a run share.
struct Run {
    plan: Plan,
    under_way: Cell<u32>,
    complaints: RefCell<Vec<String>>,
}

impl Run {
    fn complain(&self, what: String) {
        self.complaints.borrow_mut().push(what);
    }
}

/// One who reads and writes blocks of its own.
struct Worker {
    run: Rc<Run>,
    local: Local,
    entropy: Entropy,
    first: u64,
    block: usize,
    most: u64,
    next_stamp: u64,
    known: Vec<Possible>,
}

impl Worker {
    async fn work(mut self, device: Arc<Namespace>) {
        self.local.sleep_ns(self.entropy.below(8_000_000)).await;
        match AsyncQueue::open(&self.local, device, 4).await {
            Ok(queue) => {
                for _ in 0..OPERATIONS {
                    if self.operation(&queue).await == Status::Gone {
                        break;
                    }
                    if self.entropy.chance(200_000) {
                        self.local.sleep_ns(self.entropy.below(2_000_000)).await;
                    }
                }
            }
            // A device that grants one queue serves one reactor.
            Err(error) if self.run.plan.is_harmless() && self.run.plan.queues > 0 => self.run.complain(format!("open: {error}")),
            Err(_) => {}
        }
        self.run.under_way.set(self.run.under_way.get() - 1);
    }

    async fn operation(&mut self, queue: &AsyncQueue) -> Status {
        let blocks = 1 + self.entropy.below(self.most);
        let at = self.entropy.below(self.known.len() as u64 - blocks + 1);
        let lba = self.first + at;
        let range = at as usize..(at + blocks) as usize;
        let op = *self.entropy.pick(&[Op::Read, Op::Read, Op::Write, Op::Write, Op::WriteZeroes, Op::Unmap, Op::Flush]);
        let status = match op {
            Op::Read => return self.read(queue, lba, range).await,
            Op::Write => {
                self.next_stamp += 1;
                let stamp = self.next_stamp;
                let status = self.write(queue, lba, range.len(), stamp).await;
                self.note(range, stamp, status);
                status
            }
            Op::Flush => queue.control(Op::Flush, 0, 0).await,
            _ => {
                let status = queue.control(op, lba, blocks as u32).await;
                self.note(range, 0, status);
                status
            }
        };
        self.judge(op, status);
        status
    }

    fn note(&mut self, range: std::ops::Range<usize>, stamp: u64, status: Status) {
        for known in &mut self.known[range] {
            if status.is_ok() {
                known.clear();
            }
            known.push(stamp);
        }
    }

    fn judge(&self, op: Op, status: Status) {
        if self.run.plan.is_harmless() && !status.is_ok() {
            self.run.complain(format!("{op:?} gave {status:?}, and nothing is wrong with the device"));
        }
    }

    async fn write(&mut self, queue: &AsyncQueue, lba: u64, blocks: usize, stamp: u64) -> Status {
        let mut bytes = vec![0; blocks * self.block];
        bytes.chunks_mut(self.block).for_each(|block| fill(stamp, block));
        self.transfer(queue, Op::Write, lba, bytes).await.0
    }

    async fn read(&mut self, queue: &AsyncQueue, lba: u64, range: std::ops::Range<usize>) -> Status {
        let (status, bytes) = self.transfer(queue, Op::Read, lba, vec![0xa5; range.len() * self.block]).await;
        self.judge(Op::Read, status);
        if !status.is_ok() || self.run.plan.lies() {
            return status;
        }
        for (n, block) in bytes.chunks(self.block).enumerate() {
            let known = &mut self.known[range.start + n];
            let mut expected = vec![0; self.block];
            let is = known.iter().copied().find(|stamp| {
                fill(*stamp, &mut expected);
                *block == *expected
            });
            match is {
                Some(stamp) => *known = vec![stamp],
                None => {
                    let word = u64::from_le_bytes(block[..8].try_into().unwrap());
                    self.run.complain(format!("block {} begins with {word:#x}, not as one of {known:?}", lba + n as u64));
                }
            }
        }
        status
    }

    async fn transfer(&mut self, queue: &AsyncQueue, op: Op, lba: u64, bytes: Vec<u8>) -> (Status, Vec<u8>) {
        let blocks = (bytes.len() / self.block) as u32;
        let len = bytes.len() as u32;
        let seg = loop {
            let wanted = self.local.with(move |cx| cx.pool().get(len)).await;
            match wanted {
                Some(seg) => break seg,
                None => self.local.sleep_ns(100_000).await,
            }
        };
        seg.write_at(0, &bytes);
        let buffer = seg.slice(0, len);
        drop(seg);
        let (status, buffer) = match op {
            Op::Read => queue.read(lba, blocks, buffer).await,
            _ => queue.write(lba, blocks, buffer).await,
        };
        let mut bytes = bytes;
        buffer.read_at(0, &mut bytes);
        (status, bytes)
    }
}

/// Workers for a namespace on every reactor, each with blocks of its own.
fn start(run: &Rc<Run>, locals: &[Local], namespace: &Arc<Namespace>, entropy: &mut Entropy) {
    let info = namespace.info();
    let block = 1usize << info.block_shift;
    let share = info.blocks.min(128) / u64::from(REACTORS);
    let most = u64::from(info.limits.transfer_blocks).min(share).min((1 << 16) / block as u64).min(24);
    if share == 0 || most == 0 || namespace.described().usable.is_err() {
        return;
    }
    for (n, local) in locals.iter().enumerate() {
        let first = share * n as u64;
        let worker = Worker {
            run: run.clone(),
            local: local.clone(),
            entropy: entropy.fork(),
            first,
            block,
            most,
            next_stamp: (u64::from(namespace.nsid()) << 32) + ((n as u64) << 16),
            known: vec![vec![0]; share as usize],
        };
        run.under_way.set(run.under_way.get() + 1);
        local.spawn(worker.work(namespace.clone()));
    }
}

async fn scenario(run: Rc<Run>, env: Env, locals: Vec<Local>, function: Arc<SimFunction>, mut entropy: Entropy) {
    let options = options(&mut entropy);
    let controller = match Controller::attach(&env, "model", function, options).await {
        Ok(controller) => controller,
        Err(error) => {
            if run.plan.is_harmless() {
                run.complain(format!("attach: {error}"));
            }
            return;
        }
    };
    let namespaces = controller.namespaces();
    if run.plan.is_harmless() && namespaces.len() != DISKS.len() {
        run.complain(format!("{} namespaces", namespaces.len()));
    }
    for namespace in namespaces.iter().take(4) {
        start(&run, &locals, namespace, &mut entropy);
    }
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() }).encode();
    let mut resets = if run.plan.absurd == Absurd::EndlessList { 1 } else { u32::MAX };
    while run.under_way.get() > 0 {
        env.local.sleep_ns(entropy.below(4_000_000)).await;
        match entropy.below(12) {
            0 if resets > 0 => {
                resets -= 1;
                let _ = controller.reset().await;
            }
            1 | 2 => {
                let _ = controller.admin(identify, Payload::In(4096)).await;
            }
            _ => env.local.sleep_ns(entropy.below(40_000_000)).await,
        }
    }
    let state = controller.state();
    if run.plan.is_harmless() && state != State::Live {
        run.complain(format!("it is {state:?} at the end"));
    }
    controller.detach().await;
}

/// Runs a seed; says what was wrong.
fn run_seed(seed: u64) -> Vec<String> {
    let mut entropy = Entropy::new(seed ^ 0x6e76_6d65);
    let plan = Plan::draw(&mut entropy);
    run_plan(seed, plan, entropy)
}

fn run_plan(seed: u64, plan: Plan, entropy: Entropy) -> Vec<String> {
    run_counted(seed, plan, entropy).0
}

fn run_counted(seed: u64, plan: Plan, mut entropy: Entropy) -> (Vec<String>, Counters) {
    let regions = Regions::new();
    let spec = MachineSpec { seed, reactors: REACTORS, boxes: 64, regions: regions.clone(), ..MachineSpec::default() };
    let mut machine = Machine::with(&spec).unwrap();
    let model = Model::new(plan.clone(), entropy.fork(), &DISKS).unwrap();
    let function = SimFunction::new(&model).unwrap();
    let run = Rc::new(Run { plan: plan.clone(), under_way: Cell::new(0), complaints: RefCell::default() });
    let env = Env { local: machine.local(0), regions, helpers: Helpers::at_once().unwrap() };
    let locals = (0..REACTORS).map(|n| machine.local(n)).collect();
    let done = Rc::new(Cell::new(false));
    let (over, work) = (done.clone(), scenario(run.clone(), env, locals, function, entropy));
    machine.local(0).spawn(async move {
        work.await;
        over.set(true);
    });
    let ended = turn(&mut machine, &model, &done);
    let mut wrong = run.complaints.take();
    if let Err(stalled) = ended {
        wrong.push(format!("{stalled}; {} workers are left", run.under_way.get()));
        return (wrong, Counters::default());
    }
    for closed in machine.close(10_000_000_000) {
        if closed.boxes_out > 0 || closed.buffers_out > 0 {
            wrong.push(format!("lost: {closed:?}"));
        }
    }
    let counters = model.lock().unwrap().counters();
    if !plan.lies() && counters.stray_dma > 0 {
        wrong.push(format!("it was pointed at memory that was not mapped: {counters:?}"));
    }
    if counters.driver_errors > 0 {
        wrong.push(format!("the driver broke a rule: {counters:?}"));
    }
    (wrong, counters)
}

/// Turns the machine, and the model with it, until all is done.
fn turn(machine: &mut Machine, model: &Arc<Mutex<Model>>, done: &Cell<bool>) -> Result<(), doorbell_sim::Stalled> {
    let mut alarm = 0;
    machine.run_until(BUDGET_NS, |machine| {
        let now = machine.now().0;
        let due = {
            let mut model = model.lock().unwrap();
            model.step(now);
            model.next_due()
        };
        // Time must not jump past what the model is to do next.
        if let Some(due) = due
            && (alarm <= now || due < alarm)
        {
            alarm = due;
            let local = machine.local(0);
            machine.local(0).spawn(async move { local.sleep_until(doorbell_block::Ticks(due)).await });
        }
        done.get()
    })
}

#[test]
fn every_fault_ends_in_a_status_or_a_recovery() {
    // One seed is run to see what it does.
    if std::env::var_os("DOORBELL_SEED").is_some() {
        tracing_subscriber::fmt().with_test_writer().init();
    }
    let mut failures = Vec::new();
    for seed in seeds(100) {
        let wrong = run_seed(seed);
        if !wrong.is_empty() {
            let mut entropy = Entropy::new(seed ^ 0x6e76_6d65);
            let plan = Plan::draw(&mut entropy);
            failures.push(format!("DOORBELL_SEED={seed}: {} complaints, first: {}\n    {plan:?}", wrong.len(), wrong[0]));
        }
    }
    assert!(failures.is_empty(), "{} seeds failed\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_controller_without_faults_has_no_failures() {
    for seed in 0..8 {
        assert_eq!(run_plan(seed, Plan::honest(), Entropy::new(seed)).first(), None, "seed {seed}");
    }
}

#[test]
fn one_that_stops_late_or_never_ends_what_it_was_given_by_a_reset_of_its_function() {
    let plan = Plan { stuck: Stuck::NeverStops, resettable: true, ..Plan::honest() };
    assert_eq!(run_plan(1, plan, Entropy::new(1)), Vec::<String>::new());
}

#[test]
fn lists_and_shadow_doorbells_are_used_where_they_are_offered() {
    let (mut lists, mut unrung) = (0, 0);
    for seed in 0..8 {
        let plan = Plan { sgls: seed as u8 % 3, shadows: seed % 2 == 1, ..Plan::honest() };
        let (wrong, counters) = run_counted(seed, plan.clone(), Entropy::new(seed));
        assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
        assert!(plan.sgls > 0 || counters.lists == 0, "seed {seed}");
        assert!(plan.shadows || counters.unrung == 0, "seed {seed}");
        (lists, unrung) = (lists + counters.lists, unrung + counters.unrung);
    }
    assert!(lists > 0 && unrung > 0, "{lists} {unrung}");
}

#[test]
fn namespaces_may_leave_and_return_under_load() {
    let mut changes = 0;
    for seed in 0..8 {
        let plan = Plan { comes_and_goes: 20_000, ..Plan::honest() };
        let (wrong, counters) = run_counted(seed, plan, Entropy::new(seed));
        assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
        changes += counters.changes;
    }
    assert!(changes > 0);
}
