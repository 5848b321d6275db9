use super::*;

fn map(list: &[(u64, u32)]) -> Map {
    list.iter().map(|(at, cluster)| (*at, Cluster(*cluster))).collect()
}

fn range(first: u64, count: u64, has_data: bool) -> Range {
    Range { first, count, has_data }
}

#[test]
fn what_stands_over_hides_what_stands_beneath() {
    let over = map(&[(1, 10), (4, 11)]);
    let both = beneath(&over, map(&[(0, 20), (1, 21), (3, 22), (9, 23)]).into_iter());
    assert_eq!(both, map(&[(0, 20), (1, 10), (3, 22), (4, 11), (9, 23)]));
    assert_eq!(beneath(&[], over.iter().copied()), over);
}

#[test]
fn ranges_are_those_whose_clusters_differ_and_kinds_do_not_mix() {
    let older = map(&[(0, 1), (1, 2), (2, 3), (7, 4)]);
    let newer = map(&[(0, 1), (1, 5), (3, 6), (4, 7), (9, 8)]);
    assert_eq!(
        differing(&older, &newer, 100),
        [range(1, 1, true), range(2, 1, false), range(3, 2, true), range(7, 1, false), range(9, 1, true)]
    );
    assert_eq!(differing(&older, &newer, 4), [range(1, 1, true), range(2, 1, false), range(3, 1, true)]);
    assert_eq!(differing(&older, &older, 100), []);
}
