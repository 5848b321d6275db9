use super::*;

#[test]
fn files_are_made_and_grown_and_never_cut() {
    let path = std::env::temp_dir().join(format!("doorbell-files-{}", std::process::id()));
    let spec = |options: &str| format!("{}{options}", path.display()).parse::<DeviceSpec>().unwrap();
    let len = || path.metadata().unwrap().len();
    assert!(prepare(&spec("")).unwrap_err().to_string().contains("size=1G"));
    prepare(&spec(",size=1M")).unwrap();
    assert_eq!(len(), 1 << 20);
    prepare(&spec(",size=2M")).unwrap();
    assert_eq!(len(), 2 << 20);
    prepare(&spec(",size=4k")).unwrap();
    prepare(&spec(",size=4M,ro")).unwrap();
    prepare(&spec("")).unwrap();
    assert_eq!(len(), 2 << 20);
    assert!(is_regular(&path) && !is_regular(Path::new("/dev/null")));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let spec: DeviceSpec = "/proc/nothing/here,size=1M".parse().unwrap();
    assert!(prepare(&spec).unwrap_err().to_string().contains("/proc/nothing/here"));
    let path = std::env::temp_dir().join(format!("doorbell-huge-{}", std::process::id()));
    let spec: DeviceSpec = format!("{},size=8191P", path.display()).parse().unwrap();
    if prepare(&spec).is_err() {
        assert!(!path.exists());
    }
    let _ = std::fs::remove_file(&path);
}

#[test]
fn the_process_id_goes_with_the_process() {
    let path = std::env::temp_dir().join(format!("doorbell-pid-{}", std::process::id()));
    let file = PidFile::write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
    drop(file);
    assert!(!path.exists());
}
