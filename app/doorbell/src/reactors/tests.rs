use super::*;

#[test]
fn thread_times_are_found_behind_any_name() {
    let stat = "42 (a) b) S 1 42 42 0 -1 4194304 100 0 0 0 17 5 0 0 20 0 3 0 100 1000 10 18446744073709551615";
    assert_eq!(parse_times(stat), Some((17, 5)));
    assert_eq!(parse_times("nonsense"), None);
}

#[test]
fn every_reactor_is_listed_as_spdks_tools_read_it() {
    let config = doorbell_reactor::Config { reactors: 2, ..doorbell_reactor::Config::default() };
    let (seen, _) = doorbell_reactor::run_with_loads(&config, |local, loads| async move {
        let reactors = Reactors { local, loads: loads.into(), cpus: Arc::new([]), polling: Polling::Always, registry: Registry::new() };
        (reactors.reactors(), reactors.stats(), reactors.channels(), reactors.pools().await.unwrap())
    })
    .unwrap();
    let (reactors, stats, channels, pools) = seen;
    assert_eq!(reactors["reactors"].as_array().unwrap().len(), 2);
    assert_eq!(reactors["reactors"][1]["lw_threads"][0]["name"], "reactor_1");
    assert_eq!(reactors["reactors"][0]["in_interrupt"], false);
    assert_eq!(stats["threads"][1]["id"], 2);
    assert_eq!(channels["threads"][0]["io_channels"], json!([]));
    assert_eq!(pools[1]["module"], "reactor_1");
    assert!(pools[0]["small_pool"]["cache_size"].as_u64().unwrap() > 0);
}
