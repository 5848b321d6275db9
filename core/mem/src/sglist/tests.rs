use super::*;
use crate::Pool;
use proptest::prelude::*;

/// A list of the given segment sizes and the same bytes in one vector.
fn list(pool: &Pool, sizes: &[u32]) -> (SgList, Vec<u8>) {
    let mut l = SgList::default();
    let mut model = Vec::new();
    for (n, &size) in sizes.iter().enumerate() {
        let mut s = pool.get(size).unwrap();
        for (i, b) in s.bytes().unwrap().iter_mut().enumerate() {
            *b = (n * 31 + i * 7) as u8;
        }
        model.extend_from_slice(s.bytes().unwrap());
        l.push(s);
    }
    (l, model)
}

fn all(l: &SgList) -> Vec<u8> {
    let mut v = vec![0; l.bytes() as usize];
    l.read_at(0, &mut v);
    v
}

proptest! {
    #[test]
    fn ranges_agree_with_a_plain_vector(sizes in prop::collection::vec(1u32..700, 1..8), a in 0u32..3000, b in 0u32..3000, byte: u8) {
        let pool = Pool::small(1024, 40);
        let (l, mut model) = list(&pool, &sizes);
        let total = l.bytes();
        let (off, end) = (a.min(b) % (total + 1), a.max(b) % (total + 1));
        let (off, end) = (off.min(end), off.max(end));
        let len = end - off;
        let range = off as usize..end as usize;

        let mut shared = SgList::default();
        l.share(off, len, &mut shared);
        prop_assert_eq!(all(&shared), &model[range.clone()]);

        let mut chunks = vec![];
        l.each_chunk(off, len, |c| chunks.extend_from_slice(c));
        prop_assert_eq!(&chunks, &model[range.clone()]);
        let mut iov = vec![];
        l.iovecs(off, len, &mut iov);
        prop_assert_eq!(iov.iter().map(IoVec::len).sum::<usize>(), len as usize);
        prop_assert_eq!(l.first_difference(off, &shared, 0, len), None);
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &model[range.clone()]) as u32;
        prop_assert_eq!(l.crc32c(off, len), crc);

        let (copy, _) = list(&pool, &[total.min(1024)]);
        let n = len.min(1024).min(total.min(1024));
        copy.copy_from(0, &l, off, n);
        let mut got = vec![0; n as usize];
        copy.read_at(0, &mut got);
        prop_assert_eq!(&got, &model[off as usize..(off + n) as usize]);

        l.fill(off, len, byte);
        model[range].fill(byte);
        prop_assert_eq!(all(&l), model);
        prop_assert!(byte != 0 || l.is_zero(off, len));
    }
}

#[test]
fn a_difference_is_found_where_it_is() {
    let pool = Pool::small(1024, 8);
    let ((a, _), (b, _)) = (list(&pool, &[600, 600]), list(&pool, &[600, 600]));
    assert_eq!(a.first_difference(0, &b, 0, 1200), None);
    b.write_at(777, &[255]);
    a.write_at(777, &[1]);
    assert_eq!(a.first_difference(0, &b, 0, 1200), Some(777));
    assert_eq!(a.first_difference(0, &b, 0, 777), None);
}
