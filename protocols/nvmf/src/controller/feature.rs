//! Features (Base 2.1, 5.1.25; NVM 1.1, 4.1.3).

use super::{Controller, Env, KEEP_ALIVE_UNIT_MS, Reply, ok, refuse};
use crate::Association;
use doorbell_wire_nvme::feature::{AsyncEventConfig, HostBehavior, NumberOfQueues, VolatileWriteCache};
use doorbell_wire_nvme::{FeatureId, FeatureSelect, GetFeatures, SetFeatures, Status, bytes, view};

/// What the host has set.
#[derive(Default)]
pub(super) struct Features {
    keep_alive_ms: u32,
    events: AsyncEventConfig,
    arbitration: u32,
    temperature: u32,
    error_recovery: u32,
    write_atomicity: u32,
    behavior: HostBehavior,
    disabled: bool,
}

impl Features {
    pub(super) fn keep_alive_ms(&self) -> u32 {
        self.keep_alive_ms
    }

    pub(super) fn events_wanted(&self) -> AsyncEventConfig {
        self.events
    }

    /// Rounded up to the granularity, raised to the least; 0 turns it off.
    pub(super) fn set_keep_alive(&mut self, ms: u32, least_ms: u32, association: &Association) {
        self.keep_alive_ms = match ms {
            0 => 0,
            ms => ms.max(least_ms).checked_next_multiple_of(KEEP_ALIVE_UNIT_MS).unwrap_or(u32::MAX),
        };
        association.set_keep_alive(self.keep_alive_ms.into());
    }

    pub(super) fn reset(&mut self, association: &Association) {
        *self = Features { keep_alive_ms: self.keep_alive_ms, disabled: self.disabled, ..Features::default() };
        association.set_write_through(false);
        association.set_heeds_delays(false);
    }

    pub(super) fn note_disabled(&mut self) {
        self.disabled = true;
    }

    pub(super) fn take_disabled(&mut self) -> bool {
        std::mem::take(&mut self.disabled)
    }
}

impl Controller {
    pub(super) fn get_feature(&self, get: &GetFeatures, page: &mut Vec<u8>) -> Reply {
        // Without save and select support only the current value is asked for (Base 2.1, 5.1.11).
        if get.select != FeatureSelect::CURRENT {
            return refuse(Status::INVALID_FIELD);
        }
        let f = &self.features;
        let discovery = self.is_discovery();
        let value = match get.fid {
            FeatureId::KEEP_ALIVE_TIMER => f.keep_alive_ms,
            FeatureId::ASYNC_EVENT_CONFIG => f.events.into_bits(),
            _ if discovery => return refuse(Status::INVALID_FIELD),
            FeatureId::ARBITRATION => f.arbitration,
            FeatureId::POWER_MANAGEMENT => 0,
            FeatureId::TEMPERATURE_THRESHOLD => f.temperature,
            FeatureId::ERROR_RECOVERY => f.error_recovery,
            FeatureId::WRITE_ATOMICITY => f.write_atomicity,
            FeatureId::VOLATILE_WRITE_CACHE if self.has_cache() => {
                VolatileWriteCache::new().with_enabled(!self.association.is_write_through()).into_bits()
            }
            FeatureId::NUMBER_OF_QUEUES => {
                let n = self.association.granted().saturating_sub(1);
                NumberOfQueues::new().with_submission(n).with_completion(n).into_bits()
            }
            FeatureId::HOST_BEHAVIOR => {
                page.extend_from_slice(bytes(&f.behavior));
                0
            }
            // The one combination that there is: NVM alone.
            FeatureId::COMMAND_SET_PROFILE => 0,
            FeatureId::HOST_ID => {
                // Over fabrics it is 128 bits (Base 2.1, 5.1.25.1.28).
                if get.cdw11 & 1 == 0 {
                    return refuse(Status::INVALID_FIELD);
                }
                page.extend_from_slice(&self.association.host_id);
                1
            }
            _ => return refuse(Status::INVALID_FIELD),
        };
        ok(value.into())
    }

    pub(super) fn set_feature(&mut self, set: &SetFeatures, data: &[u8], env: &Env<'_>) -> Reply {
        if set.save {
            return refuse(Status::FEATURE_NOT_SAVEABLE);
        }
        let discovery = self.is_discovery();
        match set.fid {
            FeatureId::KEEP_ALIVE_TIMER => {
                self.features.set_keep_alive(set.cdw11, env.snapshot.options.min_keep_alive_ms, &self.association);
            }
            FeatureId::ASYNC_EVENT_CONFIG => self.features.events = AsyncEventConfig::from_bits(set.cdw11),
            _ if discovery => return refuse(Status::INVALID_FIELD),
            FeatureId::ARBITRATION => self.features.arbitration = set.cdw11,
            FeatureId::POWER_MANAGEMENT if set.cdw11 & 0x1f == 0 => {}
            FeatureId::TEMPERATURE_THRESHOLD => self.features.temperature = set.cdw11,
            // Errors for deallocated blocks cannot be had.
            FeatureId::ERROR_RECOVERY if set.cdw11 & (1 << 16) == 0 => self.features.error_recovery = set.cdw11,
            FeatureId::WRITE_ATOMICITY => self.features.write_atomicity = set.cdw11 & 1,
            FeatureId::VOLATILE_WRITE_CACHE if self.has_cache() => {
                self.association.set_write_through(!VolatileWriteCache::from_bits(set.cdw11).enabled());
            }
            FeatureId::NUMBER_OF_QUEUES => return self.number_of_queues(NumberOfQueues::from_bits(set.cdw11), env),
            FeatureId::HOST_BEHAVIOR => {
                let Some(behavior) = view::<HostBehavior>(data) else { return refuse(Status::DATA_SGL_LENGTH_INVALID) };
                self.features.behavior = behavior.clone();
                self.association.set_heeds_delays(behavior.acre == 1);
            }
            FeatureId::COMMAND_SET_PROFILE if set.cdw11 & 0x1ff == 0 => {}
            FeatureId::COMMAND_SET_PROFILE => return refuse(Status::COMMAND_SET_COMBINATION),
            // It came with Connect.
            FeatureId::HOST_ID => return refuse(Status::COMMAND_SEQUENCE_ERROR),
            _ => return refuse(Status::INVALID_FIELD),
        }
        ok(0)
    }

    fn number_of_queues(&mut self, asked: NumberOfQueues, env: &Env<'_>) -> Reply {
        if asked.submission() == u16::MAX || asked.completion() == u16::MAX {
            return refuse(Status::INVALID_FIELD);
        }
        if !self.association.io_queues().is_empty() {
            return refuse(Status::COMMAND_SEQUENCE_ERROR);
        }
        // A queue pair is one connection: what is granted is the same on both sides.
        let n = asked.submission().min(asked.completion()).min(env.snapshot.options.max_io_queues.saturating_sub(1));
        self.association.grant(n + 1);
        ok(NumberOfQueues::new().with_submission(n).with_completion(n).into_bits().into())
    }
}
