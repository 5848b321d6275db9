use super::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn counts_this_threads_allocations_only() {
    let before = allocations();
    let mut list = Vec::<u64>::with_capacity(4);
    assert_eq!(allocations(), before + 1);
    list.extend([1, 2, 3, 4]);
    assert_eq!(allocations(), before + 1, "room was there");
    list.push(5);
    assert_eq!(allocations(), before + 2, "grown once");
    let zeroed = vec![0u8; 4096];
    assert_eq!(allocations(), before + 3);
    drop((list, zeroed));
    assert_eq!(allocations(), before + 3, "freeing is not counted");

    let (ready, go) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ready.wait();
            drop(vec![1u8; 10]);
            assert!(allocations() > 0);
            go.wait();
        });
        let before = allocations();
        ready.wait();
        go.wait();
        assert_eq!(allocations(), before, "the other thread's");
    });
}
