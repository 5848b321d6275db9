use super::*;

fn flags(text: &str) -> Result<Vec<String>, String> {
    match parse(Path::new("doorbell.toml"), text) {
        Ok(Config::Flags(flags)) => Ok(flags),
        Ok(Config::Json) => Err("json".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn a_file_becomes_the_flags_it_stands_for() {
    let text = r#"
        listen = ["127.0.0.1:4420", "[::1]:4420"]
        poll = "always"
        poll-spin-us = 5
        syslog = true
        empty = false
        [[file]]
        path = "/srv/disk.img"
        ro = true
        size = "10G"
    "#;
    let mut flags = flags(text).unwrap();
    flags.sort();
    let expected = [
        "--file=/srv/disk.img,ro,size=10G",
        "--listen=127.0.0.1:4420",
        "--listen=[::1]:4420",
        "--poll-spin-us=5",
        "--poll=always",
        "--syslog",
    ];
    assert_eq!(flags, expected);
}

#[test]
fn a_json_configuration_is_known_for_one() {
    assert_eq!(parse(Path::new("x"), "\n {\"subsystems\": []}").unwrap(), Config::Json);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert!(flags("listen = [").unwrap_err().contains("doorbell.toml"));
    assert!(flags("listen = [true]").unwrap_err().contains("listen: expected"));
    assert!(flags("[file]\nsize = 1").unwrap_err().contains("file: a table needs a path"));
    assert!(flags("config = 'x'").unwrap_err().contains("names no other"));
}
