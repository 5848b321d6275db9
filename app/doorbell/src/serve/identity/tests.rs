use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("doorbell-identity-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_keeps_its_identity() {
    let folder = Folder::new("keeps");
    let file = folder.0.join("disk.img");
    let (first, beside) = Identity::beside(&file).unwrap();
    let Beside::New(draft) = beside else { panic!("{beside:?}") };
    assert!(!path_beside(&file).exists(), "not before its file is held");
    draft.keep().unwrap();
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left, also while the server runs");
    assert!(draft.keep().unwrap_err().to_string().contains("disk.img.toml"), "never over another");
    let (again, beside) = Identity::beside(&file).unwrap();
    assert!(matches!(beside, Beside::Kept) && again == first);
    assert_ne!(Identity::beside(&folder.0.join("other.img")).unwrap().0, first);
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1, "no draft is left");
    assert_eq!(first.serial.len(), 20);
    assert!(first.nqn.ends_with(&first.uuid));
}

#[test]
fn where_nothing_can_be_kept_it_is_derived_and_said() {
    let (first, beside) = Identity::beside(Path::new("/proc/nothing/disk.img")).unwrap();
    assert!(matches!(beside, Beside::Not(why) if why.contains("/proc/nothing/disk.img.toml")));
    assert_eq!(Identity::beside(Path::new("/proc/nothing/disk.img")).unwrap().0, first);
    assert_ne!(Identity::derived("a"), Identity::derived("b"));
}

#[test]
fn a_broken_one_is_not_replaced() {
    let folder = Folder::new("broken");
    let file = folder.0.join("disk.img");
    for text in [
        "nqn = 3",
        "nqn = 'nqn.a'\nserial = 'S'\nuuid = 'no'",
        "nqn = 'nqn.a'\nserial = 'a b'\nuuid = '8c2d3f0e-6a57-4f6b-9d25-0123456789ab'",
        "nqn = 'a'\nserial = 'S'\nuuid = '8c2d3f0e-6a57-4f6b-9d25-0123456789ab'",
    ] {
        std::fs::write(path_beside(&file), text).unwrap();
        let said = Identity::beside(&file).unwrap_err().to_string();
        assert!(said.contains("disk.img.toml") && said.contains("Put it right"), "{said}");
        assert_eq!(std::fs::read_to_string(path_beside(&file)).unwrap(), text);
    }
}
