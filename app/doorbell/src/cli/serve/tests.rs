use crate::cli::{Cli, Command};
use clap::{CommandFactory, Parser};

fn serve(args: &[&str]) -> Result<Box<super::ServeArgs>, String> {
    let all = ["doorbell", "serve"].iter().chain(args);
    match Cli::try_parse_from(all).map_err(|e| e.to_string())?.command {
        Command::Serve(args) => Ok(args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn scripts_that_start_spdk_start_this() {
    let line = "-m 0x3 -r /tmp/s.sock -s 512 -n 4 -i 0 -p 0 -e 0xFFFF -L nvmf -L bdev -d -g -u -R --huge-dir /mnt/huge --iova-mode va \
        -A 0000:01:00.0 -B 0000:02:00.0 --env-context=--proc-type=auto --rpcs-allowed rpc_get_methods,spdk_get_version --silence-noticelog \
        --num-trace-entries 1 --json-ignore-init-errors --no-huge -S /var/tmp -c /tmp/c.json -f /tmp/pid";
    let args = serve(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
    assert_eq!(args.cpumask.as_deref(), Some("0x3"));
    assert_eq!(args.logflags, ["nvmf", "bdev"]);
    assert_eq!(args.rpcs_allowed, Some(vec!["rpc_get_methods".to_owned(), "spdk_get_version".to_owned()]));
    assert_eq!(args.idle.given().len(), 14);
    assert_eq!(args.memory, Some(512 << 20));
    assert!(args.idle.given().iter().all(|(_, why)| !why.is_empty()));
    assert!(!args.is_default());
    assert!(serve(&["--wait-for-rpc"]).is_ok() && serve(&["--wait-for-rpc", "-c", "x"]).is_err());
    assert!(serve(&["--interrupt-mode", "--lcores", "0@1"]).is_ok());
}

#[test]
fn flags_that_only_adjust_leave_the_default() {
    assert!(serve(&["-r", "/tmp/x", "-m", "1", "--listen", "127.0.0.1:0", "-L", "all"]).unwrap().is_default());
    for other in [&["--file", "x"][..], &["--malloc", "1G"], &["--json", "x"], &["--wait-for-rpc"], &["--empty"]] {
        assert!(!serve(other).unwrap().is_default(), "{other:?}");
    }
}

#[test]
fn unknown_flags_and_bad_values_are_refused() {
    for bad in [&["--fil", "x"][..], &["--file", "x,oops"], &["--malloc", "many"], &["--poll", "never"], &["-x"], &["stray"]] {
        assert!(serve(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_later_flag_overrides_an_earlier_one_and_lists_grow() {
    let args = serve(&["-r", "a", "--malloc", "1M", "-r", "b", "--malloc", "2M"]).unwrap();
    assert_eq!(args.rpc_socket.as_deref(), Some(std::path::Path::new("b")));
    assert_eq!(args.mallocs, [1 << 20, 2 << 20]);
}
