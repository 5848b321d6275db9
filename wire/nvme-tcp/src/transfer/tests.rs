//! What may come next of a transfer.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const R2T: R2t = R2t { cccid: Cid(7), ttag: 9, offset: 4096, len: 8192 };

fn h2c(offset: u32, len: u32, last: bool) -> H2cData {
    H2cData { cccid: Cid(7), ttag: 9, offset, len, last }
}

#[test]
fn data_must_come_as_it_was_asked_for() {
    let fresh = H2cTransfer::new(&R2T).unwrap();
    let refused = |data| fresh.clone().accept(&data).unwrap_err();
    assert_eq!(refused(H2cData { ttag: 8, ..h2c(4096, 8192, true) }), Fault::TTAG);
    assert_eq!(refused(H2cData { cccid: Cid(8), ..h2c(4096, 8192, true) }), Fault::CCCID);
    assert_eq!(refused(h2c(0, 4096, false)), Fault::OUT_OF_RANGE);
    assert_eq!(refused(h2c(8192, 4096, true)), Fault::OUT_OF_RANGE);
    assert_eq!(refused(h2c(4096, 8193, true)), Fault::OUT_OF_RANGE);
    assert_eq!(refused(h2c(4096, 8192, false)), Fault::FLAGS);
    assert_eq!(refused(h2c(4096, 4096, true)), Fault::FLAGS);
    let mut t = fresh;
    assert_eq!(t.accept(&h2c(4096, 4096, false)), Ok(Progress::More));
    assert_eq!(t.left(), 4096);
    assert_eq!(t.accept(&h2c(4096, 4096, false)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(t.accept(&h2c(8192, 4096, true)), Ok(Progress::Done));
    assert_eq!(t.accept(&h2c(12288, 1, true)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(H2cTransfer::new(&R2t { offset: u32::MAX, ..R2T }), None);
}

#[test]
fn read_data_must_come_in_order_and_end_once() {
    let data = |offset, len, last| C2hData { cccid: Cid(7), offset, len, last, success: false };
    let mut t = C2hTransfer::new(4096);
    assert_eq!(t.accept(&data(0, 4097, true)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(t.accept(&data(512, 512, false)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(t.accept(&data(0, 512, false)), Ok(Progress::More));
    assert_eq!((t.received(), t.is_full()), (512, false));
    assert_eq!(t.accept(&data(512, 3584, true)), Ok(Progress::Done));
    assert!(t.is_full());
    assert_eq!(t.accept(&data(4096, 1, true)), Err(Fault::SEQUENCE));
    let mut short = C2hTransfer::new(4096);
    assert_eq!(short.accept(&data(0, 512, true)), Ok(Progress::Done));
    assert!(!short.is_full());
    assert_eq!(short.accept(&data(512, 512, true)), Err(Fault::SEQUENCE));
}

#[test]
fn a_controller_asks_within_the_command_and_its_limit() {
    let r2t = |offset, len| R2t { offset, len, ..R2T };
    let mut w = R2tWindow::new(8192, 1);
    assert_eq!(w.accept(&r2t(0, 8193)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(w.accept(&r2t(u32::MAX, 2)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(w.accept(&r2t(0, 4096)), Ok(()));
    assert_eq!(w.accept(&r2t(4096, 4096)), Err(Fault::LIMIT));
    w.answered();
    assert_eq!(w.accept(&r2t(0, 4096)), Err(Fault::OUT_OF_RANGE));
    assert_eq!(w.accept(&r2t(4096, 4096)), Ok(()));
    w.answered();
    assert_eq!(w.accept(&r2t(8192, 1)), Err(Fault::OUT_OF_RANGE));
}

proptest! {
    /// What a host answers is what a controller accepts, whatever the limit.
    #[test]
    fn answers_are_accepted(offset in 0u32..1 << 31, len in 1u32..1 << 20, max in 4096u32..1 << 18) {
        let r2t = R2t { offset, len, ..R2T };
        let mut t = H2cTransfer::new(&r2t).unwrap();
        let answers: Vec<H2cData> = r2t.answers(max).collect();
        for (at, data) in answers.iter().enumerate() {
            prop_assert!(data.len >= 1 && data.len <= max);
            let expected = if at + 1 == answers.len() { Progress::Done } else { Progress::More };
            prop_assert_eq!(t.accept(data), Ok(expected));
        }
        prop_assert_eq!(t.left(), 0);
    }
}

#[test]
fn an_absurd_request_is_answered_without_harm() {
    assert_eq!(R2t { offset: u32::MAX, len: u32::MAX, ..R2T }.answers(1 << 31).count(), 1);
    assert_eq!(R2t { len: 0, ..R2T }.answers(4096).count(), 0);
    assert_eq!(R2t { len: 3, ..R2T }.answers(0).count(), 3);
}
