//! Scatter gather list descriptors (Base 2.1, 4.3.2).

wire_struct! {
    /// An SGL descriptor as it lies in a command's DPTR or in a list (Base 2.1, 4.3.2).
    #[derive(Copy, Hash)]
    pub struct SglDescriptor, 16 bytes {
        /// Bytes that the type gives their meaning: address, length, key.
        pub specific: [u8; 15],
        /// SGL identifier: sub type in bits 3:0, type in bits 7:4.
        pub id: u8,
    }
}

/// What an SGL descriptor says. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sgl {
    /// Data block at an address (type 0h, sub type 0h).
    Address {
        /// Address in the memory of the host.
        addr: u64,
        /// Length.
        len: u32,
    },
    /// Data block at an offset: in the data of the capsule (type 0h, sub type 1h; Base 2.1, 4.3.2.1).
    Offset {
        /// Offset from the start of the capsule's data (ICDOFF included by the reader).
        offset: u64,
        /// Length.
        len: u32,
    },
    /// Bit bucket: read data to throw away (type 1h).
    BitBucket {
        /// Length.
        len: u32,
    },
    /// The next segment of the list (type 2h), at an address or, with `in_capsule`, at an offset.
    Segment {
        /// Address or offset.
        addr: u64,
        /// Length of the segment.
        len: u32,
        /// Whether `addr` is an offset in the capsule.
        in_capsule: bool,
    },
    /// The last segment of the list (type 3h).
    LastSegment {
        /// Address or offset.
        addr: u64,
        /// Length of the segment.
        len: u32,
        /// Whether `addr` is an offset in the capsule.
        in_capsule: bool,
    },
    /// Keyed data block, for RDMA (type 4h).
    Keyed {
        /// Address in the memory of the host.
        addr: u64,
        /// Length, 24 bits.
        len: u32,
        /// Memory key.
        key: u32,
        /// Whether the key is to be invalidated by the answer (sub type Fh).
        invalidate: bool,
    },
    /// Transport data block: the transport fetches or delivers the data (type 5h, sub type Ah).
    Transport {
        /// Length.
        len: u32,
    },
    /// A type or sub type without meaning here.
    Other(SglDescriptor),
}

impl Default for Sgl {
    fn default() -> Self {
        Self::Address { addr: 0, len: 0 }
    }
}

impl SglDescriptor {
    /// The meaning of the descriptor.
    pub fn parse(self) -> Sgl {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, k1, k2, k3] = self.specific;
        let addr = u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        match self.id {
            0x00 => Sgl::Address { addr, len },
            0x01 => Sgl::Offset { offset: addr, len },
            0x10 => Sgl::BitBucket { len },
            0x20 | 0x21 => Sgl::Segment { addr, len, in_capsule: self.id & 1 != 0 },
            0x30 | 0x31 => Sgl::LastSegment { addr, len, in_capsule: self.id & 1 != 0 },
            0x40 | 0x4f => Sgl::Keyed {
                addr,
                len: u32::from_le_bytes([l0, l1, l2, 0]),
                key: u32::from_le_bytes([l3, k1, k2, k3]),
                invalidate: self.id == 0x4f,
            },
            0x5a => Sgl::Transport { len },
            _ => Sgl::Other(self),
        }
    }
}

impl Sgl {
    /// The descriptor that says this. A keyed length is cut to its 24 bits.
    pub fn encode(self) -> SglDescriptor {
        let plain = |addr: u64, len: u32, id: u8| {
            let mut specific = [0; 15];
            for (to, from) in specific.iter_mut().zip(addr.to_le_bytes().into_iter().chain(len.to_le_bytes())) {
                *to = from;
            }
            SglDescriptor { specific, id }
        };
        match self {
            Self::Address { addr, len } => plain(addr, len, 0x00),
            Self::Offset { offset, len } => plain(offset, len, 0x01),
            Self::BitBucket { len } => plain(0, len, 0x10),
            Self::Segment { addr, len, in_capsule } => plain(addr, len, 0x20 | u8::from(in_capsule)),
            Self::LastSegment { addr, len, in_capsule } => plain(addr, len, 0x30 | u8::from(in_capsule)),
            Self::Keyed { addr, len, key, invalidate } => {
                let [l0, l1, l2, _] = len.to_le_bytes();
                let [k0, k1, k2, k3] = key.to_le_bytes();
                let mut d = plain(addr, u32::from_le_bytes([l0, l1, l2, k0]), if invalidate { 0x4f } else { 0x40 });
                d.specific[12] = k1;
                d.specific[13] = k2;
                d.specific[14] = k3;
                d
            }
            Self::Transport { len } => plain(0, len, 0x5a),
            Self::Other(d) => d,
        }
    }

    /// Length of the data that the descriptor names; 0 for a list and for an unknown type.
    pub const fn data_len(self) -> u32 {
        match self {
            Self::Address { len, .. }
            | Self::Offset { len, .. }
            | Self::BitBucket { len }
            | Self::Keyed { len, .. }
            | Self::Transport { len } => len,
            Self::Segment { .. } | Self::LastSegment { .. } | Self::Other(_) => 0,
        }
    }
}
