use super::*;
use crate::PAGE_LEN;
use crate::field::put;
use std::vec::Vec;

/// A page with these descriptors, each a kind, a stated length, and bytes.
fn page(descriptors: &[(u8, u32, &[u8])]) -> PageBytes {
    let mut page = [0; PAGE_LEN];
    let mut at = AREA_AT;
    for (kind, len, payload) in descriptors {
        put(&mut page, at, &[*kind]);
        put(&mut page, at + 1, &len.to_le_bytes());
        put(&mut page, at + 5, payload);
        at += 5 + payload.len();
    }
    page
}

fn all(page: &PageBytes) -> Vec<Result<Descriptor<'_>, Damage>> {
    Descriptors::of(MdPage(9), page)
        .map(|found| {
            found.map_err(|fault| {
                assert_eq!(fault.page, MdPage(9));
                fault.damage
            })
        })
        .collect()
}

#[test]
fn padding_is_skipped_and_nothing_follows_the_end() {
    let page = page(&[(0, 3, &[7; 3]), (9, 2, &[1, 2]), (0, 0, &[]), (9, 1, &[3])]);
    assert_eq!(all(&page), [Ok(Descriptor::Unknown { kind: DescriptorKind(9), payload: &[1, 2] })]);
    assert_eq!(all(&[0; PAGE_LEN]), []);
}

#[test]
fn an_area_may_be_filled_to_its_last_byte() {
    let whole = [5; AREA_END - AREA_AT - 5];
    let bytes = page(&[(200, whole.len() as u32, &whole)]);
    assert_eq!(all(&bytes), [Ok(Descriptor::Unknown { kind: DescriptorKind(200), payload: &whole })]);
    // Fewer than five bytes are no header, whatever they hold.
    for left in 1..5 {
        let bytes = page(&[(200, (whole.len() - left) as u32, &whole[..whole.len() - left]), (3, 24, &[])]);
        assert_eq!(all(&bytes).len(), 1, "{left}");
    }
    let bytes = page(&[(2, whole.len() as u32 + 1, &whole)]);
    assert_eq!(all(&bytes), [Err(Damage::Overrun { offset: 16, kind: DescriptorKind::XATTR })]);
    let bytes = page(&[(0, 10, &[0; 10]), (0, u32::MAX, &[])]);
    assert_eq!(all(&bytes), [Err(Damage::Overrun { offset: 31, kind: DescriptorKind::PADDING })]);
}

#[test]
fn lengths_that_a_kind_cannot_have_end_the_page() {
    let wrong: &[(u8, u32)] =
        &[(1, 0), (1, 4), (1, 12), (3, 23), (3, 25), (3, 0), (5, 0), (5, 7), (5, 12), (6, 0), (6, 4), (6, 6), (2, 0), (2, 3), (4, 5)];
    for (kind, len) in wrong {
        let bytes = page(&[(*kind, *len, &[1; 30][..*len as usize]), (9, 1, &[3])]);
        assert_eq!(all(&bytes), [Err(Damage::Length { offset: 16, kind: DescriptorKind(*kind), len: *len })], "kind {kind} of {len}");
    }
    // Name and value have to fill an attribute.
    for (names, values) in [(1u16, 1u16), (3, 0), (2, 1), (u16::MAX, u16::MAX), (1, u16::MAX)] {
        let payload = [&names.to_le_bytes()[..], &values.to_le_bytes(), b"ab"].concat();
        let ok = u32::from(names) + u32::from(values) == 2;
        assert_eq!(all(&page(&[(4, 6, &payload)]))[0].is_ok(), ok, "{names} and {values}");
    }
}

#[test]
fn each_kind_means_what_it_says() {
    let flags = [5u64, 1, 2].map(u64::to_le_bytes).concat();
    let pairs = [7u32, 3, 0, 9].map(u32::to_le_bytes).concat();
    let table = [&1000u64.to_le_bytes()[..], &pairs].concat();
    let bytes = page(&[
        (3, 24, &flags),
        (2, 8, &[2, 0, 2, 0, b'a', b'b', b'c', b'd']),
        (4, 16, b"\x04\0\x08\0SNAP\x04\0\0\0\x01\0\0\0"),
        (1, 16, &pairs),
        (5, 24, &table),
        (5, 8, &table[..8]),
        (6, 12, &pairs[..12]),
    ]);
    let found: Vec<_> = all(&bytes).into_iter().map(Result::unwrap).collect();
    assert_eq!(found[0], Descriptor::Flags(Flags { invalid: 5, data_ro: 1, md_ro: 2 }));
    assert_eq!(found[1], Descriptor::Xattr(Xattr { name: b"ab", value: b"cd" }));
    let Descriptor::Internal(snap) = found[2] else { panic!() };
    assert_eq!((snap.name, snap.blob().unwrap().to_raw()), (internal::SNAP, 0x1_0000_0004));
    let Descriptor::ExtentRle(runs) = found[3] else { panic!() };
    assert!(runs.eq([Run { cluster: Cluster(7), count: 3 }, Run { cluster: Cluster::NONE, count: 9 }]));
    let Descriptor::ExtentTable(Table { clusters: 1000, entries }) = found[4] else { panic!() };
    assert!(entries.eq([TableRun { page: MdPage(7), count: 3 }, TableRun { page: MdPage::ABSENT, count: 9 }]));
    assert!(matches!(found[5], Descriptor::ExtentTable(Table { clusters: 1000, entries }) if entries.count() == 0));
    assert_eq!(found[6], Descriptor::ExtentPage { start: 7, clusters: &pairs[4..12] });
}
