//! `doorbell volume create`, `snapshot`, `clone`, `resize`, `inflate`, `rename`, `delete`: each is a call or two, and a line that says what came
//! of it.

use super::place::{At, at, number, text};
use super::progress::Progress;
use super::{Failed, failed, shown};
use crate::cli::{
    VolumeCloneArgs, VolumeCreateArgs, VolumeDeleteArgs, VolumeInflateArgs, VolumeRenameArgs, VolumeResizeArgs, VolumeSnapshotArgs,
};
use crate::client::print;
use crate::size::Size;
use crate::status::say;
use serde_json::{Value, json};

/// A size in the unit of the calls: what is more than whole MiB is rounded up, as clusters are.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Tells of volumes as they are now, for people or programs.
async fn tell(at: &At, as_json: bool, volumes: &[String], done: &str) -> Result<Vec<Value>, Failed> {
    let all = at.volumes().await?;
    let mut told = Vec::new();
    for volume in volumes {
        let one = at.among(&all, volume)?;
        let bytes = at.bytes(text(one, "uuid")).await.unwrap_or_default();
        let allocated = number(one, "num_allocated_clusters").saturating_mul(at.cluster_bytes());
        if !as_json {
            say(format!(
                "{done} {}: {}, {} allocated, UUID {}",
                shown(text(one, "alias")),
                Size(bytes),
                Size(allocated),
                text(one, "uuid")
            ));
        }
        let (thin, snapshot) = (&one["is_thin_provisioned"], &one["is_snapshot"]);
        told.push(json!({
            "name": one["name"], "uuid": one["uuid"], "bytes": bytes, "allocated_bytes": allocated, "thin": thin, "snapshot": snapshot,
        }));
    }
    Ok(told)
}

pub(super) async fn tell_one(at: &At, as_json: bool, volume: &str, done: &str) -> Result<(), Failed> {
    let told = tell(at, as_json, &[volume.to_owned()], done).await?;
    if as_json {
        told.iter().for_each(print);
    }
    Ok(())
}

async fn tell_all(at: &At, as_json: bool, volumes: &[String], done: &str) -> Result<(), Failed> {
    let told = tell(at, as_json, volumes, done).await?;
    if as_json {
        print(&Value::Array(told));
    }
    Ok(())
}

pub(super) fn create(args: VolumeCreateArgs) -> Result<(), Failed> {
    at(&args.at.clone(), async move |at| {
        let params = json!({"lvol_name": args.name, "size_in_mib": mib(args.size), "thin_provision": !args.thick, "uuid": at.uuid()});
        let progress = Progress::of(format!("creating {}", args.name));
        let made = at.call("bdev_lvol_create", params).await?;
        drop(progress);
        tell_one(at, args.at.how.json, made.as_str().unwrap_or_default(), "created").await
    })
}

pub(super) fn snapshot(args: VolumeSnapshotArgs) -> Result<(), Failed> {
    let pairs: Vec<(String, String)> =
        args.pairs.chunks_exact(2).filter_map(|two| Some((two.first()?.clone(), two.get(1)?.clone()))).collect();
    if args.pairs.len() != 2 * pairs.len() {
        return Err(failed(format!(
            "{} has no name for its snapshot: name volumes and snapshots in turn",
            args.pairs.last().map_or("", |v| v)
        )));
    }
    at(&args.at, async move |at| {
        let mut wanted = Vec::new();
        for (volume, snapshot) in &pairs {
            let volume = at.find(volume).await?;
            wanted.push(json!({"lvol_name": volume["uuid"], "snapshot_name": snapshot}));
        }
        match wanted.as_slice() {
            [one] => at.call("bdev_lvol_snapshot", one.clone()).await?,
            all => at.call("doorbell_bdev_lvol_snapshot_group", json!({ "snapshots": all })).await?,
        };
        let snapshots: Vec<String> = pairs.into_iter().map(|(_, snapshot)| snapshot).collect();
        tell_all(at, args.at.how.json, &snapshots, "snapshot").await
    })
}

pub(super) fn clone(args: VolumeCloneArgs) -> Result<(), Failed> {
    at(&args.at.clone(), async move |at| {
        let snapshot = at.find(&args.snapshot).await?;
        if snapshot["is_snapshot"] == false {
            let name = shown(&args.snapshot);
            return Err(failed(format!("{name} is no snapshot: make one of it first (`doorbell volume snapshot`), and a clone of that")));
        }
        let progress = Progress::of("cloning".to_owned());
        let mut made = Vec::new();
        for name in &args.names {
            let uuid = at.call("bdev_lvol_clone", json!({"snapshot_name": snapshot["uuid"], "clone_name": name})).await?;
            made.push(uuid.as_str().unwrap_or_default().to_owned());
        }
        drop(progress);
        tell_all(at, args.at.how.json, &made, "cloned").await
    })
}

pub(super) fn resize(args: VolumeResizeArgs) -> Result<(), Failed> {
    at(&args.at.clone(), async move |at| {
        let volume = at.find(&args.volume).await?;
        let uuid = text(&volume, "uuid");
        let (now, cluster) = (at.bytes(uuid).await?, at.cluster_bytes());
        let wanted = mib(args.size).saturating_mul(1 << 20).div_ceil(cluster).saturating_mul(cluster);
        if wanted < now && !args.shrink {
            let (now, lost) = (Size(now), Size(now - wanted));
            return Err(failed(format!("{} has {now}: its last {lost} would be lost. Add --shrink if that is meant", shown(&args.volume))));
        }
        let progress = Progress::of(format!("resizing {}", args.volume));
        at.call("bdev_lvol_resize", json!({"name": uuid, "size_in_mib": mib(args.size)})).await?;
        drop(progress);
        tell_one(at, args.at.how.json, uuid, "resized").await
    })
}

pub(super) fn inflate(args: VolumeInflateArgs) -> Result<(), Failed> {
    at(&args.at.clone(), async move |at| {
        let volume = at.find(&args.volume).await?;
        let uuid = text(&volume, "uuid");
        let (method, done) = if args.decouple { ("bdev_lvol_decouple_parent", "decoupled") } else { ("bdev_lvol_inflate", "inflated") };
        let progress = Progress::of(format!("copying what {} shares", args.volume));
        at.call(method, json!({ "name": uuid })).await?;
        drop(progress);
        tell_one(at, args.at.how.json, uuid, done).await
    })
}

pub(super) fn rename(args: VolumeRenameArgs) -> Result<(), Failed> {
    at(&args.at.clone(), async move |at| {
        let volume = at.find(&args.volume).await?;
        at.call("bdev_lvol_rename", json!({"old_name": volume["uuid"], "new_name": args.name})).await?;
        tell_one(at, args.at.how.json, text(&volume, "uuid"), "renamed").await
    })
}

pub(super) fn delete(args: VolumeDeleteArgs) -> Result<(), Failed> {
    at(&args.at, async move |at| {
        // A name that is wrong is found before anything is gone.
        let mut all = Vec::new();
        for volume in &args.volumes {
            all.push(at.find(volume).await?);
        }
        let mut told = Vec::new();
        for one in all {
            let alias = shown(text(&one, "alias"));
            let progress = Progress::of(format!("deleting {alias}"));
            at.call("bdev_lvol_delete", json!({ "name": one["uuid"] })).await?;
            drop(progress);
            if !args.at.how.json {
                say(format!("deleted {alias}"));
            }
            told.push(json!({"name": one["name"], "uuid": one["uuid"]}));
        }
        if args.at.how.json {
            print(&Value::Array(told));
        }
        Ok(())
    })
}
