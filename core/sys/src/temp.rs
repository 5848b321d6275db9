//! Folders and loop devices that tests make and that go away with them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doorbell-sys-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct LoopDevice(PathBuf);

impl LoopDevice {
    /// `None`, said on stderr, where loop devices cannot be made (no root, a container).
    pub(crate) fn new(dir: &TempDir, size_bytes: u64) -> Option<LoopDevice> {
        let backing = dir.path().join("loop");
        fs::File::create(&backing).unwrap().set_len(size_bytes).unwrap();
        match Command::new("losetup").args(["--find", "--show"]).arg(&backing).output() {
            Ok(made) if made.status.success() => Some(LoopDevice(String::from_utf8(made.stdout).unwrap().trim().into())),
            other => {
                eprintln!("skipped: no loop device: {other:?}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}
