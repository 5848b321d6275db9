use super::*;
use crate::Ram;
use doorbell_block::{BlockDevice, ConsumerId};

fn queue() -> (Cx, Checked, Rc<RefCell<Ledger>>) {
    let mut cx = Cx::for_test(4, 512, 4);
    let token = cx.token(ConsumerId(0));
    let ram = Ram::new(9, 8);
    let inner = ram.open(&mut cx, token, 4).unwrap();
    let (checked, ledger) = Checked::new(inner);
    (cx, checked, ledger)
}

#[test]
fn a_queue_that_keeps_the_contract_leaves_a_clean_ledger() {
    let (mut cx, mut q, ledger) = queue();
    for lba in 0..3 {
        let (mut io, buffer) = cx.request(512).unwrap();
        (io.op, io.lba, io.blocks) = (Op::Write, lba, 1);
        io.sg.push(buffer);
        q.submit(&mut cx, io);
    }
    q.kick(&mut cx);
    assert_eq!(ledger.borrow().out(), 3);
    assert!(ledger.borrow().missing().contains("Write of 1 blocks at 2"));
    let mut done = Vec::new();
    q.poll(&mut cx, &mut done);
    assert_eq!((done.len(), ledger.borrow().out(), ledger.borrow().returned()), (3, 0, 3));
    assert!(ledger.borrow().violations().is_empty());
    done.into_iter().for_each(|io| cx.put_io(io));
}

#[test]
fn a_box_of_nobodys_and_a_changed_box_are_told() {
    let mut ledger = Ledger::default();
    let mut io = Io::boxed(1);
    ledger.back(&io, Status::TimedOut);
    assert!(ledger.violations()[0].contains("not out"));
    ledger.sent(&io);
    io.lba = 9;
    ledger.back(&io, Status::TimedOut);
    assert!(ledger.violations()[1].contains("came back changed"));
    ledger.sent(&io);
    io.status = Status::TimedOut;
    ledger.back(&io, Status::TimedOut);
    assert!(ledger.violations()[2].contains("nobody set the status"));
}
