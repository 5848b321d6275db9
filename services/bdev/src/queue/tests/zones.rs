//! Devices with zones: in order, in one piece, or not at all.

use super::*;
use crate::rpc::describe;

const ZONES: Zones = Zones { blocks: 64, max_open: 3, max_active: 5, max_append_blocks: 8 };

fn zoned(limits: Limits, more: &[Op]) -> DeviceInfo {
    let more: Vec<Op> = [Op::ZoneReport, Op::ZoneAppend, Op::ZoneReset].iter().chain(more).copied().collect();
    DeviceInfo { zones: Some(ZONES), limits, ops: ops(&more), ..info() }
}

async fn ask(q: &AsyncQueue, op: Op, flags: Flags, lba: u64, blocks: u32, payload: Option<Seg>) -> (Status, u64) {
    let prepare = move |io: &mut Io| {
        (io.op, io.flags, io.lba, io.blocks) = (op, flags, lba, blocks);
        payload.into_iter().for_each(|seg| io.sg.push(seg));
    };
    q.request(prepare, |io| (io.status, io.result)).await
}

#[test]
fn parts_of_a_write_go_one_after_the_other() {
    let limits = Limits { transfer_blocks: 5, segments: 1, align_bytes: 512, ..Limits::default() };
    on(zoned(limits, &[]), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        assert_eq!(q.write(64, 23, buffer(&local, 23 * 512, 7).await).await.0, Status::Ok);
        // Bounced, part by part.
        let odd = buffer(&local, 16384, 9).await.slice(100, 20 * 512);
        assert_eq!(q.write(87, 20, odd).await.0, Status::Ok);
        assert_eq!(state.at_once.load(Ordering::SeqCst), 1, "the next part waits for the one before");
        assert!(stored(&state, 64, 23).iter().all(|b| *b == 7) && stored(&state, 87, 20).iter().all(|b| *b == 9));
        // Reads still go side by side.
        assert_eq!(q.read(0, 60, buffer(&local, 60 * 512, 0).await).await.0, Status::Ok);
        assert!(state.at_once.load(Ordering::SeqCst) > 1);
    });
}

#[test]
fn a_write_into_the_next_zone_is_refused_whole() {
    on(zoned(Limits::default(), &[Op::WriteZeroes]), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        assert_eq!(q.write(60, 5, buffer(&local, 5 * 512, 7).await).await.0, Status::ZoneInvalidWrite);
        assert_eq!(q.control(Op::WriteZeroes, 0, 65).await, Status::ZoneInvalidWrite);
        assert!(state.seen.lock().unwrap().is_empty(), "nothing of it was written");
        assert_eq!(q.write(0, 64, buffer(&local, 64 * 512, 7).await).await.0, Status::Ok);
        assert_eq!(q.read(60, 5, buffer(&local, 5 * 512, 7).await).await.0, Status::Ok);
    });
}

#[test]
fn nothing_is_emulated_by_writing_elsewhere() {
    on(zoned(Limits::default(), &[]), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let offered = handle.info().ops;
        for op in [Op::WriteZeroes, Op::Copy, Op::CompareAndWrite] {
            let payload = if op == Op::CompareAndWrite { Some(buffer(&local, 1024, 0).await) } else { None };
            assert_eq!(ask(&q, op, Flags::NONE, 0, 1, payload).await.0, Status::Unsupported, "{op:?}");
            assert!(!offered.has(op), "{op:?}");
        }
        assert!(state.seen.lock().unwrap().is_empty());
        // Comparing only reads.
        assert!(offered.has(Op::Compare));
        assert_eq!(ask(&q, Op::Compare, Flags::NONE, 0, 1, Some(buffer(&local, 512, 1).await)).await.0, Status::Miscompare);
    });
}

#[test]
fn an_append_goes_in_one_piece_and_says_where() {
    let limits = Limits { transfer_blocks: 4, boundary_blocks: 4, segments: 1, align_bytes: 512, ..Limits::default() };
    // `transfer_blocks` is for other commands: the device of this test sees appends no longer than that.
    let zones = Zones { max_append_blocks: 4, ..ZONES };
    let device = DeviceInfo { zones: Some(zones), write_cache: WriteCache::Volatile, ..zoned(limits, &[Op::Flush]) };
    on(device, |local, handle, state| async move {
        let q = open(&local, &handle).await;
        assert_eq!(ask(&q, Op::ZoneAppend, Flags::NONE, 64, 4, Some(buffer(&local, 2048, 7).await)).await, (Status::Ok, 64));
        // Its payload begins in the middle of nowhere: bounced, and still one. FUA is a flush after it.
        let odd = buffer(&local, 4096, 9).await.slice(100, 2048);
        assert_eq!(ask(&q, Op::ZoneAppend, Flags::FUA, 64, 4, Some(odd)).await, (Status::Ok, 68));
        let seen: Vec<_> = state.seen.lock().unwrap().iter().map(|(op, _, blocks, flags)| (*op, *blocks, *flags)).collect();
        let append = (Op::ZoneAppend, 4, Flags::NONE);
        assert_eq!(seen, [append, append, (Op::Flush, 0, Flags::NONE)]);
        assert!(stored(&state, 68, 4).iter().all(|b| *b == 9));
        assert_eq!(ask(&q, Op::ZoneAppend, Flags::NONE, 64, 5, Some(buffer(&local, 2560, 7).await)).await.0, Status::Invalid);
        assert_eq!(ask(&q, Op::ZoneAppend, Flags::NONE, 65, 1, Some(buffer(&local, 512, 7).await)).await.0, Status::Invalid);
        assert_eq!(ask(&q, Op::ZoneAppend, Flags::NONE, BLOCKS, 1, Some(buffer(&local, 512, 7).await)).await.0, Status::OutOfRange);
        let stat = handle.bdev().stat();
        assert_eq!((stat.op(Op::ZoneAppend).ops, stat.op(Op::ZoneAppend).bytes), (2, 4096));
    });
}

#[test]
fn an_append_is_no_longer_than_what_would_bounce_it() {
    let zones = Zones { blocks: 1 << 20, max_append_blocks: 1 << 16, ..ZONES };
    let free = DeviceInfo { zones: Some(zones), ..zoned(Limits::default(), &[]) };
    let most = |info: &DeviceInfo| crate::info::offered(info).zones.unwrap().max_append_blocks;
    assert_eq!(most(&free), 1 << 16);
    let limits = Limits { segments: 4, ..Limits::default() };
    assert_eq!(most(&DeviceInfo { limits, ..free }), 128);
}

#[test]
fn zones_are_reported_and_managed() {
    on(zoned(Limits::default(), &[]), |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let room = buffer(&local, 512, 0).await;
        assert_eq!(ask(&q, Op::ZoneReport, Flags::NONE, 70, 0, Some(room.clone())).await.0, Status::Ok);
        assert_eq!(ask(&q, Op::ZoneReport, Flags::NONE, BLOCKS, 0, Some(room.clone())).await.0, Status::OutOfRange);
        assert_eq!(ask(&q, Op::ZoneReport, Flags::NONE, 0, 0, Some(room.slice(0, 31))).await.0, Status::Invalid);
        assert_eq!(ask(&q, Op::ZoneReset, Flags::NONE, 64, 0, None).await.0, Status::Ok);
        assert_eq!(ask(&q, Op::ZoneReset, Flags::NONE, 65, 0, None).await.0, Status::Invalid);
        assert_eq!(ask(&q, Op::ZoneReset, Flags::NONE, BLOCKS, 0, None).await.0, Status::OutOfRange);
        assert_eq!(ask(&q, Op::ZoneReset, Flags::ALL_ZONES, 65, 0, None).await.0, Status::Ok);
        assert_eq!(ask(&q, Op::ZoneFinish, Flags::NONE, 0, 0, None).await.0, Status::Unsupported);
        let seen: Vec<_> = state.seen.lock().unwrap().iter().map(|(op, lba, ..)| (*op, *lba)).collect();
        assert_eq!(seen, [(Op::ZoneReport, 70), (Op::ZoneReset, 64), (Op::ZoneReset, 65)]);
        let said = describe::bdev(handle.bdev());
        assert_eq!((&said["zoned"], &said["zone_size"], &said["max_open_zones"]), (&true.into(), &64.into(), &3.into()));
        assert_eq!(said["supported_io_types"]["zone_append"], true);
    });
}
