use super::*;

#[test]
fn a_name_with_spaces_and_parentheses_moves_no_field() {
    let stat = "42 (a (b) c 9) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 3 20 0 1 0 1000 0 0";
    assert_eq!(ticks(stat, [14, 15]), Ok(2.0));
    assert_eq!(ticks(stat, [16, 17]), Ok(0.1));
    assert!(ticks("42 (x", [14, 15]).is_err());
}

#[test]
fn fields_of_a_status() {
    let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
    assert_eq!(field(status, "VmRSS:"), Some(1024));
    assert_eq!(field(status, "voluntary_ctxt_switches:"), Some(12));
    assert_eq!(field(status, "VmSwap:"), None);
}

#[test]
fn this_process_is_there() {
    let me = std::process::id();
    assert!(cpu_s(me).is_ok() && children_cpu_s().is_ok() && sleeps(me).is_ok());
    let [now, most] = resident_kib(me).unwrap();
    assert!(0 < now && now <= most);
}
