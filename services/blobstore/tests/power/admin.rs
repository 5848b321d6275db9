//! Changes to the store, one after the other while requests go on.

use crate::world::{CLUSTER_BLOCKS, Pending, Shared, Vol};
use doorbell_blobstore::{BlobOptions, Blobstore, Error, Volume};
use doorbell_reactor::Local;
use doorbell_sim::DurabilityModel;
use doorbell_wire_blob::{BlobId, ClearMethod};

/// What only space, or the power, may make fail.
fn may_fail(error: &Error) -> bool {
    matches!(error, Error::NoSpace { .. } | Error::NoPages { .. })
}

/// Waits until nothing is under way to a volume, and nothing more begins.
async fn pause(local: &Local, world: &Shared, name: &str) {
    world.borrow_mut().vols.get_mut(name).unwrap().paused = true;
    while world.borrow().vols[name].under_way > 0 {
        local.sleep_ns(20_000).await;
    }
}

fn resume(world: &Shared, name: &str) {
    if let Some(vol) = world.borrow_mut().vols.get_mut(name) {
        vol.paused = false;
    }
}

fn xattrs(name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    vec![(b"name".to_vec(), name.as_bytes().to_vec())]
}

/// A number of changes.
pub(crate) async fn change(local: Local, store: Blobstore, world: Shared, changes: u32) {
    for _ in 0..changes {
        let choice = world.borrow_mut().entropy.below(20);
        let answer = match choice {
            0..4 => create(&store, &world).await,
            4..9 => snapshot(&local, &store, &world).await,
            9..12 => clone(&store, &world).await,
            12..15 => delete(&local, &store, &world).await,
            15..17 => resize(&local, &store, &world).await,
            17 => parent(&store, &world, false).await,
            18 => parent(&store, &world, true).await,
            _ => attribute(&store, &world).await,
        };
        world.borrow_mut().pending = None;
        world.borrow_mut().changes += 1;
        if let Err(error) = answer
            && !may_fail(&error)
        {
            // With the power off everything fails, which says nothing.
            world.borrow_mut().fail(format!("change {choice}: {error}"));
            return;
        }
        let pause = world.borrow_mut().entropy.below(3_000_000);
        local.sleep_ns(pause).await;
        if world.borrow().fault.is_some() {
            return;
        }
    }
}

/// A new volume is there, and acknowledged.
fn add(world: &Shared, name: String, vol: Vol) {
    let mut world = world.borrow_mut();
    world.vols.insert(name, vol);
    world.pending = None;
}

fn vol(volume: Volume, id: BlobId, clusters: u64, model: DurabilityModel) -> Vol {
    let volume = Some(volume);
    Vol { id, clusters, parent: None, thin: true, read_only: false, model, volume, paused: false, closing: false, under_way: 0 }
}

async fn create(store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let (name, clusters, thin) = {
        let mut world = world.borrow_mut();
        let large = world.entropy.below(5) == 0;
        let thin = large || world.entropy.below(4) > 0;
        let clusters = if large { 500 + world.entropy.below(600) } else { 1 + world.entropy.below(14) };
        let name = format!("v{}", world.number());
        world.pending = Some(Pending::Create { name: name.clone(), clusters });
        (name, clusters, thin)
    };
    let clear_method = *world.borrow_mut().entropy.pick(&[ClearMethod::Default, ClearMethod::None, ClearMethod::WriteZeroes]);
    let options = BlobOptions { clusters, thin, clear_method, xattrs: xattrs(&name), external: None };
    let id = store.create(&options).await?;
    let volume = store.volume(id).await?;
    let model = world.borrow_mut().model(clusters);
    add(world, name, Vol { thin, ..vol(volume, id, clusters, model) });
    Ok(())
}

async fn snapshot(local: &Local, store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let Some(of) = world.borrow_mut().pick(|vol| !vol.read_only) else { return Ok(()) };
    pause(local, world, &of).await;
    let name = format!("s{}", world.borrow_mut().number());
    world.borrow_mut().pending = Some(Pending::Snapshot { of: of.clone(), name: name.clone() });
    let id = world.borrow().vols[&of].id;
    let made = store.snapshot(id, xattrs(&name)).await;
    if let Ok(id) = &made {
        let volume = store.volume(*id).await?;
        let first = world.borrow_mut().number() << 24;
        let made = {
            let mut world = world.borrow_mut();
            let origin = world.vols.get_mut(&of).unwrap();
            let (parent, thin) = (origin.parent.replace(name.clone()), std::mem::replace(&mut origin.thin, true));
            // All that was acknowledged before is durable with the snapshot, in both.
            let flush = origin.model.flush();
            origin.model.flushed(flush);
            Vol { parent, thin, read_only: true, ..vol(volume, *id, origin.clusters, origin.model.fork(first)) }
        };
        add(world, name, made);
    }
    resume(world, &of);
    made.map(drop)
}

async fn clone(store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let Some(of) = world.borrow_mut().pick(|vol| vol.read_only) else { return Ok(()) };
    let name = format!("c{}", world.borrow_mut().number());
    world.borrow_mut().pending = Some(Pending::Clone { of: of.clone(), name: name.clone() });
    let parent = world.borrow().vols[&of].id;
    let id = store.clone_of(parent, xattrs(&name)).await?;
    let volume = store.volume(id).await?;
    let made = {
        let mut world = world.borrow_mut();
        let first = world.number() << 24;
        let parent = &world.vols[&of];
        let made = vol(volume, id, parent.clusters, parent.model.fork(first));
        Vol { parent: Some(of), ..made }
    };
    add(world, name, made);
    Ok(())
}

async fn delete(local: &Local, store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let clones = |world: &Shared, name: &str| world.borrow().vols.values().filter(|vol| vol.parent.as_deref() == Some(name)).count();
    let Some(name) = world.borrow_mut().pick(|_| true) else { return Ok(()) };
    let id = world.borrow().vols[&name].id;
    if clones(world, &name) > 1 {
        let refused = store.delete(id).await;
        if !matches!(refused, Err(Error::Clones { .. } | Error::InUse(_))) {
            world.borrow_mut().fail(format!("a snapshot with clones was deleted: {refused:?}"));
        }
        return Ok(());
    }
    world.borrow_mut().vols.get_mut(&name).unwrap().closing = true;
    let mut answer = Err(Error::InUse(id));
    for _ in 0..10_000 {
        local.sleep_ns(100_000).await;
        if world.borrow().vols[&name].under_way > 0 {
            continue;
        }
        world.borrow_mut().pending = Some(Pending::Delete { name: name.clone() });
        answer = store.delete(id).await;
        if answer != Err(Error::InUse(id)) {
            break;
        }
    }
    if answer.is_ok() {
        let mut world = world.borrow_mut();
        let gone = world.vols.remove(&name).unwrap();
        world.vols.values_mut().filter(|vol| vol.parent.as_deref() == Some(&name)).for_each(|vol| vol.parent = gone.parent.clone());
        world.values.remove(&name);
    } else if let Some(vol) = world.borrow_mut().vols.get_mut(&name) {
        vol.closing = false;
    }
    answer
}

async fn resize(local: &Local, store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let Some(name) = world.borrow_mut().pick(|vol| !vol.read_only) else { return Ok(()) };
    pause(local, world, &name).await;
    let clusters = {
        let mut world = world.borrow_mut();
        let now = world.vols[&name].clusters;
        let clusters = if now > 100 { 480 + world.entropy.below(700) } else { 1 + world.entropy.below(14) };
        world.pending = Some(Pending::Resize { name: name.clone(), clusters });
        clusters
    };
    let id = world.borrow().vols[&name].id;
    let answer = store.resize(id, clusters).await;
    if answer.is_ok() {
        let mut world = world.borrow_mut();
        let vol = world.vols.get_mut(&name).unwrap();
        vol.clusters = clusters;
        vol.model.resize(clusters * CLUSTER_BLOCKS);
        world.pending = None;
    }
    resume(world, &name);
    answer
}

async fn parent(store: &Blobstore, world: &Shared, inflate: bool) -> Result<(), Error> {
    let few = |vol: &Vol| !vol.read_only && vol.clusters < 100 && (inflate || vol.parent.is_some());
    let Some(name) = world.borrow_mut().pick(few) else { return Ok(()) };
    world.borrow_mut().pending = Some(Pending::Parent);
    let id = world.borrow().vols[&name].id;
    match inflate {
        true => store.inflate(id).await?,
        false => store.decouple(id).await?,
    }
    let mut world = world.borrow_mut();
    let above = world.vols[&name].parent.clone().and_then(|parent| world.vols[&parent].parent.clone());
    let vol = world.vols.get_mut(&name).unwrap();
    (vol.parent, vol.thin) = if inflate { (None, false) } else { (above, true) };
    Ok(())
}

async fn attribute(store: &Blobstore, world: &Shared) -> Result<(), Error> {
    let Some(name) = world.borrow_mut().pick(|_| true) else { return Ok(()) };
    let value = {
        let mut world = world.borrow_mut();
        // Long ones take pages behind the root.
        let mut value = vec![0; 1 + world.entropy.below(4000) as usize];
        world.entropy.fill(&mut value);
        world.pending = Some(Pending::Attribute { name: name.clone(), value: value.clone() });
        value
    };
    let id = world.borrow().vols[&name].id;
    store.set_xattr(id, b"v", &value).await?;
    world.borrow_mut().values.insert(name, value);
    Ok(())
}
