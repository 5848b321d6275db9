//! How large the reactors' pools of buffers are: by `--memory`, or as SPDK's clients set it (`iobuf_set_options`), until the process starts.
//!
//! SPDK has two pools for the whole process, of small and of large buffers. Here each reactor has one of six classes. The bytes that SPDK's
//! small pool would have go to the classes of up to 8 KiB, those of its large pool to the larger ones, in equal parts to the reactors, and among
//! classes in the proportion in which they are by default. No class has fewer buffers than one unit of progress needs.

use crate::reactors::SMALL_BYTES;
use doorbell_block::ReactorId;
use doorbell_control::{ConfigCall, LocalFuture, Methods, Part, RpcError, When, params};
use doorbell_mem::{Backing, ClassSpec, MemError, Pool, PoolSpec, Regions};
use doorbell_reactor::Local;
use doorbell_sys::cpu::{CpuId, numa_node};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Of each class, at least so many bytes on each reactor, and so many buffers.
const LEAST_BYTES: u64 = 128 << 10;
const LEAST_BUFFERS: u64 = 4;

/// What SPDK has where nobody says otherwise.
const SPDK_SMALL: (u64, u32) = (8192, 8192);
const SPDK_LARGE: (u64, u32) = (1024, 135_168);

params! {
    /// Of `iobuf_set_options`. What is not given stays as it is.
    struct Options {
        /// Small buffers of the whole process. Their bytes are shared out among the reactors' classes of up to 8 KiB.
        small_pool_count: Option<u64>,
        /// Large buffers of the whole process. Their bytes are shared out among the reactors' classes above 8 KiB.
        large_pool_count: Option<u64>,
        /// Bytes of a small buffer.
        small_bufsize: Option<u32>,
        /// Bytes of a large buffer.
        large_bufsize: Option<u32>,
        /// Pools on each NUMA node. Kept; each reactor's pool lies on the reactor's own node already.
        enable_numa: Option<bool>,
    }
}

impl Options {
    const NONE: Options =
        Options { small_pool_count: None, large_pool_count: None, small_bufsize: None, large_bufsize: None, enable_numa: None };

    /// With what `newer` says in the place of what this does.
    fn and(&self, newer: &Options) -> Options {
        Options {
            small_pool_count: newer.small_pool_count.or(self.small_pool_count),
            large_pool_count: newer.large_pool_count.or(self.large_pool_count),
            small_bufsize: newer.small_bufsize.or(self.small_bufsize),
            large_bufsize: newer.large_bufsize.or(self.large_bufsize),
            enable_numa: newer.enable_numa.or(self.enable_numa),
        }
    }

    /// SPDK's own bounds.
    fn check(&self) -> Result<(), RpcError> {
        let least = [
            ("small_pool_count", self.small_pool_count, 64),
            ("large_pool_count", self.large_pool_count, 8),
            ("small_bufsize", self.small_bufsize.map(u64::from), 4096),
            ("large_bufsize", self.large_bufsize.map(u64::from), 8192),
        ];
        match least.iter().find(|(_, given, least)| given.is_some_and(|given| given < *least)) {
            Some((name, _, least)) => Err(RpcError::invalid_argument().because(format!("{name} is at least {least}"))),
            None => Ok(()),
        }
    }

    /// The bytes of small and of large buffers, where they were set.
    fn bytes(&self) -> [Option<u64>; 2] {
        let bytes = |count: Option<u64>, size: Option<u32>, (count_default, size_default): (u64, u32)| {
            let set = count.is_some() || size.is_some();
            set.then(|| count.unwrap_or(count_default).saturating_mul(size.unwrap_or(size_default).into()))
        };
        [bytes(self.small_pool_count, self.small_bufsize, SPDK_SMALL), bytes(self.large_pool_count, self.large_bufsize, SPDK_LARGE)]
    }
}

fn bytes_of(classes: &[ClassSpec]) -> u64 {
    classes.iter().map(|class| u64::from(class.size) * u64::from(class.count)).sum()
}

/// These classes with `bytes` in all, in the same proportion, none of them without buffers.
pub(crate) fn scaled(classes: &[ClassSpec], bytes: u64) -> Vec<ClassSpec> {
    let whole = u128::from(bytes_of(classes).max(1));
    let scale = |class: &ClassSpec| {
        let least = (LEAST_BYTES / u64::from(class.size)).max(LEAST_BUFFERS);
        let count = u128::from(class.count) * u128::from(bytes) / whole;
        ClassSpec { size: class.size, count: count.clamp(least.into(), u32::MAX.into()) as u32 }
    };
    classes.iter().map(scale).collect()
}

/// A reactor's classes as the options would have them.
fn classes(base: &[ClassSpec], options: &Options, reactors: u32) -> Vec<ClassSpec> {
    let (small, large): (Vec<ClassSpec>, Vec<ClassSpec>) = base.iter().partition(|class| class.size <= SMALL_BYTES);
    let share = |classes: Vec<ClassSpec>, bytes: Option<u64>| match bytes {
        Some(bytes) => scaled(&classes, bytes.div_ceil(reactors.max(1).into())),
        None => classes,
    };
    let [small_bytes, large_bytes] = options.bytes();
    [share(small, small_bytes), share(large, large_bytes)].concat()
}

/// SPDK's subsystem `iobuf`: the pools of buffers.
pub(crate) struct IobufPart {
    local: Local,
    regions: Regions,
    /// The pools that the reactors have by the flags.
    spec: PoolSpec,
    /// Where they are pinned to.
    cpus: Arc<[u32]>,
    options: RefCell<Options>,
}

impl IobufPart {
    /// Of these reactors, whose pools are as `spec` says.
    pub(crate) fn new(local: Local, regions: Regions, spec: PoolSpec, cpus: Arc<[u32]>) -> Rc<IobufPart> {
        Rc::new(IobufPart { local, regions, spec, cpus, options: RefCell::new(Options::NONE) })
    }

    fn set(&self, newer: &Options) -> Result<bool, RpcError> {
        newer.check()?;
        let options = self.options.borrow().and(newer);
        *self.options.borrow_mut() = options;
        Ok(true)
    }

    /// Gives each reactor the pool that was asked for.
    async fn apply(&self) -> Result<(), RpcError> {
        let (options, reactors) = (self.options.borrow().clone(), self.local.reactors());
        if options.bytes() == [None, None] {
            return Ok(());
        }
        let classes = classes(&self.spec.classes, &options, reactors);
        for n in 0..reactors {
            let node = self.spec.node.or_else(|| self.cpus.get(n as usize).and_then(|cpu| numa_node(CpuId(*cpu))));
            let spec = PoolSpec { classes: classes.clone(), backing: self.spec.backing, node };
            let regions = self.regions.clone();
            let changed = self.local.visit(ReactorId(n), move |cx| {
                // The one that it has goes first: huge pages may not suffice for both.
                let none = PoolSpec { classes: Vec::new(), backing: Backing::Ordinary, node: None };
                let free = cx.set_pool(Pool::new(&regions, &none)?);
                Ok::<bool, MemError>(free && cx.set_pool(Pool::new(&regions, &spec)?))
            });
            match changed.await.map_err(|gone| RpcError::internal("Internal error").because(gone))? {
                Ok(true) => {}
                Ok(false) => return Err(RpcError::busy().because(format!("reactor {n}: buffers are in use already"))),
                Err(error) => return Err(RpcError::no_memory().because(format!("iobuf_set_options: reactor {n}: {error}"))),
            }
        }
        tracing::info!(reactors, bytes_each = bytes_of(&classes), "pools of buffers are as iobuf_set_options asks");
        Ok(())
    }
}

impl Part for IobufPart {
    fn name(&self) -> &'static str {
        "iobuf"
    }

    fn methods(self: Rc<Self>, methods: &mut Methods) {
        let doc = "Sets the sizes of the pools of buffers: small ones are those of up to 8 KiB.";
        methods.add("iobuf_set_options", When::Startup, doc, move |options: Options| std::future::ready(self.set(&options)));
    }

    fn save(&self) -> Vec<ConfigCall> {
        let options = self.options.borrow();
        if *options == Options::NONE { Vec::new() } else { vec![ConfigCall::new("iobuf_set_options", &*options)] }
    }

    fn init(self: Rc<Self>) -> LocalFuture<Result<(), RpcError>> {
        Box::pin(async move { self.apply().await })
    }
}
