//! Runs the cases over a device, on real reactors or in a simulated machine, and says in words what failed.

use crate::case::{Case, Env, Failure, Outcome, Patience, Probe, Removal, Resizing, Verdict};
use crate::cases;
use doorbell_block::{BlockDevice, Cx};
use doorbell_mem::{Backing, ClassSpec, PoolSpec};
use doorbell_reactor::{Closed, Config, Local, run};
use doorbell_sim::{Machine, MachineSpec};
use std::any::Any;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// A device under test, made for one case.
pub struct Subject {
    device: Arc<dyn BlockDevice>,
    probe: Option<Probe>,
    removal: Option<Removal>,
    resizing: Option<Resizing>,
    grows: bool,
    keep: Vec<Box<dyn Any>>,
}

impl Subject {
    /// A device by itself.
    pub fn new(device: Arc<dyn BlockDevice>) -> Subject {
        Subject { device, probe: None, removal: None, resizing: None, grows: false, keep: Vec::new() }
    }

    /// With a count of the flushes and FUA writes that reached what makes them true.
    pub fn probe(self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Subject {
        Subject { probe: Some(Arc::new(count)), ..self }
    }

    /// With a way to take it away for good.
    pub fn removal(self, remove: impl Fn() + 'static) -> Subject {
        Subject { removal: Some(Rc::new(remove)), ..self }
    }

    /// With a way to give it another size, in blocks, never more than it began with; it tells whoever has to be told.
    pub fn resizing(self, resize: impl Fn(&mut Cx, u64) + 'static) -> Subject {
        Subject { resizing: Some(Rc::new(resize)), ..self }
    }

    /// A write beyond the end of its medium makes that longer, as it does a file: one that was on its way when the file was cut undoes the cut.
    pub fn growing(self) -> Subject {
        Subject { grows: true, ..self }
    }

    /// With something that is to live as long as the device is used: a folder, a registry.
    pub fn keep(mut self, what: impl Any) -> Subject {
        self.keep.push(Box::new(what));
        self
    }
}

type Making = Pin<Box<dyn Future<Output = Result<Subject, String>>>>;

/// The suite over one kind of device.
pub struct Suite {
    name: String,
    make: Rc<dyn Fn(Local) -> Making>,
    only: Vec<String>,
    seed: u64,
    patience: Patience,
}

/// How a run of the suite went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    name: String,
    passed: Vec<&'static str>,
    skipped: Vec<(&'static str, String)>,
    failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Cases that found all as it should be.
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// Cases that had nothing to test, and why.
    pub fn skipped(&self) -> &[(&'static str, String)] {
        &self.skipped
    }

    /// Cases that failed, and why.
    pub fn failed(&self) -> &[(&'static str, String)] {
        &self.failed
    }

    /// Did this case fail?
    pub fn has_failed(&self, case: &str) -> bool {
        self.failed.iter().any(|(name, _)| *name == case)
    }

    /// Prints what was skipped, and panics with a readable text if anything failed.
    ///
    /// # Panics
    /// If a case failed, or none passed.
    #[track_caller]
    pub fn assert_passed(&self) {
        for (case, why) in &self.skipped {
            println!("{}: {case}: skipped: {why}", self.name);
        }
        assert!(self.failed.is_empty(), "{self}");
        assert!(!self.passed.is_empty(), "{}: no case ran", self.name);
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (passed, skipped, failed) = (self.passed.len(), self.skipped.len(), self.failed.len());
        writeln!(f, "{}: {failed} cases failed, {passed} passed, {skipped} had nothing to test", self.name)?;
        for (case, why) in &self.failed {
            writeln!(f, "  {case}: {}", why.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl Suite {
    /// The suite over what `make` makes: a new device for each case, on the first reactor of that case.
    pub fn new<F>(name: &str, make: impl Fn(Local) -> F + 'static) -> Suite
    where
        F: Future<Output = Result<Subject, String>> + 'static,
    {
        let make: Rc<dyn Fn(Local) -> Making> = Rc::new(move |local| Box::pin(make(local)));
        Suite { name: name.to_owned(), make, only: Vec::new(), seed: 1, patience: Patience { ns: 20_000_000_000 } }
    }

    /// Only these cases.
    ///
    /// # Panics
    /// If there is no such case: a typing error must not pass for a test.
    pub fn only(mut self, names: &[&str]) -> Suite {
        for name in names {
            assert!(Suite::names().any(|n| n == *name), "there is no case `{name}`");
        }
        self.only = names.iter().map(|n| (*n).to_owned()).collect();
        self
    }

    /// With this seed.
    pub fn seed(self, seed: u64) -> Suite {
        Suite { seed, ..self }
    }

    /// Waiting at most this long for what ought to come.
    pub fn patience(self, ns: u64) -> Suite {
        Suite { patience: Patience { ns }, ..self }
    }

    /// Every case's name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        cases::ALL.iter().map(|c| c.name)
    }

    /// Runs it on real reactors.
    pub fn run(&self) -> Report {
        self.each(|case| self.on_threads(case))
    }

    /// Runs it in simulated machines, whose clock is virtual and whose order the seed fixes. For devices that need no descriptors, threads
    /// or real time.
    pub fn run_simulated(&self) -> Report {
        self.each(|case| self.in_a_machine(case))
    }

    fn each(&self, run_one: impl Fn(&'static Case) -> Outcome) -> Report {
        let mut report = Report { name: self.name.clone(), ..Report::default() };
        for case in cases::ALL.iter().filter(|c| self.only.is_empty() || self.only.iter().any(|n| n == c.name)) {
            // A panic of the device's is its failure, and must not hide the other cases'.
            match catch_unwind(AssertUnwindSafe(|| run_one(case))) {
                Ok(Ok(Verdict::Passed)) => report.passed.push(case.name),
                Ok(Ok(Verdict::Skipped(why))) => report.skipped.push((case.name, why)),
                Ok(Err(failure)) => report.failed.push((case.name, failure.to_string())),
                Err(panic) => report.failed.push((case.name, format!("panicked: {}", words(&*panic)))),
            }
        }
        report
    }

    /// What a case does on its first reactor.
    fn body(&self, case: &'static Case, local: Local) -> impl Future<Output = Outcome> + 'static {
        let (make, patience) = (self.make.clone(), self.patience);
        let seed = case.name.bytes().fold(self.seed, |seed, b| seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(b));
        async move {
            let subject = make(local.clone()).await.map_err(|why| Failure::new(format!("the device could not be made: {why}")))?;
            let Subject { device, probe, removal, resizing, grows, keep } = subject;
            let info = device.info();
            if let Some(why) = case.says_nothing_of(&info) {
                drop(keep);
                return Ok(Verdict::Skipped(why.to_owned()));
            }
            let env = Env { local: local.clone(), device, info, probe, removal, resizing, grows, seed, patience };
            let outcome = (case.run)(Rc::new(env)).await;
            drop(keep);
            outcome
        }
    }

    fn on_threads(&self, case: &'static Case) -> Outcome {
        let config = Config { reactors: case.reactors, boxes: 512, pool: pool(), ..Config::default() };
        let ran = run(&config, |local| self.body(case, local));
        let (outcome, closed) = ran.map_err(|e| Failure::new(format!("the reactors did not start: {e}")))?;
        counted(outcome, &closed)
    }

    fn in_a_machine(&self, case: &'static Case) -> Outcome {
        let spec = MachineSpec { seed: self.seed, reactors: case.reactors, boxes: 512, classes: classes(), ..MachineSpec::default() };
        let mut machine = Machine::with(&spec).map_err(|e| Failure::new(e.to_string()))?;
        // The case's own patience ends first, and knows more.
        let budget_ns = self.patience.ns.saturating_mul(100);
        let outcome = machine.run(budget_ns, |local| self.body(case, local)).unwrap_or_else(|e| Err(Failure::new(e.to_string())));
        // What failed may never rest; nobody asks then what it lost.
        let rest_ns = if outcome.is_ok() { self.patience.ns } else { 0 };
        counted(outcome, &machine.close(rest_ns))
    }
}

fn classes() -> Vec<ClassSpec> {
    let class = |size, count| ClassSpec { size, count };
    vec![class(512, 512), class(4 << 10, 1024), class(64 << 10, 128), class(128 << 10, 96), class(1 << 20, 12)]
}

fn pool() -> PoolSpec {
    PoolSpec { classes: classes(), backing: Backing::Ordinary, node: None }
}

/// A box or a buffer that did not come back is a failure of its own; of a case that failed anyway it says nothing new.
fn counted(outcome: Outcome, closed: &[Closed]) -> Outcome {
    let verdict = outcome?;
    let mut lost = String::new();
    for c in closed.iter().filter(|c| c.boxes_out > 0 || c.buffers_out > 0) {
        let _ = write!(lost, "reactor {} closed with {} boxes and {} buffers out; ", c.reactor.0, c.boxes_out, c.buffers_out);
    }
    if lost.is_empty() { Ok(verdict) } else { Err(Failure::new(lost)) }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("with no words").to_owned()
}
