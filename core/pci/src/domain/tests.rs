use super::*;
use doorbell_mem::{Backing, Pool, Regions};
use std::sync::Arc;

/// Remembers what it was told.
#[derive(Default, Clone)]
struct Told(Arc<Mutex<Vec<(u64, u64)>>>);

impl Mapper for Told {
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError> {
        if region.len() > 1 << 30 {
            return Err(PciError::unusable("test", "too large"));
        }
        lock(&self.0).push((iova, region.len() as u64));
        Ok(())
    }

    fn unmap(&self, iova: u64, len: u64) -> bool {
        lock(&self.0).retain(|m| *m != (iova, len));
        true
    }
}

fn narrow(told: &Told) -> Arc<Domain> {
    let usable = [IovaRange { first: 0, last: 0xfedf_ffff }, IovaRange { first: 0xfef0_0000, last: 0x7f_ffff_ffff }];
    Arc::new(Domain::mapped("test", &usable, Box::new(told.clone())))
}

#[test]
fn a_region_is_one_range_below_the_devices_width_whatever_its_own_address_is() {
    let (regions, told) = (Regions::new(), Told::default());
    let domain = narrow(&told);
    regions.attach(domain.clone()).unwrap();
    let region = regions.map(4 << 20, Backing::Ordinary, None).unwrap();
    let foreign = doorbell_mem::Foreign::of(region.clone());
    let (a, b) = (foreign.seg(0, 4096).unwrap(), foreign.seg(8192, 4096).unwrap());
    let (at, later) = (domain.run(&a, 0, 4096).unwrap(), domain.run(&b, 100, 8).unwrap());
    assert!(at.address < 1 << 39 && at.address.is_multiple_of(2 << 20), "{at:?}");
    assert_eq!((later.address, later.len), (at.address + 8292, 8));
    assert_eq!(*lock(&told.0), [(at.address, 4 << 20)]);
    regions.retire(&region);
    assert!(domain.run(&a, 0, 1).is_none() && lock(&told.0).is_empty());
}

#[test]
fn what_was_there_before_is_mapped_at_attach_and_all_goes_at_detach() {
    let (regions, told) = (Regions::new(), Told::default());
    let pool = Pool::new(&regions, &doorbell_mem::PoolSpec::default()).unwrap();
    let domain = narrow(&told);
    let observer: Arc<dyn RegionObserver> = domain.clone();
    regions.attach(observer.clone()).unwrap();
    let seg = pool.get(4096).unwrap();
    assert!(domain.run(&seg, 0, 4096).is_some());
    regions.detach(&observer);
    assert!(domain.run(&seg, 0, 4096).is_none() && lock(&told.0).is_empty());
}

#[test]
fn without_an_iommu_runs_end_at_pages() {
    let look = |region: &Region| Ok((0..region.len() / region.page_size()).map(|n| 0x1000_0000 * (n as u64 + 7)).collect());
    let domain = Domain::physical("test", Box::new(look));
    let regions = Regions::new();
    let region = regions.map(16384, Backing::Ordinary, None).unwrap();
    domain.arrived(&region).unwrap();
    let seg = doorbell_mem::Foreign::of(region).seg(4096, 8192).unwrap();
    assert_eq!(domain.run(&seg, 256, 7000), Some(Run { address: 0x8000_0100, len: 4096 - 256 }));
    assert_eq!(domain.run(&seg, 4096, 100), Some(Run { address: 0x9000_0000, len: 100 }));
}

#[test]
fn what_several_devices_share_is_mapped_once_and_until_the_last_has_gone() {
    let (regions, told) = (Regions::new(), Told::default());
    let region = regions.map(4096, Backing::Ordinary, None).unwrap();
    let domain: Arc<dyn RegionObserver> = narrow(&told);
    regions.attach(domain.clone()).unwrap();
    regions.attach(domain.clone()).unwrap();
    let later = regions.map(8192, Backing::Ordinary, None).unwrap();
    assert_eq!(lock(&told.0).len(), 2);
    regions.detach(&domain);
    assert_eq!(lock(&told.0).len(), 2, "one of the two devices is still there");
    regions.retire(&later);
    assert_eq!(lock(&told.0).len(), 1);
    regions.detach(&domain);
    assert!(lock(&told.0).is_empty());
    drop(region);
}

#[test]
fn a_region_that_went_without_a_word_is_not_taken_for_the_next() {
    let (regions, told) = (Regions::new(), Told::default());
    let domain = narrow(&told);
    let first = regions.map(8192, Backing::Ordinary, None).unwrap();
    domain.arrived(&first).unwrap();
    let number = first.number();
    drop(first);
    // Numbers are used again; other tests take some too.
    let mut held = Vec::new();
    let next = loop {
        let region = regions.map(8192, Backing::Ordinary, None).unwrap();
        if region.number() == number {
            break region;
        }
        assert!(held.len() < 1000);
        held.push(region);
    };
    domain.arrived(&next).unwrap();
    assert_eq!(lock(&told.0).len(), 1, "the old mapping was undone, a new one made");
    domain.leaving(&next);
    assert!(lock(&told.0).is_empty());
}
