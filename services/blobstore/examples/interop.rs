//! Writes stores made here into a folder, each compressed, with a manifest of what they hold: to be checked with SPDK where there is one.

#[path = "../tests/support/mod.rs"]
mod support;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("name the folder that the images go to")?.into();
    fs::create_dir_all(&folder)?;
    let mut images = Vec::new();
    for mut made in support::made::all() {
        let packed = compress_to_vec(made.bytes.as_slice(), CompressionLevel::Fastest);
        let file = format!("{}.img.zst", made.name);
        fs::write(folder.join(&file), &packed)?;
        println!("{}: {} bytes, {} compressed", folder.join(&file).display(), made.bytes.len(), packed.len());
        made.entry["file"] = file.into();
        made.entry["zst_bytes"] = packed.len().into();
        images.push(made.entry);
    }
    let manifest = serde_json::json!({
        "made_with": {"version": concat!("Doorbell ", env!("CARGO_PKG_VERSION"))},
        "pattern": support::made::PATTERN,
        "images": images,
    });
    let at = folder.join("manifest.json");
    fs::write(&at, format!("{manifest:#}\n"))?;
    println!("{}: what each of them holds", at.display());
    Ok(())
}
