//! Pools of buffers: fixed size classes, one pool per reactor, no lock on take or give.
//!
//! A pool never grows. When a class is empty a larger one serves; when those are empty too, `get` is `None` and the caller waits its turn.

use crate::{Backing, MemError, Region, Regions, Seg};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSpec {
    /// Bytes of a buffer: a power of two from 512 to 1 MiB.
    pub size: u32,
    /// How many.
    pub count: u32,
}

/// The classes of a reactor's pool unless told otherwise: some 80 MiB of addresses, of which only what is used becomes resident.
pub const DEFAULT_CLASSES: [ClassSpec; 6] = [
    ClassSpec { size: 512, count: 1024 },
    ClassSpec { size: 4 << 10, count: 4096 },
    ClassSpec { size: 16 << 10, count: 512 },
    ClassSpec { size: 64 << 10, count: 192 },
    ClassSpec { size: 128 << 10, count: 192 },
    ClassSpec { size: 1 << 20, count: 16 },
];

/// What a pool is made of.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// Its classes, in rising order of size.
    pub classes: Vec<ClassSpec>,
    /// Huge or ordinary pages.
    pub backing: Backing,
    /// The NUMA node it should lie on.
    pub node: Option<u32>,
}

impl Default for PoolSpec {
    /// In ordinary pages: a machine's huge pages were set aside for somebody, and are taken only when they are asked for.
    fn default() -> Self {
        PoolSpec { classes: DEFAULT_CLASSES.to_vec(), backing: Backing::Ordinary, node: None }
    }
}

/// How a class stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes of a buffer.
    pub size: u32,
    /// How many there are.
    pub count: u32,
    /// How many are free.
    pub free: u32,
    /// How often a request for this class had to wait.
    pub misses: u64,
}

pub(crate) struct Block {
    pub(crate) base: NonNull<u8>,
    pub(crate) len: u32,
    class: u8,
    /// Set while the block is out of a pool; foreign blocks have none.
    pub(crate) home: Option<Rc<Home>>,
    /// Keeps the mapping alive.
    pub(crate) region: Arc<Region>,
}

impl Block {
    pub(crate) fn foreign(region: Arc<Region>, base: NonNull<u8>, len: u32) -> Rc<Block> {
        Rc::new(Block { base, len, class: 0, home: None, region })
    }
}

struct Class {
    size: u32,
    count: u32,
    free: UnsafeCell<Vec<Rc<Block>>>,
    misses: Cell<u64>,
}

impl Class {
    #[inline]
    fn take(&self) -> Option<Rc<Block>> {
        // SAFETY: one thread (Rc), and neither take nor give calls anything that could come back here while the reference lives.
        unsafe { (*self.free.get()).pop() }
    }

    #[inline]
    fn give(&self, block: Rc<Block>) {
        // SAFETY: as in take; the list has capacity for every block of the class, so nothing is allocated.
        unsafe { (*self.free.get()).push(block) }
    }

    fn len(&self) -> usize {
        // SAFETY: as in take.
        unsafe { (*self.free.get()).len() }
    }
}

pub(crate) struct Home {
    classes: Vec<Class>,
    /// Index of the smallest class that holds 2^n bytes.
    by_log2: [u8; 21],
    out: Cell<u32>,
    region: Arc<Region>,
    regions: Regions,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.regions.retire(&self.region);
    }
}

/// A reactor's pool. Clones are the same pool.
#[derive(Clone)]
pub struct Pool {
    home: Rc<Home>,
}

impl Pool {
    /// Maps the memory and carves it.
    pub fn new(regions: &Regions, spec: &PoolSpec) -> Result<Pool, MemError> {
        let mut specs = spec.classes.clone();
        specs.retain(|c| c.count > 0);
        specs.sort_by_key(|c| c.size);
        for c in &mut specs {
            c.size = c.size.clamp(512, 1 << 20).next_power_of_two();
        }
        // The largest first, so that each buffer is aligned to its own size or to a page, whichever is less.
        let total: usize = specs.iter().map(|c| c.size as usize * c.count as usize).sum();
        let region = regions.map(total.max(4096), spec.backing, spec.node)?;
        region.set_pooled(); // before anybody else can have it
        let mut offset = 0usize;
        let mut classes = Vec::with_capacity(specs.len());
        for c in specs.iter().rev() {
            let class = (specs.len() - 1 - classes.len()) as u8;
            let mut free = Vec::with_capacity(c.count as usize);
            for n in 0..c.count as usize {
                let Some(base) = region.at(offset + n * c.size as usize, c.size as usize) else { break };
                free.push(Rc::new(Block { base, len: c.size, class, home: None, region: region.clone() }));
            }
            free.reverse(); // low addresses first
            offset += c.size as usize * c.count as usize;
            classes.push(Class { size: c.size, count: free.len() as u32, free: UnsafeCell::new(free), misses: Cell::new(0) });
        }
        classes.reverse();
        let mut by_log2 = [u8::MAX; 21];
        for (log2, slot) in by_log2.iter_mut().enumerate() {
            if let Some(n) = classes.iter().position(|c| c.size as usize >= 1 << log2) {
                *slot = n as u8;
            }
        }
        let home = Home { classes, by_log2, out: Cell::new(0), region, regions: regions.clone() };
        Ok(Pool { home: Rc::new(home) })
    }

    /// A small pool in ordinary memory, for tests and examples: `count` buffers of `size`.
    pub fn small(size: u32, count: u32) -> Pool {
        let spec = PoolSpec { classes: vec![ClassSpec { size, count }], backing: Backing::Ordinary, node: None };
        match Pool::new(&Regions::new(), &spec) {
            Ok(pool) => pool,
            Err(e) => panic!("{e}"),
        }
    }

    /// A buffer of at least `bytes`, cut to that length; `None` when none is free (or none is that large).
    #[inline]
    pub fn get(&self, bytes: u32) -> Option<Seg> {
        let first = self.class_of(bytes)?;
        for class in self.home.classes.get(first..)? {
            if let Some(block) = class.take() {
                return self.lend(block, bytes);
            }
        }
        self.count_miss(first);
        None
    }

    #[inline]
    fn lend(&self, mut block: Rc<Block>, bytes: u32) -> Option<Seg> {
        // A free block is referred to by its list alone, so this cannot fail; were it to, the block would be lost, not shared.
        Rc::get_mut(&mut block)?.home = Some(self.home.clone());
        self.home.out.set(self.home.out.get() + 1);
        Some(Seg::of(block, bytes))
    }

    /// The smallest class that holds `bytes`; `None` when none is that large.
    #[inline]
    pub fn class_of(&self, bytes: u32) -> Option<usize> {
        let log2 = u32::BITS - bytes.saturating_sub(1).leading_zeros();
        let class = usize::from(*self.home.by_log2.get(log2 as usize)?);
        (class < self.home.classes.len()).then_some(class)
    }

    /// Bytes of the longest list of buffers that can ever be had: all of the largest class.
    pub fn longest(&self) -> u64 {
        self.home.classes.last().map_or(0, |c| u64::from(c.size) * u64::from(c.count))
    }

    /// How many classes there are, in rising order of size.
    pub fn classes(&self) -> usize {
        self.home.classes.len()
    }

    /// How many buffers of a class are free.
    pub fn free_of(&self, class: usize) -> u32 {
        self.home.classes.get(class).map_or(0, |c| c.len() as u32)
    }

    /// A buffer of just this class, cut to `bytes`.
    pub fn get_of(&self, class: usize, bytes: u32) -> Option<Seg> {
        let class = self.home.classes.get(class).filter(|c| bytes <= c.size)?;
        let block = class.take()?;
        self.lend(block, bytes)
    }

    /// Counts a request of a class that could not be served.
    #[cold]
    pub fn count_miss(&self, class: usize) {
        if let Some(missed) = self.home.classes.get(class) {
            missed.misses.set(missed.misses.get() + 1);
        }
    }

    /// The largest buffer that there is.
    pub fn largest(&self) -> u32 {
        self.home.classes.last().map_or(0, |c| c.size)
    }

    /// Buffers out.
    #[inline]
    pub fn out(&self) -> u32 {
        self.home.out.get()
    }

    /// How each class stands.
    pub fn stats(&self) -> Vec<PoolStats> {
        let class = |c: &Class| PoolStats { size: c.size, count: c.count, free: c.len() as u32, misses: c.misses.get() };
        self.home.classes.iter().map(class).collect()
    }

    /// The memory behind it.
    pub fn region(&self) -> &Arc<Region> {
        &self.home.region
    }
}

/// Puts a block back. Called by the last share of it.
#[inline]
pub(crate) fn go_home(home: Rc<Home>, block: Rc<Block>) {
    home.out.set(home.out.get() - 1);
    if let Some(class) = home.classes.get(block.class as usize) {
        class.give(block);
    }
}

#[cfg(test)]
mod tests;
