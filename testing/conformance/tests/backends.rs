//! The suite over the back ends, as they are and under a layer that only forwards.

use doorbell_backends::aio::Aio;
use doorbell_backends::file::FileOptions;
use doorbell_backends::malloc::{Malloc, MallocOptions};
use doorbell_backends::null::{Null, NullOptions};
use doorbell_backends::passthru::Passthru;
use doorbell_backends::uring::{Completions, Uring};
use doorbell_block::{BlockDevice, Cx};
use doorbell_conformance::{Subject, Suite};
use doorbell_mem::Regions;
use doorbell_sys::file::Direct;
use doorbell_sys::helper::Helpers;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn malloc(shift: u8) -> Result<Arc<dyn BlockDevice>, String> {
    Malloc::new(&Regions::new(), &MallocOptions::new(shift, 4096)).map(|m| Arc::new(m) as Arc<dyn BlockDevice>).map_err(|e| e.to_string())
}

#[test]
fn malloc_on_threads() {
    Suite::new("malloc", |_| async { malloc(9).map(Subject::new) }).run().assert_passed();
}

#[test]
fn malloc_in_a_machine() {
    Suite::new("malloc", |_| async { malloc(12).map(Subject::new) }).run_simulated().assert_passed();
}

#[test]
fn three_layers_over_malloc() {
    let stack = || {
        let mut device = malloc(9)?;
        for _ in 0..3 {
            device = Arc::new(Passthru::new(device));
        }
        Ok(Subject::new(device))
    };
    Suite::new("passthru", move |_| async move { stack() }).run_simulated().assert_passed();
}

/// Null keeps nothing, so only what does not read back can be asked of it.
#[test]
fn null_keeps_the_contract() {
    let cases = [
        "info",
        "open_and_leave",
        "claimed_operations",
        "zero_blocks",
        "flush",
        "leave_with_requests_out",
        "beyond_depth",
        "rests_when_idle",
    ];
    Suite::new("null", |_| async { Ok(Subject::new(Arc::new(Null::new(&NullOptions::new(9, 4096))))) })
        .only(&cases)
        .run_simulated()
        .assert_passed();
}

/// A file that goes away with its device.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-conformance-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A device, and what has it look at its size again.
type Opened = (Arc<dyn BlockDevice>, Box<dyn Fn()>);
type Open = fn(&FileOptions, &Helpers) -> Result<Opened, String>;

fn aio(options: &FileOptions, helpers: &Helpers) -> Result<Opened, String> {
    let device = Arc::new(Aio::open(options, helpers).map_err(|e| e.to_string())?);
    let again = device.clone();
    Ok((device, Box::new(move || assert!(again.rescan().is_ok()))))
}

fn uring(options: &FileOptions, helpers: &Helpers) -> Result<Opened, String> {
    let device = Arc::new(Uring::open(options, Completions::Interrupts, helpers).map_err(|e| e.to_string())?);
    let again = device.clone();
    Ok((device, Box::new(move || assert!(again.rescan().is_ok()))))
}

fn over_file(name: &str, open: Open, direct: Direct, block_bytes: u32) -> Suite {
    Suite::new(name, move |_| async move {
        let scratch = Scratch::new();
        let mut options = FileOptions::new(&scratch.0);
        (options.create_bytes, options.block_bytes, options.direct) = (Some(8 << 20), Some(block_bytes), direct);
        let helpers = Helpers::new(2).map_err(|e| e.to_string())?;
        let (device, rescan) = open(&options, &helpers)?;
        let path = scratch.0.clone();
        let resize = move |_: &mut Cx, blocks: u64| {
            let file = File::options().write(true).open(&path).expect("it is there");
            file.set_len(blocks * u64::from(block_bytes)).expect("it can be cut and grown");
            rescan();
        };
        Ok(Subject::new(device).resizing(resize).growing().keep(scratch).keep(helpers))
    })
}

#[test]
fn aio_through_the_page_cache() {
    over_file("aio", aio, Direct::Off, 512).run().assert_passed();
}

#[test]
fn aio_past_the_page_cache_where_the_folder_allows() {
    over_file("aio", aio, Direct::Prefer, 4096).run().assert_passed();
}

#[test]
fn uring_through_the_page_cache() {
    over_file("uring", uring, Direct::Off, 512).run().assert_passed();
}

#[test]
fn uring_past_the_page_cache_where_the_folder_allows() {
    over_file("uring", uring, Direct::Prefer, 4096).run().assert_passed();
}
