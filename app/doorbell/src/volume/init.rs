//! `doorbell volume init`: a new store.

use super::place::{Place, number, on_device, text};
use super::progress::Progress;
use super::{Failed, failed, shown};
use crate::cli::{DeviceSpec, VolumeInitArgs};
use crate::client::print;
use crate::size::Size;
use crate::status::say;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

pub(super) fn init(args: VolumeInitArgs) -> Result<(), Failed> {
    let destroy = args.destroy_data;
    let check = |spec: Option<&DeviceSpec>| if destroy { Ok(()) } else { holds_nothing(spec) };
    on_device((&args.device.clone(), &args.how.clone()), check, async move |place, device| {
        let progress = Progress::of(format!("making {}", args.name));
        let params = json!({"bdev_name": device, "lvs_name": args.name, "cluster_sz": args.cluster_size});
        let made = place.call("bdev_lvol_create_lvstore", params).await?;
        drop(progress);
        tell(place, &made, args.how.json).await
    })
}

/// What is not known to be empty is left as it is.
fn holds_nothing(spec: Option<&DeviceSpec>) -> Result<(), Failed> {
    let Some(spec) = spec else {
        return Err(failed("what a server's device holds would be lost: add --destroy-data if that is meant"));
    };
    match spec.path.metadata() {
        Ok(found) if found.is_file() && found.blocks() == 0 => Ok(()),
        Ok(_) => {
            let path = spec.path.display();
            Err(failed(format!("{path} is there, and what it holds would be lost: add --destroy-data if that is meant")))
        }
        Err(_) if spec.size.is_none() => {
            let path = spec.path.display();
            Err(failed(format!("{path}: there is no such file. Add ,size=10G to have it made, which takes no room before it is written")))
        }
        Err(_) => Ok(()),
    }
}

async fn tell(place: &Place, made: &Value, as_json: bool) -> Result<(), Failed> {
    let stores = place.call("bdev_lvol_get_lvstores", json!({ "uuid": made })).await?;
    let store = stores.get(0).cloned().unwrap_or_default();
    let cluster = number(&store, "cluster_size");
    let (total, free) = (number(&store, "total_data_clusters") * cluster, number(&store, "free_clusters") * cluster);
    if as_json {
        print(&json!({
            "name": store["name"], "uuid": store["uuid"], "cluster_bytes": cluster, "total_bytes": total, "free_bytes": free,
        }));
    } else {
        say(format!(
            "made {}: {} for volumes, clusters of {}, UUID {}",
            shown(text(&store, "name")),
            Size(total),
            Size(cluster),
            text(&store, "uuid")
        ));
    }
    Ok(())
}
