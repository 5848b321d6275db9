use super::*;

#[test]
fn identities_lie_beside_files_that_are_written_and_nothing_is_made_to_find_out() {
    let path = std::env::temp_dir().join(format!("doorbell-files-{}", std::process::id()));
    let keeps = |options: &str| keeps_identity(&format!("{}{options}", path.display()).parse::<DeviceSpec>().unwrap());
    assert!(keeps("").unwrap_err().to_string().contains("size=1G"));
    assert!(keeps(",size=1M").unwrap());
    assert!(is_blank(&path) && !path.exists());
    std::fs::write(&path, b"").unwrap();
    assert!(is_blank(&path), "made, and not yet sized");
    std::fs::write(&path, b"data").unwrap();
    assert!(!is_blank(&path) && !is_blank(Path::new("/dev/null")));
    assert!(keeps("").unwrap() && !keeps(",ro").unwrap());
    assert!(!keeps_identity(&"/dev/null".parse().unwrap()).unwrap());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_process_id_goes_with_the_process() {
    let path = std::env::temp_dir().join(format!("doorbell-pid-{}", std::process::id()));
    let file = PidFile::write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
    drop(file);
    assert!(!path.exists());
}
