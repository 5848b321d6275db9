use super::*;

#[test]
fn every_command_has_a_manual_page() {
    let folder = std::env::temp_dir().join(format!("doorbell-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    man(Some(&folder)).unwrap();
    for page in ["doorbell.1", "doorbell-serve.1", "doorbell-rpc.1", "doorbell-perf-block.1", "doorbell-volume-export.1"] {
        assert!(folder.join(page).metadata().unwrap().len() > 200, "{page}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_shell_has_completions() {
    use clap::ValueEnum;
    for shell in clap_complete::Shell::value_variants() {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "doorbell", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("serve") && script.contains("queue-depth"), "{shell}");
    }
}

#[test]
fn the_guide_has_the_page_of_every_method() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guide/rpc");
    let pages = rpc_pages().unwrap();
    assert!(pages.len() > 60, "{}", pages.len());
    let there: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for name in &there {
        assert!(pages.contains_key(name), "guide/rpc/{name} is of no method: run `cargo xtask guide`");
    }
    for (name, text) in pages {
        let written = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert_eq!(written, text, "guide/rpc/{name} is not what the method says: run `cargo xtask guide`");
    }
}

#[test]
fn pages_of_methods_that_are_gone_go() {
    let folder = std::env::temp_dir().join(format!("doorbell-rpc-pages-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("gone.md"), "").unwrap();
    std::fs::write(folder.join("other.txt"), "").unwrap();
    write_rpc_pages(&folder).unwrap();
    assert!(!folder.join("gone.md").exists() && folder.join("other.txt").exists() && folder.join("bdev_get_bdevs.md").exists());
    std::fs::remove_dir_all(&folder).unwrap();
}
