//! Every command survives encode and parse; any 64 bytes parse.

use crate::fabrics::{ConnectAttributes, ConnectData, ConnectInvalid, ConnectResult};
use crate::register::Property;
use crate::*;
use core::mem::offset_of;
use proptest::prelude::*;
use std::vec;

#[test]
fn a_command_lies_where_the_specification_says() {
    assert_eq!(offset_of!(Sqe, cid), 2);
    assert_eq!(offset_of!(Sqe, nsid), 4);
    assert_eq!(offset_of!(Sqe, mptr), 16);
    assert_eq!(offset_of!(Sqe, dptr), 24);
    assert_eq!(offset_of!(Sqe, cdw10), 40);
    assert_eq!(offset_of!(Sqe, cdw15), 60);
    assert_eq!(offset_of!(ConnectData, cntlid), 16);
    assert_eq!(offset_of!(ConnectData, subnqn), 256);
    assert_eq!(offset_of!(ConnectData, hostnqn), 512);
}

#[test]
fn a_write_as_linux_sends_it() {
    // Write of 8 blocks at 4,096 with FUA, SGL in the capsule.
    let sqe = IoCommand::Write(ReadWrite { slba: 4096, blocks: 8, fua: true, ..ReadWrite::default() })
        .encode()
        .with_cid(Cid(0x1234))
        .with_nsid(1)
        .with_sgl(Sgl::Offset { offset: 0, len: 4096 });
    let raw = bytes(&sqe);
    assert_eq!(&raw[..8], [0x01, 0x40, 0x34, 0x12, 1, 0, 0, 0]);
    assert_eq!(&raw[24..40], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 1]);
    assert_eq!(&raw[40..52], [0, 0x10, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0x40]);
}

#[test]
fn zone_commands_lie_where_the_specification_says() {
    let words = |sqe: Sqe| [sqe.cdw10.get(), sqe.cdw11.get(), sqe.cdw12.get(), sqe.cdw13.get()];
    let send = ZoneSend { slba: 0x1_0000_0080, action: ZoneSendAction::RESET, all: true, option: false };
    let send = IoCommand::ZoneSend(send).encode();
    assert_eq!((send.opcode, words(send)), (0x79, [0x80, 1, 0, 0x104]));
    let (action, filter) = (ZoneReceiveAction::REPORT, ZoneFilter::FULL);
    let receive = IoCommand::ZoneReceive(ZoneReceive { slba: 5, len: 4096, action, filter, partial: true }).encode();
    assert_eq!((receive.opcode, words(receive)), (0x7a, [5, 0, 1023, 0x1_0500]));
    let append = IoCommand::ZoneAppend(ZoneAppend { zslba: 0x80, blocks: 8, fua: true, remap: true, ..ZoneAppend::default() }).encode();
    assert_eq!((append.opcode, words(append)), (0x7d, [0x80, 0, 0x4200_0007, 0]));
}

#[test]
fn a_connect_as_linux_sends_it() {
    let connect = Connect { qid: 2, sqsize: 127, kato_ms: 5000, ..Connect::default() };
    let sqe = FabricsCommand::Connect(connect).encode();
    let raw = bytes(&sqe);
    assert_eq!((raw[0], raw[4]), (0x7f, 0x01));
    assert_eq!(&raw[40..52], [0, 0, 2, 0, 127, 0, 0, 0, 0x88, 0x13, 0, 0]);
    assert!(sqe.is_fabrics());
    assert_eq!(sqe.fctype(), FabricsType::CONNECT);
    assert_eq!(ConnectResult::from(0x0004_0007).cntlid(), 7);
    assert!(ConnectResult::from(0x0002_0000 | 7).authentication());
    assert_eq!(ConnectInvalid::SUBNQN.into_bits(), 0x0001_0100);
    assert_eq!(ConnectInvalid::QID.into_bits(), 42);
}

#[test]
fn counts_stop_at_their_fields() {
    let blocks = |blocks| {
        let sqe = IoCommand::Read(ReadWrite { blocks, ..ReadWrite::default() }).encode();
        let IoCommand::Read(read) = IoCommand::parse(&sqe) else { panic!() };
        read.blocks
    };
    assert_eq!((blocks(0), blocks(1), blocks(65536), blocks(65537)), (1, 1, 65536, 65536));
    let log = |len| {
        let sqe = AdminCommand::GetLogPage(GetLogPage { len, ..GetLogPage::default() }).encode();
        let AdminCommand::GetLogPage(log) = AdminCommand::parse(&sqe) else { panic!() };
        log.len
    };
    assert_eq!((log(0), log(5), log(4096), log(u64::MAX)), (4, 8, 4096, 1 << 34));
}

fn protection() -> impl Strategy<Value = Protection> {
    (any::<[bool; 5]>(), any::<u32>(), any::<u64>(), any::<u16>(), any::<u16>()).prop_map(
        |(flags, reference_tag, tag_upper, application_tag, mask)| Protection {
            act: flags[0],
            check_guard: flags[1],
            check_application: flags[2],
            check_reference: flags[3],
            check_storage: flags[4],
            reference_tag,
            tag_upper,
            application_tag,
            application_mask: mask,
        },
    )
}

fn read_write() -> impl Strategy<Value = ReadWrite> {
    (any::<u64>(), 1..=65536u32, any::<[bool; 2]>(), 0..16u8, any::<u16>(), 0..16u8, any::<u8>(), protection()).prop_map(
        |(slba, blocks, flags, directive_type, directive, extension_type, hints, protection)| ReadWrite {
            slba,
            blocks,
            fua: flags[0],
            limited_retry: flags[1],
            directive_type,
            directive,
            extension_type,
            hints,
            protection,
        },
    )
}

fn write_zeroes() -> impl Strategy<Value = WriteZeroes> {
    (any::<u64>(), 1..=65536u32, any::<[bool; 4]>(), 0..16u8, protection()).prop_map(|(slba, blocks, flags, extension_type, protection)| {
        WriteZeroes {
            slba,
            blocks,
            fua: flags[0],
            limited_retry: flags[1],
            deallocate: flags[2],
            whole_namespace: flags[3],
            extension_type,
            protection,
        }
    })
}

fn copy() -> impl Strategy<Value = Copy> {
    (any::<u64>(), 1..=256u16, 0..16u8, any::<[bool; 3]>(), 0..16u8, 0..16u8, any::<u16>(), 0..16u8, protection()).prop_map(
        |(sdlba, ranges, format, flags, protection_read, directive_type, directive, extension_type, protection)| Copy {
            sdlba,
            ranges,
            format,
            fua: flags[0],
            limited_retry: flags[1],
            check_storage_read: flags[2],
            protection_read,
            directive_type,
            directive,
            extension_type,
            protection,
        },
    )
}

fn fabrics() -> impl Strategy<Value = FabricsCommand> {
    let len = prop_oneof![Just(Some(4)), Just(Some(8)), Just(None)];
    let auth = (any::<u16>(), any::<u8>(), any::<u32>()).prop_map(|(spsp, secp, len)| AuthTransfer { spsp, secp, len });
    prop_oneof![
        (any::<u16>(), any::<u16>(), any::<u16>(), 0..16u8, any::<u32>()).prop_map(|(recfmt, qid, sqsize, cattr, kato_ms)| {
            let cattr = ConnectAttributes::from_bits(cattr);
            FabricsCommand::Connect(Connect { recfmt, qid, sqsize, cattr, kato_ms })
        }),
        (len.clone(), any::<u32>()).prop_map(|(len, p)| FabricsCommand::PropertyGet(PropertyGet { len, property: Property(p) })),
        (len, any::<u32>(), any::<u64>())
            .prop_map(|(len, p, value)| { FabricsCommand::PropertySet(PropertySet { len, property: Property(p), value }) }),
        any::<u16>().prop_map(|recfmt| FabricsCommand::Disconnect { recfmt }),
        auth.clone().prop_map(FabricsCommand::AuthSend),
        auth.prop_map(FabricsCommand::AuthReceive),
        (0xc0..=0xffu8).prop_map(|t| FabricsCommand::Other(FabricsType(t))),
    ]
}

fn zone_append() -> impl Strategy<Value = ZoneAppend> {
    (any::<u64>(), 1..=65536u32, any::<[bool; 3]>(), 0..16u8, any::<u16>(), protection()).prop_map(
        |(zslba, blocks, flags, directive_type, directive, protection)| ZoneAppend {
            zslba,
            blocks,
            fua: flags[0],
            limited_retry: flags[1],
            remap: flags[2],
            directive_type,
            directive,
            protection,
        },
    )
}

fn zones() -> impl Strategy<Value = IoCommand> {
    prop_oneof![
        (any::<u64>(), any::<u8>(), any::<bool>(), any::<bool>()).prop_map(|(slba, action, all, option)| {
            IoCommand::ZoneSend(ZoneSend { slba, action: ZoneSendAction(action), all, option })
        }),
        (any::<u64>(), 1..=1u64 << 32, any::<u8>(), any::<u8>(), any::<bool>()).prop_map(|(slba, dwords, action, filter, partial)| {
            let (action, filter) = (ZoneReceiveAction(action), ZoneFilter(filter));
            IoCommand::ZoneReceive(ZoneReceive { slba, len: dwords * 4, action, filter, partial })
        }),
        zone_append().prop_map(IoCommand::ZoneAppend),
    ]
}

fn io() -> impl Strategy<Value = IoCommand> {
    prop_oneof![
        read_write().prop_map(IoCommand::Read),
        read_write().prop_map(IoCommand::Write),
        (read_write(), any::<bool>()).prop_map(|(rw, compare)| if compare { IoCommand::Compare(rw) } else { IoCommand::Verify(rw) }),
        Just(IoCommand::Flush),
        write_zeroes().prop_map(IoCommand::WriteZeroes),
        (any::<u64>(), 1u32..=0x1_0000).prop_map(|(slba, blocks)| IoCommand::WriteUncorrectable(WriteUncorrectable { slba, blocks })),
        (1..=256u16, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(ranges, deallocate, integral_write, integral_read)| {
            IoCommand::DatasetManagement(DatasetManagement { ranges, deallocate, integral_write, integral_read })
        }),
        copy().prop_map(IoCommand::Copy),
        zones(),
        fabrics().prop_map(IoCommand::Fabrics),
        (0x80..=0xffu8).prop_map(|op| IoCommand::Other(IoOpcode(op))),
    ]
}

fn log_page() -> impl Strategy<Value = GetLogPage> {
    (any::<u8>(), 0..128u8, any::<bool>(), 1..=1u64 << 32, any::<u16>(), any::<u64>(), any::<bool>(), any::<u8>(), 0..128u8).prop_map(
        |(lid, lsp, retain_event, dwords, lsi, offset, offset_is_index, csi, uuid_index)| GetLogPage {
            lid: LogId(lid),
            lsp,
            retain_event,
            len: dwords * 4,
            lsi,
            offset,
            offset_is_index,
            csi: Csi(csi),
            uuid_index,
        },
    )
}

fn admin() -> impl Strategy<Value = AdminCommand> {
    prop_oneof![
        (any::<u8>(), any::<u16>(), any::<u16>(), any::<u8>(), 0..128u8).prop_map(|(cns, cntid, cnssid, csi, uuid_index)| {
            AdminCommand::Identify(Identify { cns: Cns(cns), cntid, cnssid, csi: Csi(csi), uuid_index })
        }),
        log_page().prop_map(AdminCommand::GetLogPage),
        (any::<u8>(), 0..8u8, any::<u32>(), 0..128u8).prop_map(|(fid, select, cdw11, uuid_index)| {
            let (fid, select) = (FeatureId(fid), FeatureSelect(select));
            AdminCommand::GetFeatures(GetFeatures { fid, select, cdw11, uuid_index })
        }),
        (any::<u8>(), any::<bool>(), any::<[u32; 4]>(), 0..128u8).prop_map(|(fid, save, [cdw11, cdw12, cdw13, cdw15], uuid_index)| {
            let fid = FeatureId(fid);
            AdminCommand::SetFeatures(SetFeatures { fid, save, cdw11, cdw12, cdw13, cdw15, uuid_index })
        }),
        Just(AdminCommand::AsyncEventRequest),
        (any::<u16>(), any::<u16>()).prop_map(|(sqid, cid)| AdminCommand::Abort(Abort { sqid, cid: Cid(cid) })),
        Just(AdminCommand::KeepAlive),
        fabrics().prop_map(AdminCommand::Fabrics),
        (0xc0..=0xffu8).prop_map(|op| AdminCommand::Other(AdminOpcode(op))),
    ]
}

proptest! {
    #[test]
    fn admin_round_trip(command in admin()) {
        prop_assert_eq!(AdminCommand::parse(&command.encode()), command);
    }

    #[test]
    fn io_round_trip(command in io()) {
        prop_assert_eq!(IoCommand::parse(&command.encode()), command);
    }

    /// Whatever comes, parsing it and writing it again means the same: nothing is lost that `parse` looks at.
    #[test]
    fn any_entry_parses_to_a_fixed_point(raw in any::<[[u8; 32]; 2]>(), opcode in prop_oneof![Just(None), any::<u8>().prop_map(Some)]) {
        let mut raw = raw.concat();
        if let Some(opcode) = opcode {
            raw[0] = if opcode < 0xc0 { opcode & 0x1f } else { 0x78 | opcode & 7 };
        }
        let sqe: &Sqe = view(&raw).unwrap();
        let io = IoCommand::parse(sqe);
        prop_assert_eq!(IoCommand::parse(&io.encode()), io);
        let admin = AdminCommand::parse(sqe);
        prop_assert_eq!(AdminCommand::parse(&admin.encode()), admin);
    }
}

#[test]
fn what_changes_the_medium_is_written_as_the_specification_has_it() {
    let dwords = |sqe: Sqe| (sqe.opcode, sqe.cdw10.get(), sqe.cdw11.get());
    let format =
        FormatNvm { format: 0x25, extended_metadata: true, protection: 1, protection_first: true, erase: SecureErase::Cryptographic };
    // LBAFL 5, MSET, PI 1, PIL, SES 2, LBAFU 2.
    assert_eq!(dwords(format.encode()), (0x80, 5 | 1 << 4 | 1 << 5 | 1 << 8 | 2 << 9 | 2 << 12, 0));
    assert_eq!(dwords(FirmwareDownload { bytes: 4096, offset: 8192 }.encode()), (0x11, 1023, 2048));
    assert_eq!(dwords(FirmwareCommit { slot: 3, action: CommitAction::ReplaceAndActivateNow }.encode()), (0x10, 3 | 3 << 3, 0));
    let sanitize = Sanitize { action: SanitizeAction::CryptoErase, unrestricted: true, no_deallocate: true };
    assert_eq!(dwords(sanitize.encode()), (0x84, 4 | 1 << 3 | 1 << 9, 0));
}
