//! BAR 0: registers (NVMe over PCIe Transport 1.1, 3.1; Base 2.1, 3.1.4), and accesses to all regions.

use super::bar;
use super::config::Asked;
use super::doorbell::Which;
use super::function::{Function, Later, NO_ADDRESS, Place, Write};
use super::queue::{CQE, Cq, SQE, Sq, Wanted};
use crate::controller::{Env, Reply};
use doorbell_block::Cx;
use doorbell_wire_nvme::register::{Aqa, Cc, Csts, Property};
use doorbell_wire_nvme::{PropertyGet, PropertySet};
use doorbell_wire_vfio_user::{errno, region};

/// What the host has written besides CC.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Registers {
    aqa: u32,
    asq: u64,
    acq: u64,
    mask: u32,
    /// A shutdown has been announced, and there was no box to flush with.
    pub(super) shutdown_waits: bool,
}

impl Registers {
    /// Is the wire interrupt masked?
    pub(super) fn masks_intx(&self) -> bool {
        self.mask & 1 != 0
    }
}

/// Half of a 64-bit register.
fn half(whole: u64, high: bool) -> u32 {
    let [a, b, c, d, e, f, g, h] = whole.to_le_bytes();
    u32::from_le_bytes(if high { [e, f, g, h] } else { [a, b, c, d] })
}

fn with_half(whole: u64, high: bool, value: u32) -> u64 {
    let value = u64::from(value);
    if high { (whole & 0xffff_ffff) | value << 32 } else { (whole & !0xffff_ffff) | value }
}

impl Function {
    /// Bytes of a region; 0 for one that there is not.
    pub(crate) fn region_len(index: u32) -> u64 {
        match index {
            0 => bar::BAR0,
            4 => bar::BAR4,
            5 => bar::BAR5,
            region::CONFIG => bar::CONFIG,
            _ => 0,
        }
    }

    /// The part of the interrupt tables that an access means.
    fn table(&mut self, index: u32, offset: u64, len: usize) -> Option<&mut [u8]> {
        let base = if index == 4 { 0 } else { bar::BAR4 };
        let at = usize::try_from(offset.checked_add(base)?).ok()?;
        self.tables.get_mut(at..at.checked_add(len)?)
    }

    /// Reads a region. The error is the peer's (see [`errno`]).
    pub(crate) fn read(&mut self, place: &Place<'_>, index: u32, offset: u64, into: &mut [u8]) -> Result<(), u32> {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > Self::region_len(index)) {
            return Err(errno::EINVAL);
        }
        match index {
            _ if into.is_empty() => Ok(()),
            region::CONFIG if is_small(offset, into.len()) => self.config.read(offset, into).then_some(()).ok_or(errno::EINVAL),
            region::CONFIG => Err(errno::EINVAL),
            4 | 5 => {
                let len = into.len();
                let table = self.table(index, offset, len).ok_or(errno::EINVAL)?;
                into.copy_from_slice(table);
                Ok(())
            }
            _ if offset >= bar::DOORBELLS => Err(errno::EPERM),
            _ => {
                let dwords = dwords(offset, into.len())?;
                for n in 0..dwords {
                    let value = self.register(place, offset + 4 * n).to_le_bytes();
                    let to = into.iter_mut().skip(usize::try_from(4 * n).unwrap_or(0));
                    to.zip(value).for_each(|(to, from)| *to = from);
                }
                Ok(())
            }
        }
    }

    fn register(&self, place: &Place<'_>, offset: u64) -> u32 {
        let (r, high) = (&self.registers, offset & 4 != 0);
        match offset {
            0x24 => r.aqa,
            0x28 | 0x2c => half(r.asq, high),
            0x30 | 0x34 => half(r.acq, high),
            0x0c | 0x10 => r.mask,
            0x00 | 0x04 => half(self.property(place, Property::CAP), high),
            0x1c => {
                let csts = Csts::from_bits(half(self.property(place, Property::CSTS), false));
                let csts = if self.fatal { csts.with_rdy(false).with_cfs(true) } else { csts };
                csts.into_bits()
            }
            0x08 | 0x14 | 0x68 => u32::try_from(offset).map_or(0, |n| half(self.property(place, Property(n)), false)),
            // Everything else is reserved, or of something that there is not: zero.
            _ => 0,
        }
    }

    fn property(&self, place: &Place<'_>, property: Property) -> u64 {
        let Some(controller) = &self.controller else { return 0 };
        let env = Env { snapshot: place.snapshot, registry: place.target.registry(), local: NO_ADDRESS };
        let get = PropertyGet { len: property.size(), property };
        match controller.property_get(&get, &env) {
            Reply::Done { status, result } if status.is_ok() => result,
            _ => 0,
        }
    }

    /// Writes a region. The error is the peer's.
    pub(crate) fn write(&mut self, cx: &mut Cx, place: &mut Place<'_>, index: u32, offset: u64, from: &[u8]) -> Result<Write, u32> {
        if offset.checked_add(from.len() as u64).is_none_or(|end| end > Self::region_len(index)) {
            return Err(errno::EINVAL);
        }
        match index {
            _ if from.is_empty() => Ok(Write::Done),
            region::CONFIG if is_small(offset, from.len()) => match self.config.write(offset, from).ok_or(errno::EINVAL)? {
                Asked::Nothing => Ok(Write::Done),
                Asked::Reset => Ok(Write::Later(Later::Reset)),
            },
            region::CONFIG => Err(errno::EINVAL),
            4 | 5 => {
                self.table(index, offset, from.len()).ok_or(errno::EINVAL)?.copy_from_slice(from);
                Ok(Write::Done)
            }
            _ if offset >= bar::DOORBELLS => self.ring_by_message(offset - bar::DOORBELLS, from),
            _ => {
                let dwords = dwords(offset, from.len())?;
                let mut done = Write::Done;
                for (n, value) in (0..dwords).zip(from.chunks_exact(4)) {
                    let value = value.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
                    if let Write::Later(later) = self.set_register(cx, place, offset + 4 * n, value) {
                        done = Write::Later(later);
                    }
                }
                Ok(done)
            }
        }
    }

    fn ring_by_message(&mut self, at: u64, from: &[u8]) -> Result<Write, u32> {
        let value: &[u8; 4] = from.try_into().map_err(|_| errno::EINVAL)?;
        if !at.is_multiple_of(4) || at >= bar::DOORBELLS_LEN {
            return Err(errno::EINVAL);
        }
        self.doorbells.ring(u32::try_from(at).map_err(|_| errno::EINVAL)?, u32::from_le_bytes(*value));
        Ok(Write::Done)
    }

    fn set_register(&mut self, cx: &mut Cx, place: &mut Place<'_>, offset: u64, value: u32) -> Write {
        let high = offset & 4 != 0;
        let enabled = self.controller.as_ref().is_some_and(|c| c.is_enabled());
        let r = &mut self.registers;
        match offset {
            0x0c => r.mask |= value,
            0x10 => r.mask &= !value,
            // The admin queue is what it was when the controller was enabled (Base 2.1, 3.1.4.9).
            0x24 if !enabled => r.aqa = value & 0x0fff_0fff,
            0x28 | 0x2c if !enabled => r.asq = with_half(r.asq, high, value) & !0xfff,
            0x30 | 0x34 if !enabled => r.acq = with_half(r.acq, high, value) & !0xfff,
            0x14 if enabled && !Cc::from_bits(value).en() => return Write::Later(Later::Disable(value)),
            0x14 => self.configure(cx, place, value),
            // Read only, reserved, or of something that there is not.
            _ => {}
        }
        Write::Done
    }

    /// A new value of CC. When it disables the controller the queues are gone already.
    pub(super) fn configure(&mut self, cx: &mut Cx, place: &mut Place<'_>, value: u32) {
        let Some(controller) = &mut self.controller else { return };
        let enables = Cc::from_bits(value).en() && !controller.is_enabled();
        let reply = controller.property_set(&PropertySet { len: Some(4), property: Property::CC, value: value.into() });
        let _ = controller.turned();
        match reply {
            Reply::Shutdown => self.begin_shutdown(cx, place),
            Reply::Done { status, .. } if !status.is_ok() => self.fatal = enables,
            _ if enables => self.fatal = !self.make_admin_queue(),
            _ => {}
        }
    }

    /// The queues that AQA, ASQ and ACQ say. False if they cannot be.
    fn make_admin_queue(&mut self) -> bool {
        let aqa = Aqa::from_bits(self.registers.aqa);
        let sq = Wanted { qid: 0, size: u32::from(aqa.asqs()) + 1, address: self.registers.asq };
        let cq = Wanted { qid: 0, size: u32::from(aqa.acqs()) + 1, address: self.registers.acq };
        if sq.size < 2 || cq.size < 2 {
            return false;
        }
        let rings = (self.memory.ring(sq.span(SQE.into()), false), self.memory.ring(cq.span(CQE.into()), true));
        let (Some(sq_ring), Some(cq_ring)) = rings else { return false };
        self.doorbells.zero(Which::Tail(0));
        self.doorbells.zero(Which::Head(0));
        self.sqs = vec![Some(Sq::new(sq, sq_ring, 0))];
        // Vector 0 is the admin queue's (NVMe over PCIe Transport 1.1, 3.5).
        self.cqs = vec![Some(Cq::new(cq, cq_ring, Some(0)))];
        true
    }
}

/// One, two or four bytes where they belong: what configuration space takes.
fn is_small(offset: u64, len: usize) -> bool {
    matches!(len, 1 | 2 | 4) && offset.is_multiple_of(len as u64)
}

/// Registers are accessed by four or eight bytes, aligned to four.
fn dwords(offset: u64, len: usize) -> Result<u64, u32> {
    if matches!(len, 4 | 8) && offset.is_multiple_of(4) { Ok(len as u64 / 4) } else { Err(errno::EINVAL) }
}
