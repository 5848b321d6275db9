//! The driver on the model: readers and writers on two reactors while the controller fails, is reset, and is asked this and that.
//!
//! What has to hold, whatever a plan says: every request ends; what was said to be written reads back; nothing is lost; nothing that has
//! ended is touched; the driver keeps the rules; and where a plan does no harm no request fails, and none waits for anything but the device.
//! All of it follows from a seed, a plan and a stream of entropy, on virtual time: it ends, or says that it would not.

mod operator;
mod worker;

use crate::{Counters, DiskSpec, Model, Plan, SimFunction};
use doorbell_block::{BlockDevice, Op, ReactorId, Ticks};
use doorbell_mem::{ClassSpec, Regions};
use doorbell_nvme::{Controller, Env, Namespace, Options, Policy, State};
use doorbell_reactor::Local;
use doorbell_sim::{Entropy, Machine, MachineSpec, Stalled};
use doorbell_sys::helper::Helpers;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use worker::Worker;

const DISKS: [DiskSpec; 2] = [DiskSpec { nsid: 1, shift: 9, blocks: 512 }, DiskSpec { nsid: 3, shift: 12, blocks: 64 }];
const REACTORS: u32 = 2;
/// Virtual time in which all has to end.
const BUDGET_NS: u64 = 900_000_000_000;
/// How long a request may take on a controller that does no harm: a few resets. A wake-up that was lost takes longer.
const PATIENCE_NS: u64 = 400_000_000;

/// A run of the driver on a model.
#[derive(Clone)]
pub struct Trial {
    /// Of the machine: the order of turns.
    pub seed: u64,
    /// What the controller does wrong.
    pub plan: Plan,
    /// All other chance.
    pub entropy: Entropy,
    /// What each worker does, in requests.
    pub operations: u32,
    /// Reactors sleep when they have nothing to do.
    pub sleeps: bool,
    /// Buffers of each reactor, if they are not the usual ones.
    pub classes: Option<Vec<ClassSpec>>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was wrong.
    pub wrong: Vec<String>,
    /// What the controller saw.
    pub counters: Counters,
    /// How often a reactor fell asleep.
    pub slept: u64,
}

/// A machine with the model beside it, and whether all is done.
type Started = (Machine, Arc<Mutex<Model>>, Rc<Cell<bool>>);

/// What all of a run share.
struct Run {
    plan: Plan,
    operations: u32,
    under_way: Cell<u32>,
    /// Entries of an I/O queue.
    entries: Cell<u16>,
    /// What each worker is at, by its first stamp.
    doing: RefCell<BTreeMap<u64, (Op, u64)>>,
    complaints: RefCell<Vec<String>>,
}

impl Run {
    fn new(trial: &Trial) -> Rc<Run> {
        Rc::new(Run {
            plan: trial.plan.clone(),
            operations: trial.operations,
            under_way: Cell::new(0),
            entries: Cell::new(0),
            doing: RefCell::default(),
            complaints: RefCell::default(),
        })
    }

    fn complain(&self, what: String) {
        self.complaints.borrow_mut().push(what);
    }
}

impl Trial {
    /// One as seeds have it: every plan with 25 requests of each worker, and half of them with reactors that sleep.
    pub fn of_seed(seed: u64) -> Trial {
        let mut entropy = Entropy::new(seed ^ 0x6e76_6d65);
        let plan = Plan::draw(&mut entropy);
        Trial { seed, plan, operations: 25, sleeps: entropy.coin(), classes: None, entropy }
    }

    /// One with a plan of its own.
    pub fn of_plan(seed: u64, plan: Plan) -> Trial {
        Trial { seed, plan, operations: 25, sleeps: false, classes: None, entropy: Entropy::new(seed) }
    }

    /// Runs it.
    pub fn run(mut self) -> Outcome {
        let run = Run::new(&self);
        let (entropy, shared) = (self.entropy.fork(), run.clone());
        self.drive(&run, move |env, locals, function| scenario(shared, env, locals, function, entropy))
    }

    /// Attaches the controller, has `work` do what it wants with it, and lets it go. `work` is to assert for itself; what has to hold
    /// whatever it does is in the outcome.
    pub fn operate<F: Future<Output = ()> + 'static>(mut self, work: impl FnOnce(Env, Controller) -> F + 'static) -> Outcome {
        let run = Run::new(&self);
        let shared = run.clone();
        self.drive(&run, move |env, _, function| async move {
            match Controller::attach(&env, "model", function, Options::default()).await {
                Ok(controller) => {
                    work(env, controller.clone()).await;
                    controller.detach().await;
                }
                Err(error) => shared.complain(format!("attach: {error}")),
            }
        })
    }

    fn drive<F: Future<Output = ()> + 'static>(
        &mut self,
        run: &Rc<Run>,
        work: impl FnOnce(Env, Vec<Local>, Arc<SimFunction>) -> F + 'static,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let (mut machine, model, done) = match self.start(work) {
            Ok(started) => started,
            Err(why) => {
                outcome.wrong.push(format!("nothing could be tried: {why}"));
                return outcome;
            }
        };
        let ended = turn(&mut machine, &model, &done);
        outcome.slept = machine.slept();
        outcome.wrong = run.complaints.take();
        if let Err(stalled) = ended {
            outcome.wrong.push(format!("{stalled}; {} workers are left, at {:?}", run.under_way.get(), run.doing.borrow()));
            return outcome;
        }
        for closed in machine.close(10_000_000_000) {
            if closed.boxes_out > 0 || closed.buffers_out > 0 {
                outcome.wrong.push(format!("lost: {closed:?}"));
            }
        }
        let counters = crate::function::lock(&model).counters();
        if !self.plan.lies() && counters.stray_dma > 0 {
            outcome.wrong.push(format!("it was pointed at memory that was not mapped: {counters:?}"));
        }
        if counters.driver_errors > 0 {
            outcome.wrong.push(format!("the driver broke a rule: {counters:?}"));
        }
        outcome.counters = counters;
        outcome
    }

    fn start<F: Future<Output = ()> + 'static>(
        &mut self,
        work: impl FnOnce(Env, Vec<Local>, Arc<SimFunction>) -> F + 'static,
    ) -> Result<Started, String> {
        let regions = Regions::new();
        let (seed, sleeps) = (self.seed, self.sleeps);
        let usual = MachineSpec::default();
        let classes = self.classes.clone().unwrap_or(usual.classes);
        let spec = MachineSpec { seed, reactors: REACTORS, boxes: 64, classes, regions: regions.clone(), sleeps, ..MachineSpec::default() };
        let machine = Machine::with(&spec).map_err(|e| e.to_string())?;
        let model = Model::new(self.plan.clone(), self.entropy.fork(), &DISKS).map_err(|e| e.to_string())?;
        let function = SimFunction::new(&model).ok_or("a function without doorbells")?;
        let env = Env { local: machine.local(0), regions, helpers: Helpers::at_once().map_err(|e| e.to_string())? };
        let locals = (0..REACTORS).map(|n| machine.local(n)).collect();
        let done = Rc::new(Cell::new(false));
        let (over, work) = (done.clone(), work(env, locals, function));
        machine.local(0).spawn(async move {
            work.await;
            over.set(true);
        });
        Ok((machine, model, done))
    }
}

/// Turns the machine, and the model with it, until all is done.
fn turn(machine: &mut Machine, model: &Arc<Mutex<Model>>, done: &Cell<bool>) -> Result<(), Stalled> {
    let mut seen = Counters::default();
    machine.run_until(BUDGET_NS, |machine| {
        let mut model = crate::function::lock(model);
        let now = machine.now();
        model.step(now.0);
        // What it has just done has to be looked at before time goes on.
        let did = std::mem::replace(&mut seen, model.counters()) != seen;
        machine.expect(if did { Some(now) } else { model.next_due().map(Ticks) });
        done.get()
    })
}

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

/// Workers for a namespace on every reactor, each with blocks of its own.
fn start_workers(run: &Rc<Run>, locals: &[Local], namespace: &Arc<Namespace>, entropy: &mut Entropy) {
    let info = namespace.info();
    let block = 1usize << info.block_shift;
    let share = info.blocks.min(128) / u64::from(REACTORS);
    let most = u64::from(info.limits.transfer_blocks).min(share).min((1 << 16) / block as u64).min(24);
    if share == 0 || most == 0 || namespace.described().usable.is_err() {
        return;
    }
    for (n, local) in locals.iter().enumerate() {
        let (first, stamps) = (share * n as u64, (u64::from(namespace.nsid()) << 32) + ((n as u64) << 16));
        let worker = Worker::new(run.clone(), local.clone(), entropy.fork(), &info, first..first + share, most, stamps);
        run.under_way.set(run.under_way.get() + 1);
        local.spawn(worker.work(namespace.clone()));
    }
}

async fn scenario(run: Rc<Run>, env: Env, locals: Vec<Local>, function: Arc<SimFunction>, mut entropy: Entropy) {
    let options = options(&mut entropy);
    run.entries.set(options.io_queue_entries.min(run.plan.mqes.saturating_add(1)));
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
        start_workers(&run, &locals, namespace, &mut entropy);
    }
    // What was spawned on reactors from outside, which is not how it is done but here, they see when they are called.
    for n in 0..REACTORS {
        let _ = env.local.visit(ReactorId(n), |_| ()).await;
    }
    operator::work(&run, &env.local, &controller, &mut entropy).await;
    let state = controller.state();
    if run.plan.is_harmless() && state != State::Live {
        run.complain(format!("it is {state:?} at the end"));
    }
    controller.detach().await;
}
