use super::{CRATES_IO, HOMES, MIRRORS, check};

fn count(path: &str, text: &str) -> usize {
    check(path, text, "/srv/build/doorbell").len()
}

#[test]
fn homes_and_the_checkout_are_found() {
    for home in HOMES {
        assert_eq!(count("a.sh", &format!("cd {home}someone\n")), 1);
    }
    assert_eq!(count("a.md", "see /srv/build/doorbell/README.md\n"), 1);
    assert_eq!(count("a.md", "see /srv/build/doorbells\n"), 0);
    assert_eq!(count("a.md", "cd $HOME/x; ls /root\n"), 0);
}

#[test]
fn a_checkout_right_below_the_root_is_not_searched_for() {
    assert!(check("a.md", "mount /data\n", "/data").is_empty());
}

#[test]
fn mirrors_are_found() {
    for mirror in MIRRORS {
        assert_eq!(count("pip.conf", &format!("{mirror} = x\n")), 1);
    }
    assert_eq!(count("Cargo.lock", &format!("source = \"{CRATES_IO}\"\n")), 0);
    assert_eq!(count("Cargo.lock", "source = \"registry+https://example.org/index\"\n"), 1);
    assert_eq!(count("a.toml", "source = \"registry+https://example.org/index\"\n"), 0);
}
