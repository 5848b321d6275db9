//! Attaches a controller by its address, says what it is, and writes and reads the first block of its first namespace:
//! `cargo run -p doorbell-nvme --example one_block -- 'trtype:TCP traddr:127.0.0.1 trsvcid:4420 subnqn:NQN'`, or `0000:01:00.0` after
//! `doorbell pci bind`. What the block held is put back at the end.

use doorbell_block::{BlockDevice, Op, Status};
use doorbell_nvme::address::TransportId;
use doorbell_nvme::{Controller, Env, HostName, Options, TcpOffer, TcpOptions};
use doorbell_pci::{FunctionAddress, OpenOptions};
use doorbell_reactor::{AsyncQueue, Config, run};
use doorbell_sys::helper::Helpers;
use std::error::Error;

async fn attach(env: &Env, id: TransportId) -> Result<Controller, Box<dyn Error>> {
    let function = match id {
        TransportId::Tcp(address) => {
            let nqn = address.host.clone().unwrap_or_else(|| "nqn.2026-11.io.example:one-block".to_owned());
            let how = TcpOptions {
                host: HostName { nqn, id: [1; 16] },
                offer: TcpOffer::default(),
                flow_control: true,
                connect_timeout_ms: 10_000,
            };
            return Ok(Controller::connect(env, "example", address, how, Options::default()).await?);
        }
        TransportId::Pcie { address } => FunctionAddress::Pci(address.parse()?),
        TransportId::VfioUser { folder } => FunctionAddress::VfioUser(folder.into()),
    };
    let opened = doorbell_pci::open(&function, &OpenOptions::default())?;
    Ok(Controller::attach(env, "example", opened, Options::default()).await?)
}

async fn one_block(env: &Env, controller: &Controller) -> Result<(), Box<dyn Error>> {
    let identity = controller.identity().ok_or("it was not identified")?;
    println!("{} {} with firmware {}", identity.model, identity.serial, identity.firmware);
    let namespace = controller.namespaces().into_iter().next().ok_or("it has no namespace")?;
    let bytes = namespace.info().block_size();
    println!("namespace {}: {} blocks of {bytes} bytes", namespace.nsid(), namespace.info().blocks);

    // A queue belongs to the reactor that opened it; buffers come from the reactor's pool and travel to the device and back.
    let queue = AsyncQueue::open(&env.local, namespace, 8).await?;
    let ok = |status: Status, what: &str| if status == Status::Ok { Ok(()) } else { Err(format!("{what}: {status}")) };
    let buffer = env.local.with(move |cx| cx.buffer(bytes)).await.ok_or("no buffer is free")?;
    let (status, mut buffer) = queue.read(0, 1, buffer).await;
    ok(status, "read")?;
    let before = buffer.bytes().ok_or("a device has the buffer")?.to_vec();
    buffer.bytes().ok_or("a device has the buffer")?[..5].copy_from_slice(b"hello");
    let (status, buffer) = queue.write(0, 1, buffer).await;
    ok(status, "write")?;
    ok(queue.control(Op::Flush, 0, 0).await, "flush")?;
    let (status, mut buffer) = queue.read(0, 1, buffer).await;
    ok(status, "read")?;
    let block = buffer.bytes().ok_or("a device has the buffer")?;
    println!("read back: {}", String::from_utf8_lossy(&block[..5]));
    block.copy_from_slice(&before);
    ok(queue.write(0, 1, buffer).await.0, "write back")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let id: TransportId = std::env::args().nth(1).ok_or("name a controller")?.parse()?;
    let (config, helpers) = (Config::default(), Helpers::new(1)?);
    let regions = config.regions.clone();
    let (done, _) = run(&config, |local| async move {
        let env = Env { local, regions, helpers };
        let controller = attach(&env, id).await?;
        let done = one_block(&env, &controller).await;
        controller.detach().await;
        done
    })?;
    done
}
