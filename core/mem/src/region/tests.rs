use super::*;
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Spy {
    seen: Mutex<Vec<(bool, usize)>>,
    refuse: bool,
}

impl RegionObserver for Spy {
    fn arrived(&self, r: &Region) -> Result<(), MemError> {
        if self.refuse {
            return Err(MemError::Observer("no room".into()));
        }
        self.seen.lock().unwrap().push((true, r.len()));
        Ok(())
    }
    fn leaving(&self, r: &Region) {
        self.seen.lock().unwrap().push((false, r.len()));
    }
}

#[test]
fn observers_see_regions_come_and_go() {
    let regions = Regions::new();
    let a = regions.map(4096, Backing::Ordinary, None).unwrap();
    let spy = Arc::new(Spy::default());
    regions.attach(spy.clone()).unwrap();
    let b = regions.map(8192, Backing::Ordinary, None).unwrap();
    regions.retire(&a);
    regions.retire(&a); // once is enough
    let as_dyn: Arc<dyn RegionObserver> = spy.clone();
    regions.detach(&as_dyn);
    assert_eq!(*spy.seen.lock().unwrap(), [(true, 4096), (true, 8192), (false, 4096), (false, 8192)]);
    assert_eq!(regions.totals(), (1, 8192));
    drop(b);
    assert_eq!(regions.totals(), (0, 0));
}

#[test]
fn a_refusing_observer_stops_the_region() {
    let regions = Regions::new();
    regions.attach(Arc::new(Spy { refuse: true, ..Spy::default() })).unwrap();
    assert!(regions.map(4096, Backing::Ordinary, None).is_err());
    assert_eq!(regions.totals(), (0, 0));
}

#[test]
fn too_few_huge_pages_is_an_error_that_says_what_to_raise() {
    let e = Regions::new().map(1 << 46, Backing::Huge(HugeSize::TwoMiB), None).unwrap_err();
    let text = e.to_string();
    assert!(text.contains("nr_hugepages") && text.contains("at least"), "{text}");
}

#[test]
fn without_huge_pages_ordinary_memory_serves() {
    let r = Region::map(1 << 40, Backing::PreferHuge, None).unwrap();
    assert_eq!(r.page_size(), rustix::param::page_size());
    assert!(r.at(1 << 40, 1).is_none() && r.at((1 << 40) - 1, 1).is_some());
}

/// Were they mapped without being reserved, the first touch would be SIGBUS.
#[test]
fn huge_pages_are_there_or_refused_before_anyone_touches_them() {
    assert!(Region::huge(1 << 46, HugeSize::TwoMiB, None).is_err());
    // As the machine stands: one page more than it has is refused, what it has is there.
    let free = huge::free(HugeSize::TwoMiB);
    let Ok(region) = Region::map(4 << 20, Backing::Huge(HugeSize::TwoMiB), None) else {
        assert!(free < 2, "{free} pages are free");
        return;
    };
    for page in 0..2 {
        let at = region.at(page << 21, 1).unwrap();
        // SAFETY: inside of the region, which nobody else uses.
        assert_eq!(unsafe { at.read_volatile() }, 0);
    }
    // Not one page is left to be found at the first touch.
    let mut there = [0u8; 1024];
    // SAFETY: the range is the region's, and the vector has a byte for each of its small pages.
    let rc = unsafe { libc::mincore(region.base().cast(), region.len(), there.as_mut_ptr()) };
    assert!(rc == 0 && there.iter().all(|page| page & 1 == 1));
}

/// Pages are set aside for somebody: taking them unasked leaves a neighbour's start short of them.
#[test]
fn nobody_gets_huge_pages_that_he_did_not_ask_for() {
    assert_eq!(crate::PoolSpec::default().backing, Backing::Ordinary);
}
