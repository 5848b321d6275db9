//! Completion scripts and manual pages, made from the command line's own definition, and the guide's pages of the RPC methods, made from
//! the methods.

use crate::cli::Cli;
use crate::log::Log;
use crate::parts::{self, Process};
use crate::reactors::Reactors;
use clap::CommandFactory;
use doorbell_bdev::Registry;
use doorbell_control::{guide_index, guide_page};
use doorbell_reactor::{Config, Polling, run_with_loads};
use doorbell_sys::helper::Helpers;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Prints the completions of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "doorbell", &mut script);
    io::stdout().write_all(&script)
}

/// Prints the manual page of the whole, or writes one for each command into a folder.
pub(crate) fn man(out: Option<&Path>) -> io::Result<()> {
    match out {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder),
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()),
    }
}

/// Writes a page for each RPC method into a folder, and one that leads to them; pages of methods that are gone go.
pub(crate) fn write_rpc_pages(folder: &Path) -> io::Result<()> {
    let pages = rpc_pages()?;
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".md") && !pages.contains_key(&name) {
            std::fs::remove_file(folder.join(name))?;
        }
    }
    for (name, text) in pages {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// The pages, by their files' names.
fn rpc_pages() -> io::Result<BTreeMap<String, String>> {
    let config = Config::default();
    let regions = config.regions.clone();
    let helpers = Helpers::new(1)?;
    let (pages, _) = run_with_loads(&config, |local, loads| async move {
        let polling = Polling::Adaptive { spin_ns: 0 };
        let reactors = Reactors { local: local.clone(), loads: loads.into(), cpus: Arc::new([]), polling, registry: Registry::new() };
        let log = Rc::new(Log::install());
        let process = Process {
            local,
            reactors,
            regions,
            pool: doorbell_mem::PoolSpec::default(),
            helpers,
            log,
            kill: Rc::new(|_| ()),
            allowed: None,
        };
        let methods = parts::assemble(process)?.control.methods();
        let page = |method: &doorbell_control::Method| format!("{}\n[All methods](README.md)\n", guide_page(method));
        let mut pages: BTreeMap<_, _> = methods.iter().map(|method| (format!("{}.md", method.name), page(method))).collect();
        pages.insert("README.md".to_owned(), guide_index(methods.iter().map(Rc::as_ref)));
        Ok::<_, doorbell_control::ControlError>(pages)
    })
    .map_err(io::Error::other)?;
    pages.map_err(io::Error::other)
}
