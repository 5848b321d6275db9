//! Settings of SPDK's that have no object here, so that a configuration which SPDK saved loads and is saved again.
//!
//! Where a part exists and brings a method itself, the part's own stays: the list can only fill gaps. What belongs to a
//! thing that is not here at all (an iSCSI target, a vhost controller) stays unknown; only the tuning that SPDK saves
//! even when nothing uses it is kept.

use doorbell_control::{Control, ControlError, Keep, Methods, NoParams, Part, When};
use serde_json::json;
use std::rc::Rc;

#[cfg(test)]
mod tests;

/// A subsystem of which only the tuning is here.
struct Tuning {
    name: &'static str,
    depends_on: &'static [&'static str],
    keeps: &'static [Keep],
}

const SOCK_IMPLS: &[&str] = &["posix", "ssl", "uring"];

/// Whole subsystems.
const SUBSYSTEMS: &[Tuning] = &[
    Tuning {
        name: "scheduler",
        depends_on: &[],
        keeps: &[Keep { method: "framework_set_scheduler", by: None, only: &[("name", &["static"])] }, Keep::one("scheduler_set_options")],
    },
    Tuning {
        name: "sock",
        depends_on: &[],
        keeps: &[
            Keep { method: "sock_set_default_impl", by: None, only: &[("impl_name", SOCK_IMPLS)] },
            Keep { method: "sock_impl_set_options", by: Some("impl_name"), only: &[("impl_name", SOCK_IMPLS)] },
        ],
    },
    Tuning { name: "iobuf", depends_on: &[], keeps: &[Keep::one("iobuf_set_options")] },
    Tuning { name: "fsdev", depends_on: &[], keeps: &[Keep::one("fsdev_set_opts")] },
    Tuning { name: "accel", depends_on: &["iobuf"], keeps: &[Keep::one("accel_set_options")] },
    Tuning { name: "iscsi", depends_on: &["scsi"], keeps: &[Keep::one("iscsi_set_options")] },
];

/// Methods of subsystems that are here, for objects that are not.
const OTHERS: &[(&str, &str)] = &[
    ("bdev", "bdev_set_options"),
    ("bdev", "bdev_raid_set_options"),
    ("bdev", "bdev_nvme_set_options"),
    ("bdev", "bdev_nvme_set_hotplug"),
    ("bdev", "bdev_iscsi_set_options"),
    ("nvmf", "nvmf_set_config"),
    ("nvmf", "nvmf_set_max_subsystems"),
    ("nvmf", "nvmf_set_crdt"),
];

impl Part for Tuning {
    fn name(&self) -> &'static str {
        self.name
    }

    fn depends_on(&self) -> &'static [&'static str] {
        self.depends_on
    }

    fn methods(self: Rc<Self>, methods: &mut Methods) {
        for keep in self.keeps {
            methods.keep(*keep);
        }
        if self.name == "scheduler" {
            let doc = "Says how work is spread over reactors: each stays where it was put.";
            methods.add("framework_get_scheduler", When::Any, doc, |_: NoParams| {
                std::future::ready(Ok(json!({
                    "scheduler_name": "static", "scheduler_period": 0, "isolated_core_mask": "0", "scheduling_core": 0,
                })))
            });
        }
    }
}

/// Adds what is not yet there; call it after every real part was added.
pub fn add_tuning(control: &Control) -> Result<(), ControlError> {
    for tuning in SUBSYSTEMS {
        if control.parts().iter().any(|part| part.name() == tuning.name) {
            for keep in tuning.keeps {
                control.keep(tuning.name, *keep)?;
            }
            continue;
        }
        let Tuning { name, depends_on, keeps } = *tuning;
        control.add_part(Rc::new(Tuning { name, depends_on, keeps }))?;
    }
    for (part, method) in OTHERS {
        control.keep(part, Keep::one(method))?;
    }
    Ok(())
}
