use super::*;

fn image(model: &DurabilityModel, contents: &[(u64, WriteId)]) -> Vec<u8> {
    let mut bytes = vec![0; (model.len_blocks() as usize) << 9];
    for (lba, id) in contents {
        stamp_block(&mut bytes[(*lba as usize) << 9..(*lba as usize + 1) << 9], *lba, *id);
    }
    bytes
}

fn model() -> DurabilityModel {
    DurabilityModel::new(77, 9, 8)
}

#[test]
fn stamps_tell_their_write_and_their_place() {
    let mut block = [0; 512];
    stamp_block(&mut block, 5, WriteId(9));
    assert_eq!(read_stamp(&block, 5), Some(WriteId(9)));
    assert_eq!(read_stamp(&block, 6), None, "misplaced");
    block[300] ^= 1;
    assert_eq!(read_stamp(&block, 5), None, "rotten");
}

#[test]
fn an_acknowledged_write_may_be_lost_until_it_is_flushed() {
    let mut m = model();
    let a = m.write(2, 1, false);
    assert!(m.check_image(&image(&m, &[])).is_ok() && m.check_image(&image(&m, &[(2, a)])).is_ok(), "under way: both");
    m.acked(a);
    assert!(m.check_image(&image(&m, &[])).is_ok(), "acknowledged, not flushed: may be lost");
    let f = m.flush();
    m.flushed(f);
    assert!(m.check_image(&image(&m, &[(2, a)])).is_ok());
    let breach = m.check_image(&image(&m, &[])).unwrap_err();
    assert_eq!((breach.seed, breach.lba, breach.found.as_str()), (77, 2, "zeroes"));
    assert!(breach.history.contains("allowed write") && breach.history.contains("flush"), "{breach}");
}

#[test]
fn a_flush_covers_what_was_acknowledged_before_it_was_submitted_and_no_more() {
    let mut m = model();
    let a = m.write(0, 1, false);
    let f = m.flush();
    m.acked(a);
    m.flushed(f);
    assert!(m.check_image(&image(&m, &[])).is_ok(), "it was acknowledged after the flush was submitted");
    let b = m.write(1, 1, false);
    m.acked(b);
    let f = m.flush();
    m.flush_failed(f);
    assert!(m.check_image(&image(&m, &[])).is_ok(), "a flush that failed promises nothing");
}

#[test]
fn fua_is_durable_at_once_and_covers_only_itself() {
    let mut m = model();
    let a = m.write(0, 1, false);
    m.acked(a);
    let b = m.write(1, 1, true);
    m.acked(b);
    assert!(m.check_image(&image(&m, &[(1, b)])).is_ok());
    assert_eq!(m.check_image(&image(&m, &[(0, a)])).unwrap_err().lba, 1);
    let mut through = model().write_through();
    let c = through.write(3, 1, false);
    through.acked(c);
    assert!(through.check_image(&image(&through, &[])).is_err());
}

#[test]
fn writes_that_overlapped_in_time_may_end_in_either_order() {
    let mut m = model();
    let (a, b) = (m.write(0, 1, false), m.write(0, 1, false));
    m.acked(b);
    m.acked(a);
    let f = m.flush();
    m.flushed(f);
    for id in [a, b] {
        assert!(m.check_image(&image(&m, &[(0, id)])).is_ok());
    }
    assert!(m.check_image(&image(&m, &[])).is_err());
    let c = m.write(0, 1, false);
    m.acked(c);
    let f = m.flush();
    m.flushed(f);
    assert!(m.check_image(&image(&m, &[(0, c)])).is_ok() && m.check_image(&image(&m, &[(0, a)])).is_err());
}

#[test]
fn a_failed_write_may_have_happened() {
    let mut m = model();
    let a = m.write(0, 2, false);
    m.failed(a);
    for contents in [vec![], vec![(0, a)], vec![(1, a)], vec![(0, a), (1, a)]] {
        assert!(m.check_image(&image(&m, &contents)).is_ok());
    }
}

#[test]
fn reads_see_what_was_acknowledged_before_they_began() {
    let mut m = model();
    let a = m.write(0, 1, false);
    m.acked(a);
    let began = m.read();
    let b = m.write(0, 1, false);
    m.acked(b);
    let f = m.flush();
    m.flushed(f);
    let block = |id| image(&model(), &[(0, id)])[..512].to_vec();
    assert!(m.clone().check_read(began, 0, &block(a)).is_ok(), "it began before the second write");
    assert!(m.check_read(began, 0, &block(b)).is_ok());
    let began = m.read();
    assert!(m.clone().check_read(began, 0, &block(a)).is_err(), "stale");
    assert!(m.clone().check_read(began, 0, &[0; 512]).is_err());
    assert!(m.check_read(began, 0, &block(b)).is_ok());
}

#[test]
fn a_torn_atomic_write_is_found() {
    let mut m = model();
    let a = m.write(0, 4, false);
    let torn = image(&m, &[(0, a), (1, a)]);
    assert!(m.check_image(&torn).is_ok() && m.check_atomic(&torn, 2).is_ok(), "too long to be atomic");
    let breach = m.check_atomic(&torn, 4).unwrap_err();
    assert_eq!(breach.lba, 2);
    let b = m.write(2, 2, false);
    let over = image(&m, &[(0, a), (1, a), (2, b), (3, b)]);
    assert!(m.check_atomic(&over, 4).is_ok(), "a later write hides the rest");
}

#[test]
fn what_a_cut_left_is_where_the_next_run_begins() {
    let mut m = model();
    let a = m.write(0, 2, false);
    let left = image(&m, &[(1, a)]);
    m.check_image(&left).unwrap();
    m.restart(&left);
    assert!(
        m.check_image(&left).is_ok() && m.check_image(&image(&m, &[])).is_err() && m.check_image(&image(&m, &[(0, a), (1, a)])).is_err()
    );
    let b = m.zeroes(1, 1, true);
    assert_ne!(a, b);
    m.acked(b);
    assert!(m.check_image(&image(&m, &[])).is_ok() && m.check_image(&left).is_err());
}

#[test]
fn a_copy_goes_its_own_way_and_its_writes_are_told_from_the_others() {
    let mut origin = model();
    let a = origin.write(0, 1, false);
    origin.acked(a);
    let mut copy = origin.fork(1_000);
    let (b, c) = (origin.write(0, 1, true), copy.write(1, 1, true));
    origin.acked(b);
    copy.acked(c);
    assert!(b < c && c == WriteId(1_000));
    assert!(origin.check_image(&image(&origin, &[(0, b)])).is_ok() && origin.check_image(&image(&origin, &[(0, a)])).is_err());
    assert!(copy.check_image(&image(&copy, &[(0, a), (1, c)])).is_ok(), "what was there when it was made");
    assert!(copy.check_image(&image(&copy, &[(1, c)])).is_ok(), "which nobody has flushed");
    let f = copy.flush();
    copy.flushed(f);
    assert!(copy.check_image(&image(&copy, &[(1, c)])).is_err());
    let mixed = copy.check_image(&image(&copy, &[(0, b), (1, c)])).unwrap_err();
    assert_eq!((mixed.lba, mixed.found.as_str()), (0, "what write 3 wrote"));
    assert!(std::panic::catch_unwind(|| copy.fork(1_000)).is_err(), "numbers are given once");
}

#[test]
fn after_anything_anything_may_be_read_until_the_next_write() {
    let mut m = model();
    let a = m.anything(2, 2, true);
    m.acked(a);
    let mut noise = image(&m, &[]);
    noise[2 << 9..4 << 9].fill(0x5a);
    assert!(m.check_image(&noise).is_ok() && m.check_image(&image(&m, &[])).is_ok());
    noise[4 << 9] = 1;
    assert_eq!(m.check_image(&noise).unwrap_err().lba, 4);
    noise[4 << 9] = 0;
    m.restart(&noise);
    assert!(m.check_image(&image(&m, &[])).is_ok(), "it may be something else the next time");
    let b = m.write(2, 1, true);
    m.acked(b);
    let end = noise.split_off(3 << 9);
    assert!(m.check_image(&[&image(&m, &[(2, b)])[..3 << 9], &end].concat()).is_ok());
    assert!(m.check_image(&[noise, end].concat()).is_err(), "it was written");
}

#[test]
fn a_large_disk_is_checked_where_it_was_written() {
    let mut m = DurabilityModel::new(1, 9, 1 << 40);
    let a = m.write(1 << 39, 2, true);
    m.acked(a);
    let b = m.zeroes(77, 1, false);
    m.acked(b);
    assert_eq!(m.touched(), [77..78, 1 << 39..(1 << 39) + 2]);
    let mut block = [0; 512];
    assert!(m.check_blocks(77, &block).is_ok() && m.check_blocks(123, &block).is_ok());
    assert!(m.check_blocks(1 << 39, &block).is_err());
    stamp_block(&mut block, 1 << 39, a);
    assert!(m.check_blocks(1 << 39, &block).is_ok() && m.check_blocks(123, &block).is_err());
    m.restart_from(|lba, out| stamp_block(out, lba, if lba == 77 { WriteId(0) } else { a }));
    assert_eq!(m.touched(), vec![Range { start: 1 << 39, end: (1 << 39) + 2 }], "what is as it was at first is not kept");
    assert!(m.check_blocks(1 << 39, &block).is_ok());
    m.resize(1 << 39);
    m.resize(1 << 40);
    assert!(m.check_blocks(1 << 39, &[0; 512]).is_ok() && m.check_blocks(1 << 39, &block).is_err(), "what was cut off is gone");
}

#[test]
fn a_flush_settles_what_was_not_flushed_and_a_read_holds_it_open() {
    let mut m = model();
    let a = m.write(0, 1, false);
    m.acked(a);
    assert_eq!(m.unsettled.len(), 1);
    let began = m.read();
    let b = m.write(0, 1, false);
    m.acked(b);
    let f = m.flush();
    m.flushed(f);
    assert_eq!((m.unsettled.len(), m.blocks[&0].writes.as_slice()), (1, &[a, b][..]), "the read may see the first");
    m.check_read(began, 0, &image(&m, &[(0, a)])[..512]).unwrap();
    let f = m.flush();
    m.flushed(f);
    assert_eq!((m.unsettled.len(), m.blocks[&0].writes.as_slice()), (0, &[b][..]));
}
