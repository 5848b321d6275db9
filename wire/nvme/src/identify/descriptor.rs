//! Namespace identification descriptors, CNS 03h (Base 2.1, 5.1.13.2.3).

use crate::{Csi, NidType, PAGE_LEN};

/// One identifier of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamespaceId<'a> {
    /// IEEE extended unique identifier, big-endian.
    Eui64([u8; 8]),
    /// Globally unique identifier, big-endian.
    Nguid([u8; 16]),
    /// UUID as RFC 9562 writes it.
    Uuid([u8; 16]),
    /// Command set of the namespace.
    Csi(Csi),
    /// A type, or a length, that is not known here.
    Other(NidType, &'a [u8]),
}

/// Reads the descriptors of a list, ended by a zero length or the end of the bytes.
#[derive(Clone, Debug)]
pub struct NamespaceIds<'a> {
    rest: &'a [u8],
}

impl<'a> NamespaceIds<'a> {
    /// Over the bytes of the list.
    pub fn new(list: &'a [u8]) -> Self {
        Self { rest: list }
    }
}

impl<'a> Iterator for NamespaceIds<'a> {
    type Item = NamespaceId<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&[kind, len, _, _], rest) = self.rest.split_first_chunk::<4>()?;
        if len == 0 {
            self.rest = &[];
            return None;
        }
        let Some((id, rest)) = rest.split_at_checked(usize::from(len)) else {
            self.rest = &[];
            return None;
        };
        self.rest = rest;
        Some(match (NidType(kind), id) {
            (NidType::EUI64, id) if id.len() == 8 => NamespaceId::Eui64(id.try_into().unwrap_or_default()),
            (NidType::NGUID, id) if id.len() == 16 => NamespaceId::Nguid(id.try_into().unwrap_or_default()),
            (NidType::UUID, id) if id.len() == 16 => NamespaceId::Uuid(id.try_into().unwrap_or_default()),
            (NidType::CSI, &[csi]) => NamespaceId::Csi(Csi(csi)),
            (kind, id) => NamespaceId::Other(kind, id),
        })
    }
}

/// Writes a list of descriptors into a page.
#[derive(Debug)]
pub struct NamespaceIdsWriter<'a> {
    page: &'a mut [u8; PAGE_LEN],
    len: usize,
}

impl<'a> NamespaceIdsWriter<'a> {
    /// Zeroes the page and begins at its start.
    pub fn new(page: &'a mut [u8; PAGE_LEN]) -> Self {
        page.fill(0);
        Self { page, len: 0 }
    }

    /// Appends an identifier; `false` when it does not fit (an empty or overlong one never does).
    pub fn push(&mut self, id: NamespaceId<'_>) -> bool {
        let csi;
        let (kind, bytes): (NidType, &[u8]) = match &id {
            NamespaceId::Eui64(id) => (NidType::EUI64, id),
            NamespaceId::Nguid(id) => (NidType::NGUID, id),
            NamespaceId::Uuid(id) => (NidType::UUID, id),
            NamespaceId::Csi(id) => {
                csi = [id.0];
                (NidType::CSI, &csi)
            }
            NamespaceId::Other(kind, id) => (*kind, id),
        };
        let Ok(len) = u8::try_from(bytes.len()) else { return false };
        let slot = self.page.get_mut(self.len..).and_then(|rest| rest.split_at_mut_checked(4 + bytes.len()));
        let (Some((slot, _)), true) = (slot, len > 0) else { return false };
        for (to, from) in slot.iter_mut().zip([kind.0, len, 0, 0].iter().chain(bytes)) {
            *to = *from;
        }
        self.len += slot.len();
        true
    }
}
