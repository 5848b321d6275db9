//! Properties: capabilities, configuration, status (Base 2.1, 3.1.4).

use super::{Controller, Env, Reply, ok, refuse};
use doorbell_wire_nvme::register::{Cap, Cc, CommandSetSelect, Crto, Property, ShutdownNotice, ShutdownStatus, Version};
use doorbell_wire_nvme::{PropertyGet, PropertySet, Status};

/// What the controller says it follows.
pub(crate) const VERSION: Version = Version::V2_0;
/// Time to become ready or to shut down, in units of 500 ms: it takes none, this is what hosts allow.
const TIMEOUT_500MS: u8 = 30;

impl Controller {
    pub(crate) fn property_get(&self, get: &PropertyGet, env: &Env<'_>) -> Reply {
        let value = match get.property {
            Property::CAP => self.capabilities(env).into_bits(),
            Property::VS => u64::from(VERSION.into_bits()),
            Property::CC => u64::from(self.cc.into_bits()),
            Property::CSTS => u64::from(self.csts.into_bits()),
            Property::CRTO => u64::from(Crto::new().with_with_media_500ms(TIMEOUT_500MS.into()).into_bits()),
            // No subsystem reset: reads as zero (Base 2.1, 3.1.4.8).
            Property::NSSR => 0,
            _ => return refuse(Status::INVALID_FIELD),
        };
        if get.len != get.property.size() {
            return refuse(Status::INVALID_FIELD);
        }
        ok(value)
    }

    fn capabilities(&self, env: &Env<'_>) -> Cap {
        // Command sets: bit 0 NVM, bit 6 that they are told apart (Base 2.1, 3.1.4.1).
        Cap::new()
            .with_mqes(env.snapshot.options.max_queue_depth.saturating_sub(1))
            .with_cqr(true)
            .with_timeout_500ms(TIMEOUT_500MS)
            .with_css(0x41)
            .with_crms(1)
    }

    pub(crate) fn property_set(&mut self, set: &PropertySet) -> Reply {
        let Ok(value) = u32::try_from(set.value & 0xffff_ffff) else { return refuse(Status::INVALID_FIELD) };
        if set.property != Property::CC || set.len != Some(4) {
            return refuse(Status::INVALID_FIELD);
        }
        self.configure(Cc::from_bits(value))
    }

    fn configure(&mut self, new: Cc) -> Reply {
        let old = self.cc;
        if new.en() && !old.en() {
            // What cannot change later is judged now.
            let entries = (new.iosqes(), new.iocqes());
            // Over fabrics the entry sizes are fixed; hosts write them or zero. A discovery controller has no I/O queues.
            let sizes = self.is_discovery() || entries == (6, 4) || entries == (0, 0);
            let sets = matches!(new.css(), CommandSetSelect::NVM | CommandSetSelect::ALL | CommandSetSelect::ADMIN_ONLY);
            if !sizes || !sets || new.mps() != 0 || new.ams() != 0 {
                return refuse(Status::INVALID_FIELD);
            }
        }
        if new.en() != old.en() {
            self.csts = self.csts.with_rdy(new.en()).with_shst(ShutdownStatus::NORMAL);
            if new.en() {
                self.association.told_nothing();
            }
            self.association.set_enabled(new.en());
            if !new.en() {
                self.reset();
            }
        }
        if new.shn() != ShutdownNotice::NONE && old.shn() == ShutdownNotice::NONE {
            let flushes = old.en() && new.shn() == ShutdownNotice::NORMAL && !self.is_discovery();
            self.csts = self.csts.with_shst(if flushes { ShutdownStatus::OCCURRING } else { ShutdownStatus::COMPLETE });
            self.association.set_enabled(false);
            self.features.note_disabled();
            self.cc = new;
            return if flushes { Reply::Shutdown } else { ok(0) };
        } else if new.shn() == ShutdownNotice::NONE && old.shn() != ShutdownNotice::NONE && new.en() {
            self.csts = self.csts.with_shst(ShutdownStatus::NORMAL);
            self.association.set_enabled(true);
        }
        self.cc = new;
        ok(0)
    }

    /// A controller reset: features and events begin anew, but not the keep-alive timeout, which is Connect's (Base 2.1, 3.7.2).
    fn reset(&mut self) {
        self.features.reset(&self.association);
        self.features.note_disabled();
        self.events.reset();
    }
}
