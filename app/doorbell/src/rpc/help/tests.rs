use super::*;

#[test]
fn letters_are_counted() {
    for (a, b, far) in
        [("", "", 0), ("abc", "abc", 0), ("", "abc", 3), ("abc", "abd", 1), ("abc", "ac", 1), ("abc", "acb", 1), ("kitten", "sitting", 3)]
    {
        assert_eq!((distance(a, b), distance(b, a)), (far, far), "{a} {b}");
    }
}

#[test]
fn what_was_probably_meant_is_named() {
    let names = ["bdev_get_bdevs", "bdev_malloc_create", "bdev_null_create", "save_config", "load_config"];
    let near = |typed: &str| nearest(typed, names.into_iter());
    assert_eq!(near("bdev_get_bdev"), ["bdev_get_bdevs"]);
    assert_eq!(near("bdev_mallco_create"), ["bdev_malloc_create"]);
    assert_eq!(near("save_conf"), ["save_config"]);
    assert_eq!(near("xyz"), [""; 0]);
}

#[test]
fn a_method_is_described_in_one_line() {
    let schema = json!({"params": [{"name": "a", "type": "string", "required": false}, {"name": "b", "type": "uint32", "required": true}]});
    assert_eq!(takes("m", &schema), "m takes b (uint32); and may take a (string)");
    assert_eq!(takes("m", &json!({"params": []})), "m takes no parameters");
    assert_eq!(first_sentence("One thing. And another."), "One thing.");
    assert_eq!(first_sentence("One thing."), "One thing.");
}
