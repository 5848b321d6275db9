use super::{BadUuid, Uuid};

#[test]
fn text_and_back() {
    let text = "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9";
    let uuid: Uuid = text.parse().unwrap();
    assert_eq!(uuid.0[..4], [0xfc, 0xdb, 0xb5, 0x7c]);
    assert_eq!(uuid.to_string(), text);
    assert_eq!(text.to_uppercase().parse(), Ok(uuid));
}

#[test]
fn what_is_not_one() {
    for text in [
        "",
        "fcdbb57c578a48f3ba2a3dbcdbfa89d9",
        "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d",
        "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89dg",
        "fcdbb57c-578a-48f3-ba2a+3dbcdbfa89d9",
        "fcdbb57cx578a-48f3-ba2a-3dbcdbfa89d9",
        "éééééééééééééééééé",
    ] {
        assert_eq!(text.parse::<Uuid>(), Err(BadUuid), "{text}");
    }
}

#[test]
fn random_ones_carry_version_and_variant() {
    let uuid = Uuid::from_random([0xff; 16]);
    assert_eq!(uuid.to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    assert!(Uuid::default().is_nil());
}
