//! What the guide and the README tell people to type is there, and does what they say.

mod support;

use clap::Parser;
use doorbell::cli::{Cli, Command};
use rustix::process::Signal;
use std::path::Path;
use support::Folder;

const SERVING: &str = include_str!("../../../guide/chapters/serving.md");
const DRIVES: &str = include_str!("../../../guide/chapters/drives.md");
const NVME: &str = include_str!("../../../guide/chapters/nvme.md");
const VOLUMES: &str = include_str!("../../../guide/chapters/volumes.md");
const README: &str = include_str!("../../../README.md");
const PACKAGED: &str = include_str!("../../../packaging/doorbell.toml");

/// The lines of a chapter's blocks in one language.
fn blocks(chapter: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in chapter.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(named)) if named == language => open = Some(String::new()),
            (None, Some(_)) => open = None,
            (Some(block), None) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A line as a shell takes it apart, as far as these lines go: words, comments, single quotes around words or blanks.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or(line);
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '\'' => is_quoted = !is_quoted,
            c if c.is_whitespace() && !is_quoted => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            c => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// Lines that begin with the name of the binary.
fn commands(texts: impl IntoIterator<Item = String>) -> Vec<Vec<String>> {
    let lines: Vec<Vec<String>> = texts.into_iter().flat_map(|text| text.lines().map(words).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|words| words.first().is_some_and(|word| word == "doorbell")).collect()
}

#[test]
fn every_command_line_is_one() {
    let indented = README.lines().filter_map(|line| line.strip_prefix("    ")).map(|line| line.replace(';', "\n")).map(|line| {
        line.lines().map(str::trim).collect::<Vec<_>>().join("\n") // two commands on one line
    });
    let pages = [
        ("README.md", commands(indented), 8),
        ("serving.md", commands(blocks(SERVING, "sh")), 8),
        ("drives.md", commands(blocks(DRIVES, "sh")), 5),
        ("nvme.md", commands(blocks(NVME, "sh")), 8),
        ("volumes.md", commands(blocks(VOLUMES, "sh")), 6),
    ];
    for (page, found, least) in pages {
        assert!(found.len() >= least, "{page}: {found:?}");
        for line in found {
            let given: Vec<&str> =
                line.iter().take_while(|word| *word != "|").map(|word| if *word == "NQN" { "nqn.a:b" } else { word }).collect();
            if let Err(error) = Cli::try_parse_from(&given) {
                panic!("{page}: {}: {error}", line.join(" "));
            }
        }
    }
}

/// Serves with a configuration file whose places are moved to where a test may write.
fn serves(folder: &Folder, text: &str) {
    let here = folder.path().to_str().unwrap();
    let text = text.replace("/srv", here).replace("/var/lib/doorbell", here).replace(":4420", ":0");
    std::fs::write(folder.path().join("doorbell.toml"), text).unwrap();
    let server = folder.serve(&["--config", "doorbell.toml"]).ready();
    let devices = folder.rpc(&["bdev_get_bdevs"]).unwrap();
    assert!(!devices.as_array().unwrap().is_empty());
    assert_eq!(server.stop(Signal::TERM).0.code(), Some(0));
}

#[test]
fn the_configuration_files_serve() {
    let [chapters]: [String; 1] = blocks(SERVING, "toml").try_into().unwrap();
    serves(&Folder::new(), &chapters);
    let host = "nqn.2014-08.org.nvmexpress:uuid:8c2d3f0e-6a57-4f6b-9d25-0123456789ab";
    let packaged = PACKAGED.replace("# allow-host", "allow-host").replace("nqn.2014-08.org.nvmexpress:uuid:...", host);
    assert!(packaged.contains(host));
    serves(&Folder::new(), &packaged);
}

#[test]
fn the_packaged_configuration_wants_the_hosts_name() {
    let folder = Folder::new();
    let text = PACKAGED.replace("/var/lib/doorbell", folder.path().to_str().unwrap()).replace(":4420", ":0");
    std::fs::write(folder.path().join("doorbell.toml"), text).unwrap();
    let refused = folder.run(&["serve", "-r", "rpc.sock", "--config", "doorbell.toml"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("--allow-host"), "{said}");
}

/// Makes the calls of a chapter, at places where a test may make them.
fn calls(folder: &Folder, chapter: &str, least: usize) {
    let calls: Vec<_> =
        commands(blocks(chapter, "sh")).into_iter().filter(|words| words[1] == "rpc" && !words.contains(&"-s".to_owned())).collect();
    assert!(calls.len() >= least, "{calls:?}");
    let here = folder.path().to_str().unwrap();
    for call in &calls {
        let given: Vec<String> = call[2..].iter().map(|word| word.replace("\"4420\"", "\"0\"").replace("/srv", here)).collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        folder.rpc_done(&given).unwrap_or_else(|error| panic!("{}: {error}", call.join(" ")));
    }
}

#[test]
fn the_calls_do_what_the_chapters_say() {
    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    calls(&folder, SERVING, 7);
    assert!(folder.path().join("now.json").exists());
    let subsystems = folder.rpc(&["nvmf_get_subsystems"]).unwrap();
    let served = &subsystems[1];
    assert_eq!(served["namespaces"][0]["bdev_name"], "Mem0");
    assert_eq!(served["listen_addresses"][0]["trtype"], "TCP");
    drop(server);

    let folder = Folder::new();
    let server = folder.serve(&["--empty"]).logs("RPC");
    calls(&folder, VOLUMES, 10);
    let clone = folder.rpc(&["bdev_get_bdevs", "name=lvs0/vm1"]).unwrap();
    assert_eq!(folder.rpc(&["nvmf_get_subsystems"]).unwrap()[1]["namespaces"][0]["bdev_name"], clone[0]["name"]);
    assert_eq!(clone[0]["driver_specific"]["lvol"]["base_snapshot"], "gold-1");
    drop(server);
}

#[test]
fn files_that_are_named_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for line in blocks(SERVING, "sh").iter().flat_map(|block| block.lines()) {
        for word in line.split_whitespace().filter(|word| word.starts_with("packaging/")) {
            assert!(root.join(word).is_file(), "{line}");
        }
    }
    let Command::Serve(args) = Cli::parse_from(["doorbell", "serve"]).command else { panic!("serve is no longer serve") };
    assert!((args.stop_deadline - 10.0).abs() < 1e-9 && args.poll_spin_us == 20, "serving.md says 10 s and 20 µs");
}

/// `vm{1..3}` as a shell has it.
fn braces(word: &str) -> Vec<String> {
    let Some((before, (from, to))) =
        word.strip_suffix('}').and_then(|word| Some((word.split_once('{')?.0, word.split_once('{')?.1.split_once("..")?)))
    else {
        return vec![word.to_owned()];
    };
    (from.parse::<u32>().unwrap()..=to.parse().unwrap()).map(|n| format!("{before}{n}")).collect()
}

#[test]
fn a_golden_image_has_a_thousand_clones() {
    let folder = Folder::new();
    let here = folder.path().to_str().unwrap().to_owned();
    std::fs::write(folder.path().join("debian.raw"), vec![7; 3 << 20]).unwrap();
    let (_, section) = VOLUMES.split_once("## A golden image").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut server = None;
    for words in commands(blocks(section, "sh")) {
        let mut words: Vec<String> = words[1..].iter().flat_map(|word| braces(&word.replace("/srv", &here))).collect();
        if words[0] == "serve" {
            let words: Vec<&str> = words[1..].iter().map(String::as_str).chain(["--listen", "127.0.0.1:0"]).collect();
            server = Some(folder.serve(&words).ready());
            continue;
        }
        if server.is_some() {
            words.extend(["--socket".to_owned(), folder.socket().to_str().unwrap().to_owned()]);
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = folder.run(&words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    folder.rpc(&["bdev_wait_for_examine"]).unwrap();
    let subsystems = folder.rpc(&["nvmf_get_subsystems"]).unwrap();
    // The image and its clones, without the two that were deleted.
    assert_eq!(subsystems[1]["namespaces"].as_array().unwrap().len(), 1 + 1000 - 2);
    let (status, log) = server.unwrap().stop(Signal::TERM);
    assert!(status.success() && !log.contains("ERROR"), "{log}");
}
