use super::*;
use crate::cli::{Cli, Command};
use clap::Parser;

fn of(line: &str) -> Result<Config, LayoutError> {
    let words = ["doorbell", "serve"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Serve(args) => layout(&args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_flags_there_is_one_reactor_for_each_cpu_and_none_is_pinned() {
    let config = of("").unwrap();
    assert_eq!(config.reactors as usize, cpu::allowed().unwrap().len().min(4));
    assert!(config.cpus.is_empty());
    assert_eq!(config.polling, Polling::Adaptive { spin_ns: 20_000 });
}

#[test]
fn cpus_are_those_asked_for_the_main_one_first() {
    let allowed = cpu::allowed().unwrap();
    let list = allowed.iter().map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",");
    let last = *allowed.last().unwrap();
    let config = of(&format!("-m [{list}] -p {last}")).unwrap();
    assert_eq!((config.cpus.len(), config.cpus[0]), (allowed.len(), last));
    assert!(of("-p 0").is_err() && of("-m 0x0").is_err());
    assert_eq!(of(&format!("--lcores 9@{last}")).unwrap().cpus, [last]);
}

#[test]
fn dpdks_lists_are_read_for_their_cpus() {
    for (text, cpus) in [("0-3", "0-3"), ("0@1,1@2", "1,2"), ("(0-3)@(1,2),4", "1,2,4"), ("0,2-3", "0,2-3")] {
        assert_eq!(cpus_of(text), cpus);
    }
}

#[test]
fn polling_and_memory_are_as_asked() {
    assert_eq!(of("--poll always").unwrap().polling, Polling::Always);
    assert_eq!(of("--poll-spin-us 7").unwrap().polling, Polling::Adaptive { spin_ns: 7000 });
    assert_eq!(of("--interrupt-mode").unwrap().polling, Polling::Adaptive { spin_ns: 0 });
    assert_eq!(of("").unwrap().pool.backing, Backing::Ordinary, "huge pages are somebody's: not without being asked");
    assert_eq!(of("--no-huge").unwrap().pool.backing, Backing::Ordinary);
    assert_eq!(of("--huge try").unwrap().pool.backing, Backing::PreferHuge);
    assert_eq!(of("--huge 1G").unwrap().pool.backing, Backing::Huge(HugeSize::OneGiB));
}

#[test]
fn memory_is_shared_out_among_the_reactors() {
    let bytes = |line: &str| {
        let classes = of(line).unwrap().pool.classes;
        classes.iter().map(|class| u64::from(class.size) * u64::from(class.count)).sum::<u64>() >> 20
    };
    let cpu = doorbell_sys::cpu::allowed().unwrap()[0].0;
    let one = |line: &str| bytes(&format!("-m [{cpu}] {line}"));
    assert_eq!(one("--memory 512M"), one("-s 512"));
    assert!((505..=512).contains(&one("--memory 512M")), "{}", one("--memory 512M"));
    assert_eq!(one("--mem-size 1024"), one("--memory 1G"));
    assert!(one("--memory 1") < 8, "no class is left without buffers");
    let reactors = of("").unwrap().reactors as u64;
    assert!((505 / reactors..=512 / reactors).contains(&bytes("--memory 512M")));
}
