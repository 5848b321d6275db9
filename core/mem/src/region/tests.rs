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
