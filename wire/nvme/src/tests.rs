//! Text, names, status, completions, SGLs, properties.

use crate::register::*;
use crate::*;
use proptest::prelude::*;
use std::string::{String, ToString};

#[test]
fn text_is_padded_cut_and_shown() {
    assert_eq!(&Ascii::<8>::new("abc").0, b"abc     ");
    assert_eq!(&Ascii::<4>::new("abcdef").0, b"abcd");
    assert_eq!(&Ascii::<4>::new("a\u{e9}b").0, b"a  b");
    assert_eq!(Ascii::<8>::new("a b").as_str(), Some("a b"));
    assert_eq!(Ascii(*b"4420\0\0\0\0").as_str(), Some("4420"));
    assert_eq!(Ascii(*b"a\nb\xff    ").as_str(), None);
    assert_eq!(Ascii(*b"a\nb\xff    ").to_string(), "a\\nb\\xff");
    assert_eq!(Ascii::<4>::default().as_str(), Some(""));
}

#[test]
fn names_are_judged_by_their_rule() {
    let long = std::format!("nqn.2026-11.io.example:{}", "x".repeat(200));
    assert_eq!(long.len(), NQN_LEN_MAX);
    for good in [
        DISCOVERY_NQN,
        "nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "nqn.2016-06.io.spdk:cnode1",
        "nqn.2014-08.com.example:nvme.host.sys.xyz",
        "nqn.2014-08.com.example:\u{fc}",
        &long,
    ] {
        assert_eq!(Nqn::new(good).map(|n| n.as_str().to_string()), Ok(good.to_string()));
    }
    let longer = std::format!("{long}x");
    let label = std::format!("nqn.2014-08.{}:x", "a".repeat(64));
    for (bad, why) in [
        ("", NqnError::Empty),
        (&*longer, NqnError::TooLong),
        ("nqn.2014-08.com.example:a\nb", NqnError::Control),
        ("iqn.2014-08.com.example:x", NqnError::Date),
        ("nqn.2014-13.com.example:x", NqnError::Date),
        ("nqn.2014-00.com.example:x", NqnError::Date),
        ("nqn.14-08.com.example:x", NqnError::Date),
        ("nqn.2014-08", NqnError::Date),
        ("nqn.2014-08.:x", NqnError::Domain),
        ("nqn.2014-08.com..example:x", NqnError::Domain),
        ("nqn.2014-08.com.-example:x", NqnError::Domain),
        ("nqn.2014-08.com.3example:x", NqnError::Domain),
        ("nqn.2014-08.com.example-:x", NqnError::Domain),
        (&*label, NqnError::Domain),
        ("nqn.2014-08.com.example", NqnError::Name),
        ("nqn.2014-08.com.example:", NqnError::Name),
        ("nqn.2014-08.org.nvmexpress:uuid:f81d4fae", NqnError::Uuid),
        ("nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bg6", NqnError::Uuid),
        ("nqn.2014-08.org.nvmexpress:uuid:f81d4fae07dec-11d0-a765-00a0c91e6bf6", NqnError::Uuid),
    ] {
        assert_eq!(Nqn::new(bad), Err(why), "{bad}");
    }
}

#[test]
fn a_name_field_must_end_within_its_limit() {
    let mut field = NqnField([b'a'; 256]);
    assert_eq!(field.as_str(), Err(NqnError::TooLong));
    field.0[224] = 0;
    assert_eq!(field.as_str(), Err(NqnError::TooLong));
    field.0[223] = 0;
    assert_eq!(field.as_str().map(str::len), Ok(223));
    field.0[5] = 0xff;
    assert_eq!(field.as_str(), Err(NqnError::NotUtf8));
    field.0[0] = 0;
    assert_eq!(field.as_str(), Err(NqnError::Empty));
    let field = NqnField::from(Nqn::new(DISCOVERY_NQN).unwrap());
    assert_eq!(field.as_str(), Ok(DISCOVERY_NQN));
}

#[test]
fn a_status_keeps_its_parts_apart() {
    let s = Status::LBA_OUT_OF_RANGE.dnr().more().with_crd(2);
    assert_eq!((s.sct(), s.sc(), s.crd(), s.is_dnr(), s.is_more()), (StatusCodeType::GENERIC, 0x80, 2, true, true));
    assert_eq!(s.bits(), 0x7080);
    assert!(s.is(Status::LBA_OUT_OF_RANGE) && s != Status::LBA_OUT_OF_RANGE && !s.is_ok());
    assert_eq!(s.code(), Status::LBA_OUT_OF_RANGE);
    assert_eq!(Status::new(StatusCodeType::MEDIA, 0x81), Status::UNRECOVERED_READ);
    assert_eq!(Status::UNRECOVERED_READ.name(), Some("Unrecovered Read Error"));
    assert_eq!(Status::from_bits(0x7fff).name(), None);
    assert_eq!(Status::from_bits(0x0700).to_string(), "Vendor Specific (07h/00h)");
    assert_eq!(Status::CONNECT_INVALID_HOST.name(), Some("Connect Invalid Host"));
}

#[test]
fn a_completion_lies_where_the_specification_says() {
    let cqe = Cqe::new(Cid(0x0201), Status::COMPARE_FAILURE.dnr())
        .with_result(0x1122_3344_5566_7788)
        .with_sqhd(0x0a0b)
        .with_sqid(0x0c0d)
        .with_phase(true);
    let expected = [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x0b, 0x0a, 0x0d, 0x0c, 0x01, 0x02, 0x0b, 0x85];
    assert_eq!(bytes(&cqe), expected);
    let back: &Cqe = view(&expected).unwrap();
    assert_eq!((back.cid(), back.status(), back.phase()), (Cid(0x0201), Status::COMPARE_FAILURE.dnr(), true));
    assert_eq!(back.result(), 0x1122_3344_5566_7788);
    assert_eq!(view::<Cqe>(&expected[1..]), None);
}

#[test]
fn registers_have_their_bits_where_the_specification_says() {
    assert_eq!(Cc::new().with_en(true).with_iosqes(6).with_iocqes(4).into_bits(), 0x0046_0001);
    assert_eq!(Cc::from(0x0046_4061).shn(), ShutdownNotice::NORMAL);
    assert_eq!(Cc::from(0x0046_0061).css(), CommandSetSelect::ALL);
    assert_eq!(Csts::new().with_rdy(true).with_shst(ShutdownStatus::COMPLETE).into_bits(), 0x9);
    assert_eq!(Version::V2_1.into_bits(), 0x0002_0100);
    let cap = Cap::new().with_mqes(127).with_cqr(true).with_timeout_500ms(30).with_css(1).with_mpsmax(4).with_crms(1);
    assert_eq!(cap.into_bits(), 127 | 1 << 16 | 30 << 24 | 1 << 37 | 4 << 52 | 1 << 59);
    assert_eq!(Property::CAP.size(), Some(8));
    assert_eq!(Property::CC.size(), Some(4));
    let cmb = CmbSize::new().with_submission_queues(true).with_unit_code(2).with_units(3);
    assert_eq!((cmb.into_bits(), cmb.unit()), (1 | 2 << 8 | 3 << 12, Some(1 << 20)));
    assert_eq!(CmbLocation::new().with_bar(2).with_offset_units(5).into_bits(), 2 | 5 << 12);
    assert_eq!(CmbControl::new().with_registers(true).with_enabled(true).with_page(9).into_bits(), 3 | 9 << 12);
    assert_eq!(Property::CMBMSC.size(), Some(8));
    assert_eq!(Property(0x10_000).size(), None);
}

#[test]
fn an_unknown_code_is_a_value_with_a_text() {
    assert_eq!(AdminOpcode::IDENTIFY.to_string(), "Identify");
    assert_eq!(AdminOpcode(0xc3).to_string(), "unknown (c3h)");
    assert_eq!(std::format!("{:?}", LogId(0xfe)), "LogId(feh: unknown)");
}

#[test]
fn events_are_encoded_as_hosts_expect_them() {
    assert_eq!(event::AsyncEvent::NAMESPACE_CHANGED.into_bits(), 0x0004_0002);
    assert_eq!(event::AsyncEvent::DISCOVERY_CHANGED.into_bits(), 0x0070_f002);
    assert_eq!(feature::AsyncEventConfig::new().with_namespace(true).into_bits(), 0x100);
    assert_eq!(feature::AsyncEventConfig::new().with_discovery(true).into_bits(), 1 << 31);
    assert_eq!(feature::NumberOfQueues::from(0x0003_0007).completion(), 3);
}

fn any_sgl() -> impl Strategy<Value = Sgl> {
    prop_oneof![
        (any::<u64>(), any::<u32>()).prop_map(|(addr, len)| Sgl::Address { addr, len }),
        (any::<u64>(), any::<u32>()).prop_map(|(offset, len)| Sgl::Offset { offset, len }),
        any::<u32>().prop_map(|len| Sgl::BitBucket { len }),
        any::<u32>().prop_map(|len| Sgl::Transport { len }),
        (any::<u64>(), any::<u32>(), any::<bool>()).prop_map(|(addr, len, in_capsule)| Sgl::Segment { addr, len, in_capsule }),
        (any::<u64>(), any::<u32>(), any::<bool>()).prop_map(|(addr, len, in_capsule)| Sgl::LastSegment { addr, len, in_capsule }),
        (any::<u64>(), 0u32..1 << 24, any::<u32>(), any::<bool>()).prop_map(|(addr, len, key, invalidate)| Sgl::Keyed {
            addr,
            len,
            key,
            invalidate
        }),
    ]
}

proptest! {
    #[test]
    fn sgl_round_trip(sgl in any_sgl()) {
        prop_assert_eq!(sgl.encode().parse(), sgl);
    }

    #[test]
    fn any_descriptor_parses_and_an_unknown_one_is_kept(raw in any::<[u8; 16]>()) {
        let d = *view::<SglDescriptor>(&raw).unwrap();
        if let Sgl::Other(kept) = d.parse() {
            prop_assert_eq!(kept, d);
        }
    }

    #[test]
    fn any_text_makes_a_printable_field(text in any::<String>()) {
        let field = Ascii::<20>::new(&text);
        prop_assert!(field.as_str().is_some());
    }

    #[test]
    fn a_name_that_is_accepted_survives_its_field(text in "nqn\\.20[0-9]{2}-[01][0-9]\\.[a-z]{1,5}(\\.[a-z-]{1,5}){0,2}:[^\\pC]{0,40}") {
        if let Ok(name) = Nqn::new(&text) {
            let field = NqnField::from(name);
            prop_assert_eq!(field.as_str(), Ok(&*text));
        }
    }

    #[test]
    fn any_name_field_is_read_without_harm(raw in proptest::collection::vec(any::<u8>(), 256)) {
        let field: &NqnField = view(&raw).unwrap();
        if let Ok(name) = field.as_str() {
            prop_assert!(!name.is_empty() && name.len() <= NQN_LEN_MAX);
        }
    }
}
