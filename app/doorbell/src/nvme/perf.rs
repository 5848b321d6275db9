//! `doorbell nvme perf`: load on namespaces, with the flags that users of spdk_nvme_perf know. The load itself is that of `doorbell perf block`.

use super::{Failed, with, words};
use crate::cli::{BlockArgs, NvmePerfArgs, Reach};
use crate::perf::{Drives, Under, load, namespace_name};
use doorbell_nvme::Controller;

#[cfg(test)]
mod tests;

pub(super) fn perf(args: NvmePerfArgs) -> Result<bool, Failed> {
    let writes = args.io_pattern.writes() || args.verify;
    if writes && !args.destroy_data {
        let why =
            "this load writes, and what the namespaces hold would be lost. Add --destroy-data if that is meant, or choose -w randread";
        return Err(words(why));
    }
    // Looked at first: how many namespaces there are says how large the pools have to be.
    let mut controllers = Vec::new();
    for reach in reaches(&args)? {
        let nsids = namespaces(&reach, &args.nsid)?;
        controllers.push((reach, nsids));
    }
    let names = controllers.iter().flat_map(|(reach, nsids)| nsids.iter().map(|nsid| namespace_name(reach, *nsid))).collect();
    load(block_args(args, names), Under::Drives(Drives { controllers, writes })).map_err(words)
}

fn reaches(args: &NvmePerfArgs) -> Result<Vec<Reach>, Failed> {
    let mut all: Vec<Reach> = Vec::new();
    for controller in &args.controllers {
        let reach = Reach { controller: controller.clone(), allow_physical: args.allow_physical, hdgst: args.hdgst, ddgst: args.ddgst };
        if all.iter().any(|other| other.controller == reach.controller) {
            return Err(words(format!("{controller} is named twice: -c and -q put more load on one")));
        }
        all.push(reach);
    }
    Ok(all)
}

/// The namespaces of a controller that are to be loaded.
fn namespaces(reach: &Reach, wanted: &[u32]) -> Result<Vec<u32>, Failed> {
    let all = with(reach, async |controller: &Controller| {
        Ok(controller.namespaces().iter().map(|n| (n.nsid(), n.described().usable.clone())).collect::<Vec<_>>())
    })?;
    choose(&reach.controller.to_string(), &all, wanted).map_err(Failed::Words)
}

fn choose(controller: &str, all: &[(u32, Result<(), String>)], wanted: &[u32]) -> Result<Vec<u32>, String> {
    if wanted.is_empty() {
        let usable: Vec<u32> = all.iter().filter(|(_, usable)| usable.is_ok()).map(|(nsid, _)| *nsid).collect();
        let none = format!("{controller} has no namespace that load can be put on");
        return if usable.is_empty() { Err(none) } else { Ok(usable) };
    }
    for nsid in wanted {
        match all.iter().find(|(n, _)| n == nsid) {
            Some((_, Ok(()))) => {}
            Some((_, Err(why))) => return Err(format!("{controller} namespace {nsid}: {why}")),
            None => return Err(format!("{controller} has no namespace {nsid}")),
        }
    }
    Ok(wanted.to_vec())
}

fn block_args(args: NvmePerfArgs, devices: Vec<String>) -> BlockArgs {
    BlockArgs {
        devices,
        config: None,
        io_size: args.io_size,
        queue_depth: args.io_depth,
        pattern: args.io_pattern,
        mix: args.rwmixread,
        time: args.time,
        cores: args.core_mask,
        verify: args.verify,
        json: args.json,
        layers: 0,
        size: None,
        block_size: 512,
        destroy_data: args.destroy_data,
        seed: 1,
        poll: args.poll,
        logflags: Vec::new(),
    }
}
