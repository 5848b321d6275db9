use crate::{Field, Flags, Given, Kind, NoParams, Param, Params, Uuid, choices, params};
use serde_json::{Value, json};

choices! {
    /// What to clear.
    enum Mode {
        All = "all",
        Raid = "raid1" | "1",
    }
}

params! {
    /// An address.
    struct Address {
        /// Transport.
        trtype: String,
        trsvcid: Option<String>,
    }

    /// Everything at once.
    struct Everything {
        /// The name,
        /// in two lines.
        name: String,
        small: u8 = 7,
        signed: Option<i32>,
        uuid: Option<Uuid>,
        mode: Mode = Mode::All,
        sizes: Vec<u64> = vec![],
        address: Option<Address>,
        flags: Option<Flags<Mode>>,
        r#type: Option<bool>,
    }
}

fn decode(value: Value) -> Result<Everything, String> {
    Given::params(Some(value)).and_then(Everything::from_given).map_err(|fault| fault.to_string())
}

#[test]
fn defaults_nulls_and_nesting() {
    let least = decode(json!({"name": "a", "uuid": null, "small": null, "nothing": null})).unwrap();
    assert_eq!((least.small, least.mode, least.uuid, least.r#type), (7, Mode::All, None, None));
    let most = json!({
        "name": "a", "small": 255, "signed": -5, "uuid": "fcdbb57c-578a-48f3-ba2a-3dbcdbfa89d9", "mode": "1",
        "sizes": [1, 2e3, 18446744073709551615u64], "address": {"trtype": "TCP", "trsvcid": null},
        "flags": ["all", "raid1"], "type": true,
    });
    let most = decode(most).unwrap();
    assert_eq!(most.sizes, [1, 2000, u64::MAX]);
    assert_eq!(most.mode, Mode::Raid);
    assert_eq!(most.address, Some(Address { trtype: "TCP".to_owned(), trsvcid: None }));
    assert_eq!(most.r#type, Some(true));
    // What is saved loads again, and what is absent is not saved.
    let saved = Value::Object(most.to_object());
    assert_eq!(saved["mode"], "raid1");
    assert!(saved["address"].get("trsvcid").is_none());
    assert_eq!(decode(saved).unwrap(), most);
}

#[test]
fn faults_name_the_parameter() {
    for (given, fault) in [
        (json!({}), "parameter `name`: required and not given"),
        (json!({"name": null}), "parameter `name`: required and not given"),
        (json!({"name": 3}), "parameter `name`: must be string, not 3"),
        (json!({"name": "a", "nmae": 1}), "unknown parameter `nmae`"),
        (json!({"name": "a", "small": 256}), "parameter `small`: 256 is outside 0 to 255"),
        (json!({"name": "a", "small": -1}), "parameter `small`: -1 is outside 0 to 255"),
        (json!({"name": "a", "small": 1.5}), "parameter `small`: must be uint8, not 1.5"),
        (json!({"name": "a", "small": "1"}), "parameter `small`: must be uint8, not a string"),
        (json!({"name": "a", "signed": 1e300}), "parameter `signed`: must be int32, not 1e+300"),
        (json!({"name": "a", "mode": "none"}), "parameter `mode`: `none` is none of all, raid1, 1"),
        (json!({"name": "a", "sizes": [0, true]}), "parameter `sizes[1]`: must be uint64, not true"),
        (json!({"name": "a", "address": {}}), "parameter `address.trtype`: required and not given"),
        (json!({"name": "a", "address": {"trtype": "x", "y": 1}}), "parameter `address`: unknown parameter `y`"),
        (json!({"name": "a", "flags": ["al"]}), "parameter `flags[0]`: `al` is none of all, raid1, 1"),
        (json!({"name": "a", "uuid": "x"}), "parameter `uuid`: not a UUID: it looks like 8c2d3f0e-6a57-4f6b-9d25-0123456789ab"),
        (json!(["a"]), "must be object, not an array"),
    ] {
        assert_eq!(decode(given.clone()), Err(fault.to_owned()), "{given}");
        // The table-driven check refuses the same, in the same words.
        let checked = Given::params(Some(given)).and_then(|given| crate::field::check(Everything::FIELDS, given));
        assert_eq!(checked.map_err(|fault| fault.to_string()), Err(fault.to_owned()));
    }
}

#[test]
fn the_description_comes_from_the_declaration() {
    let field = |name: &str| Everything::FIELDS.iter().find(|field| field.name == name).unwrap();
    assert!(field("name").required);
    assert_eq!(field("name").doc, " The name, in two lines.");
    assert!(!field("small").required && !field("signed").required);
    assert_eq!(field("small").default.map(|default| default()), Some(json!(7)));
    assert_eq!(field("mode").default.map(|default| default()), Some(json!("all")));
    assert_eq!(field("type").kind, Kind::Boolean);
    assert_eq!(field("flags").kind, Kind::Bitmask(&["all", "raid1", "1"]));
    assert_eq!(field("sizes").kind, Kind::Array(&Kind::Uint64));
    assert_eq!(field("address").kind, Kind::Object(Address::FIELDS));
    let json = Field::to_json(field("address"));
    assert_eq!(json["fields"][0], json!({"name": "trtype", "type": "string", "required": true, "description": "Transport."}));
}

#[test]
fn methods_without_parameters_take_none_null_and_an_empty_object() {
    for given in [None, Some(Value::Null), Some(json!({})), Some(json!({"x": null}))] {
        assert_eq!(Given::params(given).and_then(NoParams::from_given), Ok(NoParams));
    }
    assert!(Given::params(Some(json!({"x": 1}))).and_then(NoParams::from_given).is_err());
    assert!(Given::params(Some(json!([]))).and_then(NoParams::from_given).is_err());
    assert_eq!(Mode::ALL.len(), 2);
    assert_eq!(Mode::decode(json!(1)).unwrap_err().to_string(), "must be string, not 1");
}
