//! Interrupts: how many there are, and which event each one is.

use crate::Malformed;
use crate::field::{fits, fixed, flags};

/// Kinds of interrupts of a PCI function (vfio-user, Device get IRQ info).
pub mod irq {
    /// The wire interrupt.
    pub const INTX: u32 = 0;
    /// Message-signalled.
    pub const MSI: u32 = 1;
    /// Message-signalled, extended.
    pub const MSIX: u32 = 2;
    /// An error was found.
    pub const ERR: u32 = 3;
    /// The device is wanted back.
    pub const REQ: u32 = 4;
    /// How many kinds there are.
    pub const COUNT: u32 = 5;
}

flags! {
    /// What a kind of interrupt can do (vfio-user, Device get IRQ info).
    IrqInfoFlags: u32 {
        /// It can be an event descriptor.
        EVENTFD = 1,
        /// It can be masked.
        MASKABLE = 2,
        /// It masks itself when it fires.
        AUTOMASKED = 4,
        /// Its vectors are assigned all at once.
        NO_RESIZE = 8,
    }
}

fixed! {
    /// A kind of interrupt (vfio-user, Device get IRQ info): request and reply.
    pub IrqInfo = 16 {
        /// Bytes of this structure.
        argsz: u32,
        /// What it can do.
        flags: IrqInfoFlags,
        /// Which kind; see [`irq`].
        index: u32,
        /// Its vectors.
        count: u32,
    }
}

impl IrqInfo {
    /// Reads a body.
    pub fn decode(body: &[u8]) -> Result<IrqInfo, Malformed> {
        let (info, _) = Self::split(body)?;
        fits(info.argsz, Self::LEN)?;
        Ok(info)
    }
}

/// What is to be done with vectors.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IrqAction {
    /// Masked.
    Mask,
    /// Unmasked.
    Unmask,
    /// Fired, or assigned when event descriptors are what comes.
    Trigger,
}

/// What comes with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum IrqData<'a> {
    /// Nothing.
    None,
    /// A byte for each vector: this one, or not.
    Bools(&'a [u8]),
    /// An event descriptor for each vector; or no descriptor at all, which takes those away that the vectors had.
    Events,
}

/// Sets vectors (vfio-user, Device set IRQs).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SetIrqs<'a> {
    /// What is to be done.
    pub action: IrqAction,
    /// With what.
    pub data: IrqData<'a>,
    /// Which kind; see [`irq`].
    pub index: u32,
    /// The first vector.
    pub start: u32,
    /// How many.
    pub count: u32,
}

fixed! {
    /// As it lies in a message, up to the data.
    pub(crate) Fixed = 20 {
        /// Bytes of this structure and its data.
        argsz: u32,
        /// One of each group.
        flags: u32,
        /// Which kind.
        index: u32,
        /// The first vector.
        start: u32,
        /// How many.
        count: u32,
    }
}

/// Flags (vfio-user, Device set IRQs): exactly one of the first three, and exactly one of the last three.
const NONE: u32 = 1;
const BOOL: u32 = 2;
const EVENTFD: u32 = 4;
const MASK: u32 = 8;
const UNMASK: u32 = 16;
const TRIGGER: u32 = 32;

impl<'a> SetIrqs<'a> {
    /// Bytes before the data.
    pub const FIXED: usize = Fixed::LEN;

    /// Reads a body. Its vectors do not wrap; whether they are there is to be asked of [`SetIrqs::check`].
    pub fn decode(body: &'a [u8]) -> Result<SetIrqs<'a>, Malformed> {
        let (f, rest) = Fixed::split(body)?;
        fits(f.argsz, Fixed::LEN)?;
        let action = match f.flags & (MASK | UNMASK | TRIGGER) {
            MASK => IrqAction::Mask,
            UNMASK => IrqAction::Unmask,
            TRIGGER => IrqAction::Trigger,
            _ => return Err(Malformed::Flags),
        };
        let data = match f.flags & (NONE | BOOL | EVENTFD) {
            NONE => IrqData::None,
            BOOL => {
                let count = usize::try_from(f.count).map_err(|_| Malformed::Short)?;
                IrqData::Bools(rest.get(..count).ok_or(Malformed::Short)?)
            }
            EVENTFD => IrqData::Events,
            _ => return Err(Malformed::Flags),
        };
        if f.flags > (NONE | BOOL | EVENTFD | MASK | UNMASK | TRIGGER) {
            return Err(Malformed::Flags);
        }
        f.start.checked_add(f.count).ok_or(Malformed::Range)?;
        Ok(SetIrqs { action, data, index: f.index, start: f.start, count: f.count })
    }

    /// Do the vectors exist, of which there are so many, and do so many descriptors fit? None and one for each vector do.
    pub fn check(&self, vectors: u32, descriptors: usize) -> Result<(), Malformed> {
        let within = self.start.checked_add(self.count).is_some_and(|end| end <= vectors);
        // Disabling a kind of which there are none is no error: clients do it at every reset.
        if !within || (self.start >= vectors && self.count > 0) {
            return Err(Malformed::Range);
        }
        let each = usize::try_from(self.count).is_ok_and(|n| n == descriptors);
        match self.data {
            _ if descriptors == 0 => Ok(()),
            IrqData::Events if each => Ok(()),
            _ => Err(Malformed::Descriptors),
        }
    }

    /// Is it that which takes every vector of the kind away?
    pub fn disables(&self) -> bool {
        self.action == IrqAction::Trigger && self.data == IrqData::None && self.count == 0
    }

    /// The bytes before the data, with the flags and `argsz` that go with it. A client sends the bytes of `Bools` behind it.
    pub fn encode_fixed(&self) -> [u8; 20] {
        let action = match self.action {
            IrqAction::Mask => MASK,
            IrqAction::Unmask => UNMASK,
            IrqAction::Trigger => TRIGGER,
        };
        let (data, len) = match self.data {
            IrqData::None => (NONE, 0),
            IrqData::Bools(bytes) => (BOOL, bytes.len()),
            IrqData::Events => (EVENTFD, 0),
        };
        let argsz = u32::try_from(Fixed::LEN + len).unwrap_or(u32::MAX);
        Fixed { argsz, flags: action | data, index: self.index, start: self.start, count: self.count }.encode()
    }
}
