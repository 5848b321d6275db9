use super::*;

fn spec(text: &str) -> Result<Vec<(String, String)>, BadDrive> {
    let spec: DriveSpec = text.parse()?;
    Ok(spec.params.into_iter().map(|(k, v)| (k, v.as_str().unwrap_or("").to_owned())).collect())
}

fn pair(k: &str, v: &str) -> (String, String) {
    (k.to_owned(), v.to_owned())
}

#[test]
fn both_forms_name_a_controller() {
    assert_eq!(spec("0000:01:00.0").unwrap(), [pair("traddr", "0000:01:00.0"), pair("trtype", "PCIe")]);
    assert_eq!(spec("c1:00.1").unwrap()[0], pair("traddr", "c1:00.1"));
    let tcp = spec("trtype:TCP  traddr:fe80::1 trsvcid=4420 subnqn:nqn.2026-11.io.doorbell:a").unwrap();
    assert!(tcp.contains(&pair("traddr", "fe80::1")) && tcp.contains(&pair("trsvcid", "4420")));
    assert!(tcp.contains(&pair("subnqn", "nqn.2026-11.io.doorbell:a")));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(spec("/dev/nvme0"), Err(BadDrive::Form("/dev/nvme0".into())));
    assert_eq!(spec("trtype:TCP colour:red"), Err(BadDrive::Key("colour".into())));
    assert_eq!(spec("trtype:TCP"), Err(BadDrive::Missing("traddr")));
    assert_eq!(spec("trtype:TCP trtype:PCIe"), Err(BadDrive::Twice("trtype".into())));
}
