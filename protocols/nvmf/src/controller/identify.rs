//! Identify (Base 2.1, 5.1.13): which structure, and the controller's own.

use super::property::VERSION;
use super::{ABORTS, Controller, EVENT_REQUESTS, Env, KEEP_ALIVE_UNIT_MS, Reply, Transport, ok, refuse};
use crate::Namespace;
use doorbell_block::{Op, WriteCache};
use doorbell_wire_nvme::identify::{
    Cmic, CommandSets, ControllerList, ControllerType, Ctratt, Fuses, Lpa, NamespaceList, NvmController, Oacs, Oaes, Oncs, SglSupport, Vwc,
    entry_sizes,
};
use doorbell_wire_nvme::{Ascii, Cns, Csi, Identify, NSID_ALL, NqnField, PAGE_LEN, Status, U16, U32, Wire, bytes, identify};
use std::sync::Arc;

impl Controller {
    pub(super) fn identify(&mut self, what: &Identify, nsid: u32, page: &mut Vec<u8>, env: &Env<'_>) -> Reply {
        if self.is_discovery() && what.cns != Cns::CONTROLLER {
            return refuse(Status::INVALID_FIELD);
        }
        let nvm = what.csi == Csi::NVM;
        let found = match what.cns {
            Cns::CONTROLLER => {
                if !self.has_cache() {
                    self.association.told_no_cache();
                }
                put(page, &*self.identify_controller(env))
            }
            Cns::NAMESPACE | Cns::ALLOCATED_NAMESPACE => self.of_namespace(nsid, page, |n| n.identify()),
            Cns::CSI_NAMESPACE if nvm => self.of_namespace(nsid, page, |n| n.identify_nvm()),
            Cns::INDEPENDENT_NAMESPACE => self.of_namespace(nsid, page, |n| n.identify_independent()),
            Cns::NAMESPACE_DESCRIPTORS => self.descriptors(nsid, page),
            Cns::ACTIVE_NAMESPACES | Cns::ALLOCATED_NAMESPACES => self.list(nsid, page),
            Cns::CSI_ACTIVE_NAMESPACES | Cns::CSI_ALLOCATED_NAMESPACES if nvm => self.list(nsid, page),
            Cns::CSI_CONTROLLER if nvm => put(page, &*self.identify_nvm(env)),
            // No zoned or key value namespaces: their structures say so with zeroes (Base 2.1, 5.1.13.2.6).
            Cns::CSI_CONTROLLER | Cns::CSI_ACTIVE_NAMESPACES | Cns::CSI_NAMESPACE | Cns::CSI_ALLOCATED_NAMESPACES => {
                return refuse(Status::INVALID_FIELD);
            }
            Cns::NAMESPACE_CONTROLLERS if !self.subsystem.namespaces.contains_key(&nsid) => Err(Status::INVALID_FIELD),
            Cns::NAMESPACE_CONTROLLERS | Cns::SUBSYSTEM_CONTROLLERS => {
                let mut list = Box::<ControllerList>::default();
                list.fill(env.registry.cntlids(self.subsystem.id).into_iter().filter(|id| *id >= what.cntid));
                put(page, &*list)
            }
            Cns::COMMAND_SETS => put(page, &*Box::new(CommandSets::nvm_only())),
            _ => Err(Status::INVALID_FIELD),
        };
        match found {
            Ok(()) => ok(0),
            Err(status) => refuse(status),
        }
    }

    /// A structure of one namespace. An id that could be a namespace's and is none's gives zeroes (Base 2.1, 5.1.13.2.1).
    fn of_namespace<T: Wire + Default>(
        &self,
        nsid: u32,
        page: &mut Vec<u8>,
        make: impl FnOnce(&Namespace) -> Box<T>,
    ) -> Result<(), Status> {
        if nsid == 0 || nsid > self.subsystem.max_namespaces {
            return Err(Status::INVALID_NAMESPACE);
        }
        match self.subsystem.namespaces.get(&nsid) {
            Some(n) => put(page, &*make(n)),
            None => put(page, &*Box::<T>::default()),
        }
    }

    fn descriptors(&self, nsid: u32, page: &mut Vec<u8>) -> Result<(), Status> {
        let namespace = self.subsystem.namespaces.get(&nsid).ok_or(Status::INVALID_NAMESPACE)?;
        let mut list = [0; PAGE_LEN];
        namespace.descriptors(&mut list);
        page.extend_from_slice(&list);
        Ok(())
    }

    /// Active namespaces with ids above `after`.
    fn list(&self, after: u32, page: &mut Vec<u8>) -> Result<(), Status> {
        if after >= NSID_ALL - 1 {
            return Err(Status::INVALID_NAMESPACE);
        }
        let mut list = Box::<NamespaceList>::default();
        list.fill(self.subsystem.namespaces.range(after + 1..).map(|(id, _)| *id));
        put(page, &*list)
    }

    /// Does any namespace lose completed writes when the power goes?
    pub(super) fn has_cache(&self) -> bool {
        self.subsystem.namespaces.values().any(|n| n.info.write_cache == WriteCache::Volatile)
    }

    /// Do all namespaces do `op`?
    fn all_do(&self, op: Op) -> bool {
        self.subsystem.namespaces.values().all(|n| n.info.ops.has(op))
    }

    fn least(&self, of: impl Fn(&Arc<Namespace>) -> u32) -> U16 {
        let least = self.subsystem.namespaces.values().map(of).min().unwrap_or(1);
        zero_based(least)
    }

    fn identify_controller(&self, env: &Env<'_>) -> Box<identify::Controller> {
        let options = &env.snapshot.options;
        let s = &self.subsystem;
        let discovery = self.is_discovery();
        let mut c = Box::<identify::Controller>::default();
        c.sn = Ascii::new(&s.serial);
        c.mn = Ascii::new(&s.model);
        c.fr = Ascii::new(FIRMWARE);
        c.mdts = options.mdts();
        c.cntlid = U16::new(self.association.cntlid);
        c.ver = U32::new(VERSION.into_bits());
        c.ctratt = U32::new(Ctratt::new().with_host_id_128(true).into_bits());
        c.cntrltype = if discovery { ControllerType::DISCOVERY } else { ControllerType::IO };
        c.oaes = U32::new(Oaes::new().with_namespace(!discovery).with_discovery(discovery).into_bits());
        c.aerl = zero_based_byte(EVENT_REQUESTS);
        c.kas_100ms = U16::new(u16::try_from(KEEP_ALIVE_UNIT_MS / 100).unwrap_or(u16::MAX));
        c.lpa = Lpa::new().with_extended_data(true).with_command_effects(!discovery).with_supported_pages(!discovery).into_bits();
        c.elpe = zero_based_byte(super::log::ERRORS);
        c.maxcmd = U16::new(if discovery { options.max_admin_depth } else { options.max_queue_depth });
        c.sgls = U32::new(SglSupport::new().with_support(1).with_offset(true).with_transport(true).into_bits());
        c.crdt_100ms = env.snapshot.retry_delays_100ms.map(U16::new);
        c.subnqn = NqnField::new(&s.nqn);
        c.ioccsz = U32::new(if discovery { 0 } else { 64u32.saturating_add(options.in_capsule_bytes) / 16 });
        c.iorcsz = U32::new(u32::from(!discovery));
        c.msdbd = 1;
        if !discovery {
            self.identify_io(&mut c);
        }
        if let Transport::Memory { shadow_doorbells } = self.transport {
            in_memory(&mut c, shadow_doorbells);
        }
        c
    }

    /// What only a controller with namespaces has.
    fn identify_io(&self, c: &mut identify::Controller) {
        c.cmic = Cmic::new().with_multi_port(true).with_multi_controller(true).into_bits();
        c.rab = 6;
        c.acl = zero_based_byte(ABORTS);
        // One firmware slot, which is read only (Base 2.1, 5.1.13.2.1: FRMW).
        c.frmw = 0b11;
        c.sqes = entry_sizes(6, 6);
        c.cqes = entry_sizes(4, 4);
        c.nn = U32::new(self.subsystem.max_namespaces);
        c.mnan = U32::new(self.subsystem.max_namespaces);
        let oncs = Oncs::new()
            .with_compare(self.all_do(Op::Compare))
            .with_dataset_management(self.all_do(Op::Unmap))
            .with_write_zeroes(self.all_do(Op::WriteZeroes))
            .with_verify(true)
            .with_copy(self.all_do(Op::Copy));
        c.oncs = U16::new(oncs.into_bits());
        c.fuses = U16::new(Fuses::new().with_compare_write(self.all_do(Op::CompareAndWrite)).into_bits());
        // A flush of all namespaces at once is taken (11b).
        c.vwc = Vwc::new().with_present(self.has_cache()).with_flush_all(3).into_bits();
        c.awun = self.least(|n| n.info.atomic.normal_blocks);
        c.awupf = self.least(|n| n.info.atomic.power_fail_blocks);
        c.acwu = self.least(|n| n.compare_and_write_blocks());
        // Copy source descriptors: format 0.
        c.ocfs = U16::new(u16::from(self.all_do(Op::Copy)));
        // Disconnect deletes an I/O queue.
        c.ofcs = U16::new(1);
    }

    fn identify_nvm(&self, env: &Env<'_>) -> Box<NvmController> {
        let mut c = Box::<NvmController>::default();
        // Verify reads into a buffer of ours.
        c.vsl = env.snapshot.options.mdts();
        c
    }
}

/// What differs where queues lie in the host's memory: nothing of fabrics, addresses of its own, no keep-alive (nothing but the host
/// itself can be lost).
fn in_memory(c: &mut identify::Controller, shadow_doorbells: bool) {
    (c.ioccsz, c.iorcsz, c.msdbd, c.ofcs) = (U32::new(0), U32::new(0), 0, U16::new(0));
    c.sgls = U32::new(SglSupport::new().with_support(1).into_bits());
    c.kas_100ms = U16::new(0);
    c.oacs = U16::new(Oacs::new().with_doorbell_buffer(shadow_doorbells).into_bits());
}

/// The version of what runs, as much of it as fits.
pub(super) const FIRMWARE: &str = env!("CARGO_PKG_VERSION");

/// A count as the specification's zero-based fields have it.
pub(super) fn zero_based(count: u32) -> U16 {
    U16::new(u16::try_from(count.max(1) - 1).unwrap_or(u16::MAX))
}

fn zero_based_byte(count: usize) -> u8 {
    u8::try_from(count.max(1) - 1).unwrap_or(u8::MAX)
}

pub(super) fn put<T: Wire>(page: &mut Vec<u8>, value: &T) -> Result<(), Status> {
    page.extend_from_slice(bytes(value));
    Ok(())
}
