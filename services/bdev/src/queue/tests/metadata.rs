//! Requests with metadata: shared out when they are split, kept when data is bounced, compared where compares are emulated.

use super::*;

fn with_metadata(bytes: u16, limits: Limits) -> DeviceInfo {
    DeviceInfo { metadata: Some(Metadata { bytes, interleaved: false, protection: None }), limits, ..info() }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(n)) as u32
    }

    /// `seg` cut in a few places.
    fn cut(&mut self, seg: &Seg) -> Vec<Seg> {
        let (mut parts, mut at) = (vec![], 0);
        while at < seg.len() {
            let len = if self.below(3) == 0 { seg.len() - at } else { 1 + self.below(seg.len() - at) };
            parts.push(seg.slice(at, len));
            at += len;
        }
        parts
    }
}

fn request(op: Op, lba: u64, blocks: u32, sg: Vec<Seg>, meta: Vec<Seg>) -> impl FnOnce(&mut Io) + 'static {
    move |io| {
        (io.op, io.lba, io.blocks) = (op, lba, blocks);
        sg.into_iter().for_each(|s| io.sg.push(s));
        meta.into_iter().for_each(|s| io.meta.push(s));
    }
}

/// Random reads, writes and compares, with and without metadata, of pieces that begin anywhere, against a plain model.
fn travels(bytes: u16, limits: Limits, seed: u64) {
    on(with_metadata(bytes, limits), move |local, handle, state| async move {
        let q = open(&local, &handle).await;
        let each = u32::from(bytes);
        let mut random = Random(seed);
        let (mut data, mut metadata) = (stored(&state, 0, BLOCKS), vec![0u8; BLOCKS as usize * each as usize]);
        for round in 0..120 {
            let blocks = 1 + random.below(30);
            let lba = random.below(BLOCKS as u32 - blocks);
            let (at, meta_at) = (lba as usize * 512, (lba * each) as usize);
            let (len, meta_len) = ((blocks * 512) as usize, (blocks * each) as usize);
            let (sg, meta) = (buffer(&local, len as u32, 0xa5).await, buffer(&local, meta_len as u32, 0xa5).await);
            let has_meta = random.below(3) > 0;
            let pieces = (random.cut(&sg), if has_meta { random.cut(&meta) } else { vec![] });
            let ask = |op, (sg, meta): (Vec<Seg>, Vec<Seg>)| q.request(request(op, lba.into(), blocks, sg, meta), |io| io.status);
            match random.below(3) {
                0 => {
                    let new: Vec<u8> = (0..len).map(|n| (n / 3 + round) as u8).collect();
                    let new_meta: Vec<u8> = (0..meta_len).map(|n| (n * 5 + round) as u8).collect();
                    sg.write_at(0, &new);
                    meta.write_at(0, &new_meta);
                    assert_eq!(ask(Op::Write, pieces).await, Status::Ok);
                    data[at..at + len].copy_from_slice(&new);
                    metadata[meta_at..meta_at + meta_len].copy_from_slice(&new_meta);
                    if !has_meta {
                        metadata[meta_at..meta_at + meta_len].fill(0);
                    }
                }
                1 => {
                    assert_eq!(ask(Op::Read, pieces).await, Status::Ok);
                    assert!(all_bytes(&sg) == data[at..at + len], "round {round}");
                    assert!(!has_meta || all_bytes(&meta) == metadata[meta_at..meta_at + meta_len], "round {round}");
                }
                _ => {
                    sg.write_at(0, &data[at..at + len]);
                    meta.write_at(0, &metadata[meta_at..meta_at + meta_len]);
                    assert_eq!(ask(Op::Compare, pieces.clone()).await, Status::Ok);
                    let odd = random.below(meta_len as u32);
                    meta.write_at(odd, &[!metadata[meta_at + odd as usize]]);
                    let want = if has_meta { Status::Miscompare } else { Status::Ok };
                    assert_eq!(ask(Op::Compare, pieces).await, want, "round {round}");
                }
            }
        }
        assert!(*state.meta.lock().unwrap() == metadata && stored(&state, 0, BLOCKS) == data);
    });
}

#[test]
fn metadata_is_shared_out_with_the_parts() {
    travels(8, Limits { transfer_blocks: 3, ..Limits::default() }, 1);
    travels(64, Limits { transfer_blocks: 7, boundary_blocks: 8, ..Limits::default() }, 2);
    travels(16, Limits { segments: 2, align_bytes: 512, ..Limits::default() }, 3);
    travels(5, Limits { segments: 1, segment_bytes: 2048, align_bytes: 4, ..Limits::default() }, 4);
}

#[test]
fn metadata_that_nobody_can_take_is_refused() {
    let ask = |op, blocks: u32, bytes: u32, meta: u32| {
        move |local: Local, handle: Arc<Handle>| async move {
            let q = open(&local, &handle).await;
            let sg = if bytes > 0 { vec![buffer(&local, bytes, 0).await] } else { vec![] };
            let meta = buffer(&local, meta, 0).await;
            q.request(request(op, 0, blocks, sg, vec![meta]), |io| io.status).await
        }
    };
    on(info(), move |local, handle, _| async move {
        assert_eq!(ask(Op::Write, 1, 512, 8)(local, handle).await, Status::Invalid, "a device without");
    });
    on(with_metadata(8, Limits::default()), move |local, handle, state| async move {
        for (op, blocks, bytes, meta) in [
            (Op::Write, 2, 1024, 8),
            (Op::Read, 1, 512, 16),
            (Op::CompareAndWrite, 1, 1024, 8),
            (Op::WriteZeroes, 1, 0, 8),
            (Op::Verify, 1, 0, 8),
        ] {
            assert_eq!(ask(op, blocks, bytes, meta)(local.clone(), handle.clone()).await, Status::Invalid, "{op:?}");
        }
        assert!(state.seen.lock().unwrap().is_empty());
        // What a copy by hand would lose is not copied.
        assert!(!handle.info().ops.has(Op::Copy));
        let q = open(&local, &handle).await;
        assert_eq!(q.control(Op::Copy, 0, 1).await, Status::Unsupported);
    });
    let protection = Some(Protection { kind: ProtectionType::One, guard: Guard::Crc16, first: false, storage_tag_bits: 0 });
    let made = DeviceInfo { metadata: Some(Metadata { bytes: 8, interleaved: false, protection }), ..info() };
    on(made, |_, handle, _| async move { assert!(handle.info().ops.has(Op::Copy), "the device makes it anew") });
}

#[test]
fn a_verify_reads_where_the_device_has_none_of_its_own() {
    on(info(), |local, handle, state| async move {
        assert!(handle.info().ops.has(Op::Verify));
        let q = open(&local, &handle).await;
        let verify = |io: &mut Io| {
            (io.op, io.lba, io.blocks, io.flags) = (Op::Verify, 5, 200, Flags::CHECK_GUARD);
        };
        assert_eq!(q.request(verify, |io| io.status).await, Status::Ok);
        let seen = state.seen.lock().unwrap().clone();
        assert_eq!(seen.iter().map(|(.., blocks, _)| blocks).sum::<u32>(), 200);
        assert!(seen.iter().all(|(op, _, _, flags)| *op == Op::Read && *flags == Flags::CHECK_GUARD), "{seen:?}");
        assert_eq!(q.control(Op::Verify, BLOCKS, 1).await, Status::OutOfRange);
        assert_eq!(q.control(Op::WriteUncorrectable, 0, 1).await, Status::Unsupported);
    });
}

#[test]
fn verify_and_write_uncorrectable_are_split_to_their_limits() {
    let limits = Limits { verify_blocks: 16, uncorrectable_blocks: 8, boundary_blocks: 32, transfer_blocks: 2, ..Limits::default() };
    on(DeviceInfo { ops: ops(&[Op::Verify, Op::WriteUncorrectable]), limits, ..info() }, |local, handle, state| async move {
        let q = open(&local, &handle).await;
        assert_eq!(q.control(Op::Verify, 20, 40).await, Status::Ok);
        assert_eq!(q.control(Op::WriteUncorrectable, 28, 12).await, Status::Ok);
        let seen: Vec<_> = state.seen.lock().unwrap().iter().map(|(op, lba, blocks, _)| (*op, *lba, *blocks)).collect();
        let verify = [(20, 12), (32, 16), (48, 12)].map(|(lba, blocks)| (Op::Verify, lba, blocks));
        let spoil = [(28, 4), (32, 8)].map(|(lba, blocks)| (Op::WriteUncorrectable, lba, blocks));
        assert_eq!(seen, [&verify[..], &spoil[..]].concat());
    });
}

#[test]
fn a_compare_and_write_above_what_the_device_does_as_one_is_refused() {
    let limits = Limits { compare_and_write_blocks: 4, ..Limits::default() };
    on(DeviceInfo { ops: ops(&[Op::Compare, Op::CompareAndWrite]), limits, ..info() }, |local, handle, state| async move {
        assert_eq!(handle.info().limits.compare_and_write_blocks, 4, "who asks is told");
        let q = open(&local, &handle).await;
        for (blocks, expected) in [(5, Status::Invalid), (4, Status::Ok)] {
            let payload = buffer(&local, blocks * 1024, 0).await;
            let status = q.request(request(Op::CompareAndWrite, 8, blocks, vec![payload], vec![]), |io| io.status).await;
            assert_eq!(status, expected, "{blocks} blocks");
        }
        assert_eq!(state.seen.lock().unwrap().len(), 1, "as one");
    });
}
