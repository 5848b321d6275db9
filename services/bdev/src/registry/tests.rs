use super::*;
use doorbell_block::{BlockDevice, BlockQueue, DeviceInfo, OpenError, Token};
use doorbell_control::Uuid;
use doorbell_reactor::{Config, run};
use std::sync::atomic::{AtomicU32, Ordering};

struct Nothing;

impl BlockDevice for Nothing {
    fn info(&self) -> Arc<DeviceInfo> {
        Arc::new(DeviceInfo::plain(9, 8))
    }
    fn open(&self, _cx: &mut Cx, _who: Token, _depth: u32) -> Result<Box<dyn BlockQueue>, OpenError> {
        Err(OpenError::Gone)
    }
}

fn spec(name: &str, uuid: u8) -> NewBdev {
    NewBdev {
        name: name.into(),
        aliases: vec![format!("{name}-alias")],
        uuid: Uuid([uuid; 16]),
        product: "Test disk",
        module: "test",
        device: Arc::new(Nothing),
        driver_specific: Box::new(|| serde_json::json!({})),
        created_by: None,
    }
}

fn quiet() -> Box<dyn Fn(Event) + Send + Sync> {
    Box::new(|_| {})
}

#[test]
fn a_name_an_alias_and_a_uuid_all_find_it_and_none_is_given_twice() {
    let r = Registry::new();
    r.register(spec("a", 1)).unwrap();
    let uuid = Uuid([1; 16]).to_string();
    for name in ["a", "a-alias", uuid.as_str()] {
        assert_eq!(r.find(name).unwrap().name(), "a");
    }
    assert_eq!(r.register(spec("a", 2)).err(), Some(RegisterError::Exists("a".into())));
    assert!(r.register(spec("b", 1)).is_err(), "the UUID is taken");
    assert!(r.register(spec("a-alias", 3)).is_err(), "an alias is a name");
    assert_eq!(r.find(&uuid.to_uppercase()).unwrap().name(), "a");
    r.register(spec("b", 2)).unwrap();
    let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(r.set_aliases("a", &names(&["x", "b-alias"])), Err(RegisterError::Exists("b-alias".into())));
    assert!(r.find("x").is_none() && r.find("a-alias").is_some(), "all of them or none");
    r.set_aliases(&uuid, &names(&["z", "a"])).unwrap();
    assert!(r.find("a-alias").is_none() && r.find("z").is_some());
    r.set_aliases("z", &[]).unwrap();
    assert_eq!((r.find("z").is_some(), r.find("a").unwrap().aliases()), (false, vec![]));
}

#[test]
fn a_claim_stops_writers_and_ends_when_dropped() {
    let r = Registry::new();
    r.register(spec("a", 1)).unwrap();
    let mine = r.open("a", Access::Write, quiet()).unwrap();
    let claim = mine.claim(ClaimKind::ExclusiveWrite, "lvol").unwrap();
    assert!(matches!(r.open("a", Access::Write, quiet()), Err(OpenFailed::Claimed { by, .. }) if by == "lvol"));
    let reader = r.open("a", Access::Read, quiet()).unwrap();
    assert!(reader.claim(ClaimKind::ReadManyWriteNone, "x").is_err());
    assert!(reader.info().read_only);
    drop(claim);
    assert!(r.open("a", Access::Write, quiet()).is_ok());
    let a = reader.claim(ClaimKind::ReadManyWriteShared { key: 7 }, "x").unwrap();
    assert!(mine.claim(ClaimKind::ReadManyWriteShared { key: 8 }, "y").is_err());
    let b = mine.claim(ClaimKind::ReadManyWriteShared { key: 7 }, "y");
    assert!(b.is_ok());
    drop((a, b));
}

#[test]
fn openers_are_told_and_removal_waits_for_the_last() {
    let ((), _) = run(&Config::default(), |local| async move {
        let r = Registry::new();
        r.register(spec("a", 1)).unwrap();
        let told = Arc::new(AtomicU32::new(0));
        let count = told.clone();
        let on_event = move |e| {
            count.fetch_add(if e == Event::Removed { 1 } else { 100 }, Ordering::Relaxed);
        };
        let h = r.open("a", Access::Read, Box::new(on_event)).unwrap();
        let (r2, l2) = (r.clone(), local.clone());
        let gone = Arc::new(AtomicU32::new(0));
        let flag = gone.clone();
        l2.spawn(async move {
            r2.unregister("a").await.unwrap();
            flag.store(1, Ordering::Relaxed);
        });
        local.sleep_ns(100_000).await;
        assert_eq!((told.load(Ordering::Relaxed), gone.load(Ordering::Relaxed)), (1, 0));
        assert!(matches!(r.open("a", Access::Read, quiet()), Err(OpenFailed::Leaving(_))));
        assert!(matches!(r.unregister("a").await, Err(UnregisterError::Leaving(_))));
        drop(h);
        local.sleep_ns(1_000_000).await;
        assert_eq!(gone.load(Ordering::Relaxed), 1);
        assert!(r.find("a").is_none());
        // All of its names are free.
        for name in ["a-alias".to_owned(), Uuid([1; 16]).to_string()] {
            assert!(r.find(&name).is_none(), "{name}");
        }
        assert_eq!(r.next_change().await, Change::Registered("a".into()));
        assert_eq!(r.next_change().await, Change::Unregistered("a".into()));
    })
    .unwrap();
}

struct Counts(Arc<AtomicU32>);

impl Examiner for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    fn examine(&self, _local: Local, _bdev: Arc<Bdev>) -> Pin<Box<dyn Future<Output = ()>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn a_device_is_not_examined_while_anybody_holds_that_back() {
    let seen = Arc::new(AtomicU32::new(0));
    let count = seen.clone();
    let (_, _) = run(&Config::default(), |local| async move {
        let r = Registry::new();
        let (one, other) = (r.hold_back(), r.hold_back());
        r.register(spec("a", 1)).unwrap();
        let (registry, here, examiners) = (r.clone(), local.clone(), vec![Rc::new(Counts(count.clone())) as Rc<dyn Examiner>]);
        local.spawn(async move { registry.examine(&here, "a", &examiners).await });
        drop(one);
        for _ in 0..3 {
            local.with(|_| ()).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 0);
        drop(other);
        r.wait_for_examine().await;
    })
    .unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1);
}
