//! Lists of identifiers: namespaces, controllers, command sets (Base 2.1, 4.6 and 5.1.13.2).

use crate::{U16, U32, U64};

wire_struct! {
    /// A namespace list: up to 1,024 identifiers in rising order, ended by a 0 (Base 2.1, 4.6.2).
    pub struct NamespaceList, 4096 bytes {
        /// The identifiers.
        pub nsid: [U32; 1024],
    }
}

impl NamespaceList {
    /// The identifiers before the first 0.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.nsid.iter().map(|id| id.get()).take_while(|&id| id != 0)
    }

    /// Fills the list from the start and zeroes its rest; what does not fit is left out.
    pub fn fill(&mut self, ids: impl IntoIterator<Item = u32>) {
        let mut ids = ids.into_iter();
        for slot in &mut self.nsid {
            *slot = U32::new(ids.next().unwrap_or(0));
        }
    }
}

wire_struct! {
    /// A controller list: a count and up to 2,047 identifiers in rising order (Base 2.1, 4.6.1).
    pub struct ControllerList, 4096 bytes {
        /// How many identifiers follow.
        pub count: U16,
        /// The identifiers.
        pub cntlid: [U16; 2047],
    }
}

impl ControllerList {
    /// The identifiers; no more than the list holds, whatever its count says.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.cntlid.iter().take(usize::from(self.count.get())).map(|id| id.get())
    }

    /// Fills the list; what does not fit is left out.
    pub fn fill(&mut self, ids: impl IntoIterator<Item = u16>) {
        let mut ids = ids.into_iter();
        let mut count = 0u16;
        for slot in &mut self.cntlid {
            let id = ids.next();
            count += u16::from(id.is_some());
            *slot = U16::new(id.unwrap_or(0));
        }
        self.count = U16::new(count);
    }
}

wire_struct! {
    /// I/O command sets, CNS 1Ch: combinations that the controller supports together, each a vector with the bit of
    /// every [`crate::Csi`] in it (Base 2.1, 5.1.13.2.21). Unused combinations are 0.
    pub struct CommandSets, 4096 bytes {
        /// The combinations, by IOCSCI.
        pub combinations: [U64; 512],
    }
}

impl CommandSets {
    /// The NVM command set and nothing else.
    pub fn nvm_only() -> Self {
        let mut sets = Self::default();
        sets.combinations[0] = U64::new(1);
        sets
    }
}
