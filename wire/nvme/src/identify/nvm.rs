//! The NVM command set's own structures: CNS 05h and 06h with CSI 00h (NVM 1.1, 4.1.5.3 and 4.1.5.4).

use crate::{U16, U32, U64};

wire_struct! {
    /// Identify Namespace specific to the NVM command set (NVM 1.1, 4.1.5.3).
    pub struct NvmNamespace, 4096 bytes {
        /// LBSTM: logical block storage tag mask.
        pub lbstm: U64,
        /// PIC: protection information capabilities.
        pub pic: u8,
        /// PIFA: protection information format attribute.
        pub pifa: u8,
        /// Reserved.
        pub reserved10: [u8; 2],
        /// ELBAF: extended LBA formats (storage tag size 6:0, protection format 8:7).
        pub elbaf: [U32; 64],
        /// NPDGL: preferred deallocate granularity, in logical blocks; 0: NPDG.
        pub npdgl: U32,
        /// NPRG: preferred read granularity, in logical blocks.
        pub nprg: U32,
        /// NPRA: preferred read alignment, in logical blocks.
        pub npra: U32,
        /// NORS: optimal read size, in logical blocks.
        pub nors: U32,
        /// NPDAL: preferred deallocate alignment, in logical blocks; 0: NPDA.
        pub npdal: U32,
        /// LBAPSS: LBA porting status size.
        pub lbapss: U32,
        /// TLBAAG: tracked LBA allocation granularity.
        pub tlbaag: U32,
        /// Reserved.
        pub reserved296: [u8; 3800],
    }
}

wire_struct! {
    /// Identify Controller specific to the NVM command set (NVM 1.1, 4.1.5.4). The limits are powers of two of
    /// minimum memory pages; 0 says that there is none.
    pub struct NvmController, 4096 bytes {
        /// VSL: limit of Verify.
        pub vsl: u8,
        /// WZSL: limit of Write Zeroes.
        pub wzsl: u8,
        /// WUSL: limit of Write Uncorrectable.
        pub wusl: u8,
        /// DMRL: ranges of a Dataset Management, 0 for no limit.
        pub dmrl: u8,
        /// DMRSL: logical blocks of one range, 0 for no limit.
        pub dmrsl: U32,
        /// DMSL: logical blocks of one Dataset Management, 0 for no limit.
        pub dmsl: U64,
        /// KPIOCAP: key per I/O capabilities.
        pub kpiocap: u8,
        /// WZDSL: limit of Write Zeroes with deallocate.
        pub wzdsl: u8,
        /// AOCS: admin optional command support.
        pub aocs: U16,
        /// VER: version of the NVM command set specification.
        pub ver: U32,
        /// LBAMQF: LBA migration queue format.
        pub lbamqf: u8,
        /// Reserved.
        pub reserved25: [u8; 4071],
    }
}
