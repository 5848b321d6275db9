use super::*;

#[test]
fn an_image_has_some_bytes_a_multiple_of_four() {
    let folder = std::env::temp_dir().join(format!("doorbell-firmware-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let image = |name: &str, bytes: &[u8]| {
        std::fs::write(path(name), bytes).unwrap();
        read(&path(name))
    };
    assert_eq!(image("whole", &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    for wrong in [image("empty", &[]), image("odd", &[1; 6])] {
        let error = wrong.unwrap_err();
        assert!(error.code == -22 && format!("{error}").contains("is no firmware image"), "{error}");
    }
    assert_eq!(read(&path("nowhere")).unwrap_err().code, -2);
    let _ = std::fs::remove_dir_all(&folder);
}
