//! Clients that mean harm: each case ends in an error of theirs, or of their connection, and the next client is served.

use super::*;

/// What is left of an endpoint after a client did something: the next one is served.
fn serves_the_next(mut rig: Rig) {
    rig.settle();
    rig.advance(60_000_000_000);
    assert!(!rig.is_busy(), "the last client is still there");
    let mut guest = ready(&mut rig);
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    assert_eq!(rig.cx.boxes_out(), 0);
}

fn header(command: Command, size: u32, flags: u32) -> [u8; 16] {
    Header { id: 1, command, size, flags: HeaderFlags(flags), error: 0 }.encode()
}

#[test]
fn messages_that_cannot_be_end_the_connection() {
    for bytes in [
        header(Command::VERSION, 15, 0).to_vec(),
        header(Command::VERSION, 0, 0).to_vec(),
        header(Command::VERSION, u32::MAX, 0).to_vec(),
        header(Command::VERSION, 2 << 20, 0).to_vec(),
        // An answer that nobody asked for.
        [&header(Command::VERSION, 20, 1)[..], &[0, 0, 1, 0]].concat(),
        // Something before the version.
        header(Command::DEVICE_RESET, 16, 0).to_vec(),
        // A major version that there is not; text without end; text that is none.
        [&header(Command::VERSION, 20, 0)[..], &[1, 0, 1, 0]].concat(),
        [&header(Command::VERSION, 22, 0)[..], b"\0\0\x01\0{}"].concat(),
        [&header(Command::VERSION, 24, 0)[..], b"\0\0\x01\0{{{\0"].concat(),
        [&header(Command::VERSION, 24, 0)[..], b"\0\0\x01\x00123\0"].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let mut rig = Rig::plain();
        let peer = rig.connect();
        peer.send(&bytes, &[]);
        rig.settle();
        let mut peer = peer;
        while peer.hear().is_some() {}
        assert!(peer.is_closed(), "{bytes:x?}");
        serves_the_next(rig);
    }
}

#[test]
fn half_a_message_and_then_nothing_is_not_waited_for() {
    for (agreed, sent) in [(false, 0), (false, 7), (false, 16), (true, 1), (true, 20)] {
        let mut rig = Rig::plain();
        let mut peer = rig.connect();
        if agreed {
            peer.version(&mut rig).unwrap();
        }
        let message = [&header(Command::DMA_MAP, 48, 0)[..], &[0; 32]].concat();
        let file = sealed_memory("with it", 4096).unwrap();
        let fds = [file.as_fd()];
        peer.send(&message[..sent], if sent == 20 { &fds } else { &[] });
        drop(file);
        rig.settle();
        assert!(!peer.is_closed());
        for _ in 0..11 {
            rig.advance(1_000_000_000);
        }
        assert!(peer.is_closed(), "{agreed} {sent}");
        serves_the_next(rig);
    }
}

#[test]
fn messages_that_come_in_bits_are_whole_in_the_end() {
    let mut rig = Rig::plain();
    let mut peer = rig.connect();
    let message = [&header(Command::VERSION, 20, 0)[..], &[0, 0, 1, 0]].concat();
    for byte in &message {
        peer.send(&[*byte], &[]);
        rig.settle();
    }
    assert!(peer.hear().unwrap().1.is_ok());
    // And several at once.
    let info = [&header(Command::DEVICE_GET_INFO, 32, 0)[..], &DeviceInfo { argsz: 16, ..DeviceInfo::default() }.encode()].concat();
    peer.send(&info.repeat(100), &[]);
    rig.settle();
    assert_eq!(std::iter::from_fn(|| peer.hear()).filter(|(_, a)| a.is_ok()).count(), 100);
}

#[test]
fn wrong_requests_are_refused_and_the_connection_lives() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let peer = &mut guest.peer;
    let map = |flags: u32, offset, address, size| DmaMap { argsz: 32, flags: DmaMapFlags(flags), offset, address, size }.encode().to_vec();
    let set = |flags: u32, index: u32, start: u32, count: u32| [20, flags, index, start, count].map(u32::to_ne_bytes).concat();
    let region = |command, offset, index, count: u32| (command, RegionAccess { offset, region: index, count }.encode().to_vec());
    let wrong: Vec<(Command, Vec<u8>)> = vec![
        (Command::VERSION, vec![0, 0, 1, 0]),
        (Command::DMA_MAP, map(3, 0, 0, 0)),
        (Command::DMA_MAP, map(3, 0, u64::MAX - 4095, 8192)),
        (Command::DMA_MAP, map(3, 0, BASE + 4096, 4096)),
        (Command::DMA_MAP, map(3, 0, BASE - 4096, 8192)),
        (Command::DMA_MAP, map(3, 0, 0x1001, 4096)),
        (Command::DMA_MAP, map(3, 0, 0, 1 << 50)),
        (Command::DMA_MAP, vec![0; 31]),
        (Command::DMA_UNMAP, DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: 0, size: 4096 }.encode().to_vec()),
        (Command::DMA_UNMAP, DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: BASE, size: 4096 }.encode().to_vec()),
        (Command::DMA_UNMAP, DmaUnmap { argsz: 24, flags: DmaUnmapFlags(2), address: BASE, size: 4096 }.encode().to_vec()),
        (Command::DEVICE_GET_INFO, DeviceInfo { argsz: 8, ..DeviceInfo::default() }.encode().to_vec()),
        (Command::DEVICE_GET_REGION_INFO, RegionInfo { argsz: 32, index: 9, ..RegionInfo::default() }.encode().to_vec()),
        (Command::DEVICE_GET_IRQ_INFO, IrqInfo { argsz: 16, index: 5, ..IrqInfo::default() }.encode().to_vec()),
        (Command::DEVICE_SET_IRQS, set(0x24, 2, u32::MAX, 2)),
        (Command::DEVICE_SET_IRQS, set(0x24, 2, 510, 3)),
        (Command::DEVICE_SET_IRQS, set(0x24, 9, 0, 1)),
        (Command::DEVICE_SET_IRQS, set(0x27, 2, 0, 1)),
        (Command::DEVICE_SET_IRQS, set(0x21, 1, 0, 1)),
        region(Command::REGION_READ, 0x3ffd, 0, 4),
        region(Command::REGION_READ, u64::MAX, 0, 4),
        region(Command::REGION_READ, 0, 0, u32::MAX),
        region(Command::REGION_READ, 0, 2, 4),
        region(Command::REGION_READ, 0, 77, 4),
        region(Command::REGION_READ, 1, 7, 4),
        region(Command::REGION_READ, 0x1000, 0, 4),
        region(Command::REGION_WRITE, 0x14, 0, 4),
        region(Command::DMA_READ, 0, 0, 0),
        (Command::DEVICE_FEATURE, vec![8, 0, 0, 0, 1, 0, 1, 0]),
        (Command::REGION_WRITE_MULTI, vec![0; 8]),
        (Command(14), vec![0; 64]),
        (Command(0), vec![]),
        (Command(0xffff), vec![0; 4096]),
    ];
    for len in [1, 2, 3, 5, 6, 7] {
        assert_eq!(peer.read(&mut rig, 0, 0x14, len), Err(errno::EINVAL));
        assert_eq!(peer.write(&mut rig, 0, 0x14, &vec![0; len as usize]), Err(errno::EINVAL));
    }
    assert_eq!(peer.read(&mut rig, 0, 0x16, 4), Err(errno::EINVAL));
    assert_eq!(peer.read(&mut rig, 0, 0x14, 0), Ok(vec![]), "nothing at all is no error");
    for (command, body) in wrong {
        assert!(peer.call(&mut rig, command, &body, &[]).is_err(), "{command:?} {body:x?}");
    }
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
}

#[test]
fn descriptors_that_are_not_memory_are_not_mapped() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let small = sealed_memory("small", 4096).unwrap();
    let (pipe, _end) = std::io::pipe().unwrap();
    let bell = Bell::of_our_own().unwrap();
    let read_only = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let at = BASE + LEN;
    for (fd, len, flags) in [
        (pipe.as_fd(), 4096, 3),
        (bell.as_fd(), 4096, 3),
        (guest.peer.stream.as_fd().try_clone_to_owned().unwrap().as_fd(), 4096, 3),
        (small.as_fd(), 8192, 3),
        (read_only.as_fd(), 4096, 3),
    ] {
        let map = DmaMap { argsz: 32, flags: DmaMapFlags(flags), offset: 0, address: at, size: len };
        assert_eq!(guest.peer.call(&mut rig, Command::DMA_MAP, &map.encode(), &[fd]).unwrap_err(), errno::EINVAL, "{len} {flags}");
    }
    let two = DmaMap { argsz: 32, flags: DmaMapFlags(3), offset: 0, address: at, size: 4096 };
    assert!(guest.peer.call(&mut rig, Command::DMA_MAP, &two.encode(), &[small.as_fd(), small.as_fd()]).is_err());
    assert!(guest.peer.call(&mut rig, Command::VERSION, &[0, 0, 1, 0], &[small.as_fd()]).is_err());
    // Only to be read, that can be; and the same again is no mistake.
    for _ in 0..2 {
        guest.peer.map(&mut rig, Some(read_only.as_fd()), 0, at, 4096, 1).unwrap();
    }
    assert_eq!(guest.peer.map(&mut rig, Some(small.as_fd()), 0, at, 4096, 1).unwrap_err(), errno::EEXIST);
    // No vectors of what is no event counter; none or all of a message's.
    let set = SetIrqs { action: IrqAction::Trigger, data: IrqData::Events, index: irq::MSIX, start: 0, count: 2 };
    assert!(guest.peer.call(&mut rig, Command::DEVICE_SET_IRQS, &set.encode_fixed(), &[bell.as_fd(), small.as_fd()]).is_err());
    assert!(guest.peer.call(&mut rig, Command::DEVICE_SET_IRQS, &set.encode_fixed(), &[bell.as_fd()]).is_err());
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    assert_eq!(bell.count(), 0);
}

#[test]
fn more_maps_than_there_may_be_are_refused() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let mut refused = None;
    for n in 0..5000u64 {
        if let Err(e) = guest.peer.map(&mut rig, None, 0, 0x100_0000_0000 + n * 8192, 4096, 3) {
            refused = Some((n, e));
            break;
        }
    }
    assert_eq!(refused, Some((4095, errno::ENOSPC)));
    // What the client keeps to itself is nowhere for a queue or data.
    assert_eq!(guest.command(&mut rig, 1, &read(0, 8, 0x100_0000_0000, 0)).status().code(), Status::DATA_TRANSFER_ERROR);
    let all = DmaUnmap { argsz: 24, flags: DmaUnmapFlags::ALL, address: 0, size: 0 };
    guest.peer.call(&mut rig, Command::DMA_UNMAP, &all.encode(), &[]).unwrap();
    let file = guest.file.try_clone().unwrap();
    guest.peer.map(&mut rig, Some(file.as_fd()), 0, BASE, LEN, 3).unwrap();
    assert!(guest.command(&mut rig, 1, &read(0, 8, BASE + DATA, 0)).status().is_ok());
}

#[test]
fn prp_lists_that_lie_cost_their_own_command() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    let list = 0x30_0000u64;
    let one = BASE + DATA;
    // A list that leads to itself: of the last entry of its page, and of a whole page.
    guest.put(list + 4088, &(BASE + list + 4088).to_le_bytes());
    assert_eq!(guest.command(&mut rig, 1, &read(0, 64, one, BASE + list + 4088)).status().code(), Status::PRP_OFFSET_INVALID);
    guest.put(list, &(BASE + list).to_le_bytes().repeat(512));
    assert!(
        guest.command(&mut rig, 1, &read(0, 256, one, BASE + list)).status().is_ok(),
        "one page over and over is the host's own affair"
    );
    for entry in [BASE + DATA + 8, 0, u64::MAX, BASE + LEN, !4095] {
        guest.put(list, &entry.to_le_bytes().repeat(512));
        let status = guest.command(&mut rig, 1, &read(0, 64, one, BASE + list)).status();
        assert!(status.is(Status::PRP_OFFSET_INVALID) || status.is(Status::DATA_TRANSFER_ERROR), "{entry:x} {status}");
    }
    for (two, wanted) in [
        (BASE + list + 4, Status::PRP_OFFSET_INVALID),
        (BASE + LEN, Status::DATA_TRANSFER_ERROR),
        (!7, Status::DATA_TRANSFER_ERROR),
        // Where registers would be, if they were memory.
        (0xfee0_0000, Status::DATA_TRANSFER_ERROR),
    ] {
        assert_eq!(guest.command(&mut rig, 1, &read(0, 64, one, two)).status().code(), wanted, "{two:x}");
    }
    // Data in its own submission queue, and over its own completions: nobody else sees any of it.
    let _ = guest.command(&mut rig, 1, &read(0, 8, BASE + 0x1_4000, 0));
    assert_eq!(rig.cx.boxes_out(), 0);
    drop(guest);
    serves_the_next(rig);
}

#[test]
fn a_storm_of_doorbells_is_bounded_by_the_ring() {
    let mut rig = Rig::plain();
    let mut guest = ready(&mut rig);
    for value in (0..2000u32).map(|n| n.wrapping_mul(2_654_435_761)) {
        guest.ring(&mut rig, (value >> 8) & 0x1c, value & 0x3f);
        if value % 7 == 0 {
            rig.settle();
        }
    }
    drop(guest);
    serves_the_next(rig);
}
