use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn given(line: &str) -> Result<Given, String> {
    let words = ["doorbell", "rpc"].into_iter().chain(line.split_whitespace());
    let Command::Rpc(args) = Cli::try_parse_from(words).map_err(|e| e.to_string())?.command else { panic!("{line}") };
    find(args.method.as_deref().unwrap()).unwrap().given(&args.composed, &args.params).map_err(|e| e.to_string())
}

#[test]
fn words_are_those_of_spdks_client_or_a_file() {
    assert_eq!(given("load_config -j a.json").unwrap().file.as_deref(), Some(Path::new("a.json")));
    assert_eq!(given("load_config --json-conf a.json").unwrap().file.as_deref(), Some(Path::new("a.json")));
    assert_eq!(given("load_config a.json").unwrap().file.as_deref(), Some(Path::new("a.json")));
    assert_eq!(given("load_config -j -").unwrap().file, None);
    assert_eq!(given("save_config -i 4 out.json").unwrap().indent, 4);
    assert!(given("save_config -i -1").unwrap().compact);
    assert_eq!(given("save_subsystem_config -n bdev").unwrap().name.as_deref(), Some("bdev"));
}

#[test]
fn what_a_command_does_not_take_is_refused() {
    for (line, says) in [
        ("load_config -i 2", "takes no -i"),
        ("save_config -n bdev", "takes no -n"),
        ("save_config -j x", "takes no -j"),
        ("save_config one two", "not also two"),
        ("save_subsystem_config", "which subsystem"),
    ] {
        let said = given(line).err().unwrap();
        assert!(said.contains(says) && said.contains(line.split(' ').next().unwrap()), "{line}: {said}");
    }
    let none = ComposedArgs { indent: Some(1), json_conf: None, name: None, subsystems: None };
    assert!(refuse_flags("bdev_get_bdevs", &none).unwrap_err().to_string().contains("takes no -i"));
}

#[test]
fn a_subsystem_is_saved_with_what_it_needs() {
    let listed = json!([
        {"subsystem": "sock", "depends_on": []}, {"subsystem": "accel", "depends_on": []},
        {"subsystem": "bdev", "depends_on": ["sock"]}, {"subsystem": "nvmf", "depends_on": ["bdev"]},
    ]);
    let names = |wanted: Option<&[&str]>| {
        let wanted: Option<Vec<String>> = wanted.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        chosen(&listed, wanted.as_deref()).map_err(|e| e.to_string())
    };
    assert_eq!(names(None).unwrap(), ["sock", "accel", "bdev", "nvmf"]);
    assert_eq!(names(Some(&["nvmf"])).unwrap(), ["sock", "bdev", "nvmf"]);
    assert!(names(Some(&["nope"])).unwrap_err().contains("there are sock, accel"));
}

#[test]
fn a_configuration_is_indented_as_asked() {
    let text = |indent: i32| {
        Given { indent: usize::try_from(indent).unwrap_or(0), compact: indent < 0, name: None, subsystems: None, file: None }
            .text(&json!({"a": [1]}))
    };
    assert_eq!(text(2), "{\n  \"a\": [\n    1\n  ]\n}\n");
    assert_eq!(text(-1), "{\"a\":[1]}\n");
}
