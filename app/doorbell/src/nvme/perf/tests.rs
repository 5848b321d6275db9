use super::*;
use crate::cli::{Cli, Command, NvmeCommand};
use crate::perf::block::Pattern;
use clap::Parser;

fn args(line: &str) -> NvmePerfArgs {
    let words = ["doorbell", "nvme", "perf"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).unwrap().command {
        Command::Nvme { command: NvmeCommand::Perf(args) } => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_flags_are_those_of_spdk_nvme_perf() {
    let args = args("-q 128 -o 4096 -w randrw -M 70 -t 2 -c 0x3 -r 0000:01:00.0 -r 0000:02:00.0");
    let reaches = reaches(&args).unwrap();
    assert_eq!(reaches.len(), 2);
    let block = block_args(args, vec!["one".to_owned()]);
    assert_eq!((block.queue_depth, block.io_size, block.mix, block.time), (128, 4096, 70, 2.0));
    assert_eq!((block.pattern, &*block.cores), (Pattern::RandRw, "0x3"));
}

#[test]
fn one_controller_is_named_once_and_data_is_not_lost_by_chance() {
    assert!(reaches(&args("-r 0000:01:00.0 -r 0000:01:00.0")).unwrap_err().to_string().contains("named twice"));
    for line in ["-w randwrite -r 0000:01:00.0", "--verify -r 0000:01:00.0"] {
        assert!(perf(args(line)).unwrap_err().to_string().contains("--destroy-data"), "{line}");
    }
}

#[test]
fn namespaces_are_all_that_can_be_used_or_those_named() {
    let all = [(1, Ok(())), (2, Err("it is odd".to_owned())), (5, Ok(()))];
    assert_eq!(choose("c", &all, &[]), Ok(vec![1, 5]));
    assert_eq!(choose("c", &all, &[5]), Ok(vec![5]));
    assert_eq!(choose("c", &all, &[2]), Err("c namespace 2: it is odd".to_owned()));
    assert!(choose("c", &all, &[3]).unwrap_err().contains("no namespace 3"));
    assert!(choose("c", &all[1..2], &[]).is_err());
}
