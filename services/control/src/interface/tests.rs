use super::{conforms, spdk};
use crate::{Kind, Methods, NoParams, RpcError, When, choices, params};

choices! {
    enum Mode { All = "all", MaxMin = "maxmin", Error = "error", None = "none" }
}

choices! {
    enum Few { All = "all" | "everything" }
}

params! {
    struct ResetIostat { name: Option<String>, mode: Mode = Mode::All }
    struct Short { name: Option<String>, mode: Few = Few::All }
    struct Wrong { name: String, mode: Option<String>, extra: Option<u8> }
    struct Resize { name: String, size_in_mib: u64, size: Option<u64> }
}

async fn yes<P>(_: P) -> Result<bool, RpcError> {
    Ok(true)
}

#[test]
fn the_table_is_whole() {
    assert_eq!(spdk().methods().count(), 296);
    assert_eq!(spdk().methods().map(|method| method.fields.len()).sum::<usize>(), 791);
    let raid = spdk().method("bdev_raid_create").unwrap();
    let base = raid.fields.iter().find(|field| field.name == "base_bdevs").unwrap();
    assert!(base.required);
    assert_eq!(base.kind, Kind::Array(&Kind::String));
}

#[test]
fn what_conforms_and_what_does_not() {
    let mut methods = Methods::default();
    methods.add("bdev_reset_iostat", When::Runtime, "", yes::<ResetIostat>);
    methods.add("bdev_lvol_resize", When::Runtime, "", yes::<Resize>);
    methods.add("doorbell_own", When::Any, "", yes::<NoParams>);
    assert_eq!(conforms(&methods.0), []);

    let mut methods = Methods::default();
    methods.add("bdev_reset_iostat", When::Any, "", yes::<Wrong>);
    methods.add("bdev_reset_iostat", When::Runtime, "", yes::<Short>);
    methods.add("bdev_invented", When::Any, "", yes::<NoParams>);
    methods.add("bdev_examine", When::Runtime, "", yes::<NoParams>);
    let found: Vec<String> = conforms(&methods.0).iter().map(ToString::to_string).collect();
    for part in [
        "bdev_reset_iostat: callable in [\"runtime\"], not [\"startup\", \"runtime\"]",
        "bdev_reset_iostat: parameter name: required is false, not true",
        "bdev_reset_iostat: parameter mode: its type is Enum",
        "bdev_reset_iostat: SPDK has no parameter extra",
        "bdev_invented: SPDK has no such method",
        "bdev_examine: parameter name is not taken",
    ] {
        assert!(found.iter().any(|one| one.starts_with(part)), "{part} not in {found:#?}");
    }
    assert_eq!(found.len(), 7);
    assert!(found[4].contains("not Enum([\"all\", \"everything\"])"), "{found:#?}");
}
