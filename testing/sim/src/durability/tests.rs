use super::*;

fn image(model: &DurabilityModel, contents: &[(u64, WriteId)]) -> Vec<u8> {
    let mut bytes = vec![0; model.blocks.len() << 9];
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
