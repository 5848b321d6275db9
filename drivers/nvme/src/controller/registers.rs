//! A controller's registers from async code: at once where they are mapped, by a helper thread where an access may block.

use super::Env;
use doorbell_pci::Bar;
use doorbell_wire_nvme::register::{Cap, Cc, Csts, Property, Version};
use std::sync::Arc;

/// Registers of a function.
#[derive(Clone)]
pub(crate) struct Registers {
    env: Env,
    bar: Arc<Bar>,
}

impl Registers {
    pub(crate) fn new(env: &Env, bar: Arc<Bar>) -> Registers {
        Registers { env: env.clone(), bar }
    }

    async fn access<R: Copy + Send + 'static>(&self, offset: u64, len: u64, gone: R, f: impl FnOnce(&Bar) -> R + Send + 'static) -> R {
        if self.bar.is_mapped(offset, len) {
            return f(&self.bar);
        }
        let bar = self.bar.clone();
        self.env.blocking(move || f(&bar)).await.unwrap_or(gone)
    }

    pub(crate) async fn read32(&self, property: Property) -> u32 {
        let offset = property.0.into();
        self.access(offset, 4, u32::MAX, move |bar| bar.read32(offset)).await
    }

    pub(crate) async fn read64(&self, property: Property) -> u64 {
        let offset = property.0.into();
        self.access(offset, 8, u64::MAX, move |bar| bar.read64(offset)).await
    }

    pub(crate) async fn write32(&self, property: Property, value: u32) {
        let offset = property.0.into();
        self.access(offset, 4, (), move |bar| bar.write32(offset, value)).await;
    }

    pub(crate) async fn write64(&self, property: Property, value: u64) {
        let offset = property.0.into();
        self.access(offset, 8, (), move |bar| bar.write64(offset, value)).await;
    }

    pub(crate) async fn cap(&self) -> Cap {
        Cap::from_bits(self.read64(Property::CAP).await)
    }

    pub(crate) async fn version(&self) -> Version {
        Version::from_bits(self.read32(Property::VS).await)
    }

    pub(crate) async fn cc(&self) -> Cc {
        Cc::from_bits(self.read32(Property::CC).await)
    }

    pub(crate) async fn set_cc(&self, cc: Cc) {
        self.write32(Property::CC, cc.into_bits()).await;
    }

    /// `None` when there is nothing there any more.
    pub(crate) async fn csts(&self) -> Option<Csts> {
        match self.read32(Property::CSTS).await {
            u32::MAX => None,
            bits => Some(Csts::from_bits(bits)),
        }
    }

    /// Notes that the controller is silent, if it is.
    pub(crate) async fn note_silence(&self) -> bool {
        self.access(Property::CSTS.0.into(), 4, false, Bar::note_silence).await
    }
}
