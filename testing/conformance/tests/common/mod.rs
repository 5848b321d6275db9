//! What several tests make devices of.

use doorbell_bdev::{Access, Handle, NewBdev, Registry};
use doorbell_block::BlockDevice;
use doorbell_control::Uuid;
use std::sync::Arc;

/// A device as openers of the block layer see it. The registry forgets it when both are dropped.
pub(crate) fn opened(device: Arc<dyn BlockDevice>, access: Access) -> (Registry, Arc<Handle>) {
    let registry = Registry::new();
    let spec = NewBdev {
        name: "device".to_owned(),
        aliases: Vec::new(),
        uuid: Uuid([7; 16]),
        product: "a device under test",
        module: "test",
        device,
        driver_specific: Box::new(Default::default),
        created_by: None,
    };
    registry.register(spec).expect("the registry was empty");
    let handle = registry.open("device", access, Box::new(|_| {})).expect("nobody claims it");
    (registry, handle)
}
