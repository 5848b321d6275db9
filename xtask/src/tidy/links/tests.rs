use super::check;

fn read(path: &str) -> Option<String> {
    match path {
        "README.md" => Some("# Doorbell\n## Start here, now\n".to_owned()),
        "guide/src" => Some(String::new()),
        _ => None,
    }
}

fn broken(path: &str, text: &str) -> Vec<String> {
    check(path, text, &read).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[test]
fn links_resolve_from_the_folder_of_the_page() {
    assert!(broken("guide/a.md", "[r](../README.md) and [s](src) [w](https://x.org/y)\n").is_empty());
    assert_eq!(broken("guide/a.md", "\n[r](README.md)\n"), ["2: link `README.md` names nothing"]);
    assert_eq!(broken("a.md", "[r](../../etc/passwd)\n").len(), 1);
    assert_eq!(broken("a.md", "[r]: nowhere.md\n").len(), 1);
}

#[test]
fn headings_resolve() {
    assert!(broken("a.md", "[r](README.md#start-here-now)\n").is_empty());
    assert_eq!(broken("a.md", "[r](README.md#stop)\n"), ["1: link `README.md#stop` names no heading there"]);
    assert!(broken("a.md", "# One `two`\n[r](#one-two)\n").is_empty());
}

#[test]
fn code_holds_no_links() {
    assert!(broken("a.md", "`[r](x)`\n```text\n[r](y)\n```\n").is_empty());
}
