use super::{KEPT, Notifications};

#[test]
fn ids_have_no_gap_and_old_ones_go() {
    let ring = Notifications::new();
    ring.register("bdev_resize");
    for count in 0..KEPT + 10 {
        assert_eq!(ring.push("bdev_register", format!("d{count}")), count as u64);
    }
    assert_eq!(ring.types(), ["bdev_resize", "bdev_register"]);
    let all = ring.since(0, u64::MAX);
    assert_eq!((all.len(), all[0].id), (KEPT, 10));
    let few = ring.since(20, 2);
    assert_eq!(few.iter().map(|one| one.id).collect::<Vec<_>>(), [20, 21]);
    assert!(ring.since(KEPT as u64 + 10, 5).is_empty());
    let json = serde_json::to_value(&few[0]).unwrap();
    assert_eq!(json, serde_json::json!({"type": "bdev_register", "ctx": "d20", "id": 20}));
}
