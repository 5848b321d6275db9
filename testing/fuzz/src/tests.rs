//! Replays the corpora, and keeps the committed seeds what their generators say.

use super::TARGETS;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// With `UPDATE_SEEDS=1` the seeds are written instead.
#[test]
fn seeds_are_the_committed_ones() {
    for (target, _, seeds) in TARGETS {
        let seeds = seeds();
        let dir = corpus(target);
        if env::var_os("UPDATE_SEEDS").is_some() {
            fs::create_dir_all(&dir).unwrap();
            for (name, bytes) in &seeds {
                fs::write(dir.join(format!("seed-{name}")), bytes).unwrap();
            }
        }
        assert!(!seeds.is_empty());
        for (name, bytes) in seeds {
            let path = dir.join(format!("seed-{name}"));
            let kept = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; run with UPDATE_SEEDS=1", path.display()));
            assert!(kept == bytes, "{} differs from its generator; run with UPDATE_SEEDS=1", path.display());
        }
    }
}

#[test]
fn every_input_of_the_corpora_is_survived() {
    for (target, run, _) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus(target)).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            run(&bytes);
            // Also its neighbours: cut short, and with a bit turned over.
            run(&bytes[..bytes.len() / 2]);
            for at in 0..bytes.len().min(256) {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                run(&bytes);
            }
            inputs += 1;
        }
        assert!(inputs > 0, "{target} has no corpus");
    }
}
