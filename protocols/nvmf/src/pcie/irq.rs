//! Interrupts: event descriptors of the host, one for each vector that it has assigned.
//!
//! A vector fires if it has a descriptor. The host's own copy of the MSI-X table (a virtual machine monitor keeps it) decides what a guest
//! sees of that; monitors assign descriptors when a guest enables MSI-X and take them away when it stops.

use doorbell_sys::passed::Bell;

/// Vectors of MSI-X.
pub(crate) const VECTORS: u32 = 512;

/// Kinds of interrupts, and vectors of each (INTx, MSI, MSI-X, errors, requests).
pub(crate) const COUNTS: [u32; 5] = [1, 0, VECTORS, 0, 0];

/// All of a function.
#[derive(Default)]
pub(super) struct Irqs {
    intx: Option<Bell>,
    msix: Vec<Option<Bell>>,
    /// Vectors of MSI-X that have one.
    assigned: u32,
}

impl Irqs {
    /// Assigns a vector, or takes it away. The caller has checked that there is one.
    pub(super) fn assign(&mut self, kind: u32, vector: u32, bell: Option<Bell>) {
        if kind == 0 {
            self.intx = bell;
            return;
        }
        let at = vector as usize;
        if self.msix.len() <= at {
            self.msix.resize_with((at + 1).min(VECTORS as usize), || None);
        }
        if let Some(place) = self.msix.get_mut(at) {
            self.assigned = self.assigned + u32::from(bell.is_some()) - u32::from(place.is_some());
            *place = bell;
        }
    }

    /// Takes every vector of a kind away.
    pub(super) fn disable(&mut self, kind: u32) {
        if kind == 0 {
            self.intx = None;
        } else {
            (self.msix, self.assigned) = (Vec::new(), 0);
        }
    }

    /// Fires a vector, if anybody listens.
    #[inline]
    pub(super) fn fire(&self, kind: u32, vector: u32) {
        let bell = if kind == 0 { self.intx.as_ref() } else { self.msix.get(vector as usize).and_then(Option::as_ref) };
        if let Some(bell) = bell {
            bell.ring();
        }
    }

    /// Fires for a completion queue: by MSI-X if the host uses that, else by the wire unless that is kept quiet.
    #[inline]
    pub(super) fn complete(&self, vector: u16, intx_quiet: bool) {
        if self.assigned > 0 {
            self.fire(2, vector.into());
        } else if !intx_quiet {
            self.fire(0, 0);
        }
    }

    /// Does anybody listen at all?
    #[inline]
    pub(super) fn is_silent(&self) -> bool {
        self.assigned == 0 && self.intx.is_none()
    }
}
