use super::{Socket, SocketError};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

#[path = "../../tests/support/folder.rs"]
mod folder;
use folder::Folder;

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn open(path: &Path) -> Result<Socket, SocketError> {
    Socket::open(Some(path))
}

#[test]
fn both_files_are_private_and_go_at_the_end() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    let socket = open(&path).unwrap();
    assert_eq!(names(&folder.0), ["s", "s.lock"]);
    for name in ["s", "s.lock"] {
        let mode = fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    UnixStream::connect(&path).unwrap();
    assert!(socket.moved().is_none());
    drop(socket);
    assert!(names(&folder.0).is_empty());
}

#[test]
fn the_names_go_once_whoever_removes_them() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    let first = open(&path).unwrap();
    first.names().remove();
    assert!(names(&folder.0).is_empty());
    // The next server's are not the first one's to remove.
    let second = open(&path).unwrap();
    drop(first);
    assert_eq!(names(&folder.0), ["s", "s.lock"]);
    drop(second);
    assert!(names(&folder.0).is_empty());
}

#[test]
fn a_live_server_is_left_alone() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    let first = open(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(matches!(open(&path), Err(SocketError::InUse(_))));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    drop(first);
    // One that knows no lock files too.
    let foreign = UnixListener::bind(&path).unwrap();
    assert!(matches!(open(&path), Err(SocketError::InUse(_))));
    assert_eq!(names(&folder.0), ["s"]);
    drop(foreign);
}

#[test]
fn what_a_dead_server_left_is_replaced() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    drop(UnixListener::bind(&path).unwrap());
    fs::write(folder.0.join("s.lock"), "").unwrap();
    let _socket = open(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn what_is_no_socket_is_not_removed() {
    let folder = Folder::new();
    let path = folder.0.join("s");
    fs::write(&path, "precious").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(names(&folder.0), ["s"]);
    // A lock file that points elsewhere is not followed.
    std::os::unix::fs::symlink(&path, folder.0.join("t.lock")).unwrap();
    assert!(matches!(open(&folder.0.join("t")), Err(SocketError::NotOurs { .. })));
    let long = folder.0.join("x".repeat(120));
    assert!(matches!(open(&long), Err(SocketError::TooLong(_))));
    assert!(matches!(open(&folder.0.join("no/such/s")), Err(SocketError::Io { .. })));
}

#[test]
fn the_default_gives_way_and_says_why() {
    let folder = Folder::new();
    let runtime = Folder::new();
    let default = folder.0.join("s");
    let first = Socket::open_or(None, &default, Some(&runtime.0)).unwrap();
    assert!(first.moved().is_none());
    let second = Socket::open_or(None, &default, Some(&runtime.0)).unwrap();
    assert_eq!(second.path(), runtime.0.join("doorbell.sock"));
    assert!(second.moved().unwrap().contains("in use"));
    // Without such a folder, or when a path was asked for, it is an error.
    assert!(matches!(Socket::open_or(None, &default, None), Err(SocketError::InUse(_))));
    assert!(matches!(Socket::open_or(Some(&default), &default, Some(&runtime.0)), Err(SocketError::InUse(_))));
}
