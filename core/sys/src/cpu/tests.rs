use proptest::prelude::*;

use super::{CpuError, CpuId, List, allowed, current, from_words, name_current, node_in, numa_node, online, parse, parse_for, pin_current};

fn cpus(numbers: impl IntoIterator<Item = u32>) -> Vec<CpuId> {
    numbers.into_iter().map(CpuId).collect()
}

/// As on a machine of eight CPUs that allows all but 6.
fn on_eight(text: &str) -> Result<Vec<CpuId>, CpuError> {
    parse_for(text, &cpus(0..8), &cpus([0, 1, 2, 3, 4, 5, 7]))
}

#[test]
fn spdks_forms() {
    for (text, numbers) in [
        ("0x3", &[0, 1][..]),
        ("0X3", &[0, 1]),
        ("3", &[0, 1]),
        ("bF", &[0, 1, 2, 3, 4, 5, 7]),
        ("0x00000000000000000000000000000000002", &[1]),
        ("[0,2-3]", &[0, 2, 3]),
        ("0,2-3", &[0, 2, 3]),
        (" [ 3 , 0 - 1 , 1 ] ", &[0, 1, 3]),
        ("[5]", &[5]),
        ("2-2", &[2]),
    ] {
        assert_eq!(on_eight(text), Ok(cpus(numbers.iter().copied())), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for text in ["", "0x", "[0,2", "0x3,1", "[0,,1]", "[1-]", "3-1", "g", "[0x3]", "-1", "[-]", "0xfg", "[1-2-3]"] {
        assert!(matches!(on_eight(text), Err(CpuError::Syntax { .. })), "{text}: {:?}", on_eight(text));
    }
    assert_eq!(on_eight("[]"), Err(CpuError::Empty("[]".into())));
    assert_eq!(on_eight("0x0"), Err(CpuError::Empty("0x0".into())));
    for (text, cpu) in [("0x100", 8), ("[9]", 9), ("0-4000000000", 4_000_000_000), ("1,99999999999", 99_999_999_999)] {
        assert_eq!(on_eight(text), Err(CpuError::Unknown { cpu, online: cpus(0..8) }), "{text}");
    }
    let message = on_eight("[4-6]").unwrap_err().to_string();
    assert!(message.contains("CPU 6") && message.contains("0-5,7"), "{message}");
    let message = on_eight("[8]").unwrap_err().to_string();
    assert!(message.contains("no CPU 8") && message.contains("0-7"), "{message}");
    assert_eq!(parse_for("2", &cpus([0, 2]), &cpus([0, 2])), Err(CpuError::Unknown { cpu: 1, online: cpus([0, 2]) }));
}

proptest! {
    #[test]
    fn masks_and_lists_say_the_same(set in prop::collection::btree_set(0u32..64, 1..20)) {
        let all = cpus(0..64);
        let expected = cpus(set.iter().copied());
        let mask = set.iter().fold(0u64, |mask, cpu| mask | 1 << cpu);
        prop_assert_eq!(parse_for(&format!("{mask:#x}"), &all, &all), Ok(expected.clone()));
        prop_assert_eq!(parse_for(&format!("[{}]", List(&expected)), &all, &all), Ok(expected.clone()));
        prop_assert_eq!(from_words(&[mask, 0]), expected);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]0-9a-fx, -]{0,24}|.{0,12}") {
        let _ = on_eight(&text);
    }
}

#[test]
fn this_machine() {
    let may = allowed().unwrap();
    assert!(!may.is_empty());
    assert!(may.iter().all(|cpu| online().unwrap().contains(cpu)));
    let last = *may.last().unwrap();
    assert_eq!(parse(&format!("[{last}]")), Ok(vec![last]));
    std::thread::spawn(move || {
        pin_current(last).unwrap();
        assert_eq!(current(), last);
        assert_eq!(allowed().unwrap(), vec![last]);
        assert!(pin_current(CpuId(1_000_000)).is_err());
    })
    .join()
    .unwrap();
    // Single-node kernels have no such entry; when there is one it is a small number.
    assert!(numa_node(last).is_none_or(|node| node < 1024));
    assert_eq!(numa_node(CpuId(1_000_000)), None);
}

#[test]
fn the_node_is_found_among_the_other_entries() {
    let names = ["cache", "nodes", "node", "node12", "topology"].map(String::from);
    assert_eq!(node_in(names.into_iter()), Some(12));
    assert_eq!(node_in(["cache".to_owned()].into_iter()), None);
}

#[test]
fn a_thread_takes_its_name_cut_at_a_character() {
    std::thread::spawn(|| {
        for (given, kept) in
            [("reactor-3", "reactor-3"), ("aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaa"), ("aaaaaaaaaaaaaaé", "aaaaaaaaaaaaaa"), ("a\0b", "a")]
        {
            name_current(given);
            let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            assert_eq!(comm.trim_end(), kept);
        }
    })
    .join()
    .unwrap();
}
