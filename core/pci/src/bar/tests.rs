use super::*;
use doorbell_mem::{Backing, Foreign, Regions};
use std::sync::Mutex;

type Writes = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

struct Log(Writes);

impl Trapped for Log {
    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), PciError> {
        if offset == 0x1c {
            into.fill(0);
            return Ok(());
        }
        Err(PciError::Gone { function: "test".into() })
    }

    fn write(&self, offset: u64, from: &[u8]) -> Result<(), PciError> {
        self.0.lock().unwrap().push((offset, from.to_vec()));
        Ok(())
    }
}

#[test]
fn mapped_parts_go_to_memory_and_the_rest_is_trapped_or_all_ones() {
    let region = Regions::new().map(4096, Backing::Ordinary, None).unwrap();
    let seen = Foreign::of(region.clone());
    let log = Arc::new(Mutex::new(Vec::new()));
    let bar = Arc::new(Bar::new(16384, vec![Area::of_region(4096, region).unwrap()], Some(Box::new(Log(log.clone())))));
    bar.write32(4096 + 8, 77);
    bar.doorbell(4096 + 12).unwrap().ring(5);
    let mut bytes = [0; 8];
    seen.seg(8, 8).unwrap().read_at(0, &mut bytes);
    assert_eq!(bytes, [77, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(bar.read64(4096 + 8), 77 | 5 << 32);
    bar.write64(0x28, 9);
    assert_eq!(*log.lock().unwrap(), [(0x28, 9u64.to_le_bytes().to_vec())]);
    assert_eq!((bar.read32(0x14), bar.read64(8192)), (u32::MAX, u64::MAX));
    assert!(bar.doorbell(0x14).is_none() && bar.is_mapped(4096, 4096) && !bar.is_mapped(4096, 4097));
    assert!(bar.note_silence() && bar.silences() == 1);
}
