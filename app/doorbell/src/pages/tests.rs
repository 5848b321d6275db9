use super::*;

#[test]
fn every_command_has_a_manual_page() {
    let folder = std::env::temp_dir().join(format!("doorbell-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    man(Some(&folder)).unwrap();
    for page in ["doorbell.1", "doorbell-serve.1", "doorbell-rpc.1", "doorbell-perf-block.1"] {
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
