//! The orders in which clients that cannot be had here say what they say (facts of their sources), replayed.

use super::*;

const CAPABILITIES: &str = r#"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576,"pgsizes":4096,"max_dma_maps":65535,"write_multiple":true,"migration":{"pgsize":4096,"max_bitmap_size":268435456}}}"#;

fn version_with_text(text: &str) -> Vec<u8> {
    let v = Version::ours(text.as_bytes());
    [&v.encode_fixed()[..], text.as_bytes(), &[0]].concat()
}

fn info(peer: &mut Peer, rig: &mut Rig) -> DeviceInfo {
    let (body, _) = peer.call(rig, Command::DEVICE_GET_INFO, &DeviceInfo { argsz: 16, ..DeviceInfo::default() }.encode(), &[]).unwrap();
    DeviceInfo::decode(&body).unwrap()
}

fn config(peer: &mut Peer, rig: &mut Rig, at: u64, len: u32) -> u32 {
    let mut value = peer.read(rig, region::CONFIG, at, len).unwrap();
    value.resize(4, 0);
    u32::from_le_bytes(value.try_into().unwrap())
}

#[test]
fn as_spdks_client_says_it() {
    let mut rig = Rig::plain();
    let mut peer = rig.connect();
    let (body, fds) = peer.version(&mut rig).unwrap();
    let v = Version::decode(&body).unwrap();
    assert_eq!((v.major, v.minor, fds.len()), (0, 1, 0));
    let i = info(&mut peer, &mut rig);
    assert_eq!((i.flags, i.regions, i.irqs), (DeviceInfoFlags(3), 9, 5));
    // As long as its buffer for the answer, though 32 bytes of it matter.
    for index in 0..9 {
        let mut body = RegionInfo { argsz: 4064, index, ..RegionInfo::default() }.encode().to_vec();
        body.resize(4064, 0xa5);
        let (body, fds) = peer.call(&mut rig, Command::DEVICE_GET_REGION_INFO, &body, &[]).unwrap();
        let (r, _) = RegionInfo::decode_reply(&body).unwrap();
        let size = [0x4000, 0, 0, 0, 0x2000, 0x1000, 0, 0x1000, 0][index as usize];
        assert_eq!((r.index, r.size, fds.len(), r.argsz as usize), (index, size, usize::from(index == 0), body.len()));
    }
    let page = peer.doorbells(&mut rig).expect("doorbells that cannot be mapped");
    let command = config(&mut peer, &mut rig, 4, 2) | 0x404;
    peer.write(&mut rig, region::CONFIG, 4, &command.to_le_bytes()[..2]).unwrap();
    assert_eq!(config(&mut peer, &mut rig, 4, 2), 0x404);
    let file = sealed_memory("dma", 1 << 21).unwrap();
    peer.map(&mut rig, Some(file.as_fd()), 0, 0x7f00_0000_0000, 1 << 21, 3).unwrap();
    let cap = peer.read(&mut rig, 0, 0, 8).unwrap();
    assert_eq!(cap[..2], 255u16.to_le_bytes());
    peer.write(&mut rig, 0, 0x24, &0x001f_001fu32.to_le_bytes()).unwrap();
    peer.write(&mut rig, 0, 0x28, &0x7f00_0000_0000u64.to_le_bytes()).unwrap();
    peer.write(&mut rig, 0, 0x30, &0x7f00_0000_1000u64.to_le_bytes()).unwrap();
    peer.write(&mut rig, 0, 0x14, &0x0046_0001u32.to_le_bytes()).unwrap();
    assert_eq!(peer.register(&mut rig, 0x1c), 1);
    // An Identify, by the mapped doorbell.
    let memory = doorbell_mem::Foreign::map(&doorbell_mem::Regions::new(), file.try_clone().unwrap(), 0, 1 << 21).unwrap();
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() }).encode();
    memory.seg(0, 64).unwrap().write_at(0, bytes(&prp(identify, 0x7f00_0000_2000, 0)));
    page.store32(0, 1);
    rig.settle();
    let mut page = vec![0; 4096];
    memory.seg(0x2000, 4096).unwrap().read_at(0, &mut page);
    let c: &identify::Controller = view(&page).unwrap();
    assert_eq!((c.sgls.get(), c.ioccsz.get(), c.iorcsz.get(), c.icdoff.get(), c.mdts, c.oacs.get()), (1, 0, 0, 0, 5, 0));
    // Descriptors with an unmap, which it sends too.
    let unmap = DmaUnmap { argsz: 24, flags: DmaUnmapFlags(0), address: 0x7f00_0000_0000, size: 1 << 21 };
    let (body, _) = peer.call(&mut rig, Command::DMA_UNMAP, &unmap.encode(), &[file.as_fd()]).unwrap();
    assert_eq!(DmaUnmap::decode(&body), Ok((unmap, None)));
}

/// Regions as QEMU asks: with room for the structure first, then for all of it. Then every kind of interrupt.
fn regions_and_irqs(peer: &mut Peer, rig: &mut Rig) {
    for index in 0..9 {
        let ask = |argsz| RegionInfo { argsz, index, ..RegionInfo::default() }.encode();
        let (body, fds) = peer.call(rig, Command::DEVICE_GET_REGION_INFO, &ask(32), &[]).unwrap();
        let first = RegionInfo::decode(&body).unwrap();
        assert_eq!((body.len(), fds.len(), first.cap_offset), (32, 0, 0));
        if first.argsz > 32 {
            let (body, fds) = peer.call(rig, Command::DEVICE_GET_REGION_INFO, &ask(first.argsz), &[]).unwrap();
            assert_eq!((body.len(), fds.len()), (first.argsz as usize, 1));
        }
    }
    for (index, count) in [1, 0, 512, 0, 0].into_iter().enumerate() {
        let ask = IrqInfo { argsz: 16, index: index as u32, ..IrqInfo::default() };
        let (body, _) = peer.call(rig, Command::DEVICE_GET_IRQ_INFO, &ask.encode(), &[]).unwrap();
        let i = IrqInfo::decode(&body).unwrap();
        assert_eq!((i.flags, i.count), (IrqInfoFlags::EVENTFD, count));
    }
}

fn triggers(index: u32, start: u32, count: u32) -> SetIrqs<'static> {
    SetIrqs { action: IrqAction::Trigger, data: IrqData::Events, index, start, count }
}

/// I/O whose completion comes by interrupt.
fn interrupted_io(rig: &mut Rig, guest: &mut Guest, bells: &[Bell]) {
    guest.create(rig, 3);
    for b in bells {
        let _ = b.count();
    }
    let data = pattern(4096, 8);
    guest.put(DATA, &data);
    assert!(guest.command(rig, 3, &write(0, 8, BASE + DATA, 0)).status().is_ok());
    assert_eq!(bells.iter().map(Bell::count).collect::<Vec<_>>()[..5], [0, 0, 0, 1, 0]);
    guest.put(DATA, &[0; 4096]);
    assert!(guest.command(rig, 3, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    assert!(guest.get(DATA, 4096) == data && bells[3].count() == 1);
}

#[test]
fn as_qemu_says_it() {
    let mut rig = Rig::plain();
    let mut peer = rig.connect();
    let (body, _) = peer.call(&mut rig, Command::VERSION, &version_with_text(CAPABILITIES), &[]).unwrap();
    let text: serde_json::Value = serde_json::from_slice(Version::decode(&body).unwrap().text.unwrap()).unwrap();
    let capability = |name: &str| text["capabilities"][name].as_u64().unwrap();
    assert!(capability("max_msg_fds") <= 16 && capability("max_data_xfer_size") <= 64 << 20);
    assert!(capability("pgsizes") & 4096 != 0 && capability("max_dma_maps") <= 65535);
    info(&mut peer, &mut rig);
    regions_and_irqs(&mut peer, &mut rig);
    assert_eq!(config(&mut peer, &mut rig, 0, 4), 0x0001_4e58);
    assert_eq!(config(&mut peer, &mut rig, 9, 1) | config(&mut peer, &mut rig, 0xa, 2) << 8, 0x01_0802);
    // The chain of capabilities, to its end.
    let (mut at, mut ids) = (config(&mut peer, &mut rig, 0x34, 1), Vec::new());
    while at != 0 {
        ids.push(config(&mut peer, &mut rig, at.into(), 1));
        at = config(&mut peer, &mut rig, u64::from(at) + 1, 1);
    }
    assert_eq!(ids, [1, 0x10, 0x11]);
    assert_eq!((config(&mut peer, &mut rig, 0x86, 2), config(&mut peer, &mut rig, 0x88, 4)), (511, 4));
    for (bar, mask) in [(0u64, 0xffff_c000u32), (1, 0), (4, 0xffff_e000), (5, 0xffff_f000)] {
        peer.write(&mut rig, region::CONFIG, 0x10 + 4 * bar, &u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(config(&mut peer, &mut rig, 0x10 + 4 * bar, 4), mask, "{bar}");
    }
    assert_eq!(peer.read(&mut rig, 5, 0, 64).unwrap(), vec![0; 64], "pending bits are forwarded by some");
    peer.call(&mut rig, Command::DEVICE_RESET, &[], &[]).unwrap();
    assert_eq!(config(&mut peer, &mut rig, 0x10, 4), 0);
    drop(peer);
    rig.settle();
    // The rest with a guest that has memory.
    let mut guest = Guest::attached(&mut rig);
    let bells: Vec<_> = (0..24).map(|_| Bell::of_our_own().unwrap()).collect();
    // In runs of what it may send at once, and a run of none.
    let refs: Vec<_> = bells.iter().collect();
    guest.peer.irqs(&mut rig, &triggers(irq::MSIX, 0, 16), &refs[..16]).unwrap();
    guest.peer.irqs(&mut rig, &triggers(irq::MSIX, 16, 8), &refs[16..]).unwrap();
    guest.peer.irqs(&mut rig, &triggers(irq::MSIX, 24, 16), &[]).unwrap();
    guest.enable(&mut rig);
    interrupted_io(&mut rig, &mut guest, &bells);
    // It takes them away: nothing rings any more.
    let off = SetIrqs { data: IrqData::None, ..triggers(irq::MSIX, 0, 0) };
    guest.peer.irqs(&mut rig, &off, &[]).unwrap();
    assert!(guest.command(&mut rig, 3, &read(0, 8, BASE + DATA, 0)).status().is_ok());
    assert_eq!(bells[3].count(), 0);
}

#[test]
fn as_cloud_hypervisor_says_it() {
    let mut rig = Rig::plain();
    let mut guest = Guest::attached(&mut rig);
    regions_and_irqs(&mut guest.peer, &mut rig);
    guest.peer.call(&mut rig, Command::DEVICE_RESET, &[], &[]).unwrap();
    let bells: Vec<_> = (0..48).map(|_| Bell::of_our_own().unwrap()).collect();
    for (n, batch) in bells.chunks(16).enumerate() {
        guest.peer.irqs(&mut rig, &triggers(irq::MSIX, 16 * n as u32, 16), &batch.iter().collect::<Vec<_>>()).unwrap();
    }
    guest.enable(&mut rig);
    interrupted_io(&mut rig, &mut guest, &bells);
    // A reset keeps memory and interrupts: the guest's next boot.
    guest.peer.call(&mut rig, Command::DEVICE_RESET, &[], &[]).unwrap();
    assert_eq!(guest.peer.register(&mut rig, 0x14), 0);
    guest.enable(&mut rig);
    interrupted_io(&mut rig, &mut guest, &bells);
}

#[test]
fn writes_may_be_posted() {
    let mut rig = Rig::new(VfioUserOptions { mappable_doorbells: false, ..VfioUserOptions::default() }, MemoryDevice::new(9, 64), 16);
    let mut guest = ready(&mut rig);
    let body = |offset: u64, value: u32| {
        let access = RegionAccess { offset, region: 0, count: 4 };
        [&access.encode()[..], &value.to_le_bytes()].concat()
    };
    let post = |guest: &mut Guest, body: Vec<u8>| {
        let mut header = Header::request(9, Command::REGION_WRITE, body.len()).unwrap();
        header.flags = HeaderFlags::NO_REPLY;
        guest.peer.send(&[&header.encode()[..], &body].concat(), &[]);
    };
    let cid = guest.push(1, &read(0, 8, BASE + DATA, 0));
    post(&mut guest, body(0x1008, 1));
    post(&mut guest, body(0x1002, 1));
    rig.settle();
    assert!(guest.peer.hear().is_none(), "neither success nor failure is answered");
    assert_eq!(guest.reap(&mut rig, 1).unwrap().cid(), cid);
    assert_eq!(guest.peer.read(&mut rig, 0, 0x1008, 4), Err(errno::EPERM));
}
