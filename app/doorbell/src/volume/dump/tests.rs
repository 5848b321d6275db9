use super::*;

#[test]
fn runs_go_on_where_both_sides_do() {
    let clusters = [(0, 70), (1, 71), (2, 73), (4, 74), (5, 75)].map(|(at, cluster)| (at, Cluster(cluster)));
    let run = |first, on_device, count| Run { first, on_device, count };
    assert_eq!(runs(clusters.into_iter()), [run(0, 70, 2), run(2, 73, 1), run(4, 74, 2)]);
}

#[test]
fn values_that_are_no_text_are_numbers() {
    assert_eq!(readable(b"lvs0\0\0"), "lvs0");
    assert_eq!(readable(b"a\x1b[2J"), "611b5b324a");
    assert_eq!(readable(&[0xff, 0]), "ff00");
}
