//! `doorbell nvme`: one job on one controller, by this process alone.
//!
//! Each command runs a reactor of its own, attaches the controller, does the job and lets the controller go, whatever came of the job. What it is
//! not: it talks to no running server, and a PCI function that a server drives is refused, because only one program can have it.

mod discover;
mod firmware;
mod format;
mod identify;
mod list;
mod log;
mod passthru;
mod perf;

use crate::cli::{NvmeCommand, Reach, ResetArgs};
use crate::status::say;
use doorbell_backends::host_name;
use doorbell_mem::{Backing, HugeSize, PoolSpec};
use doorbell_nvme::address::TransportId;
use doorbell_nvme::{Answer, CommandError, Controller, Env, NvmeError, Options, Payload, TcpOffer, TcpOptions};
use doorbell_pci::{FunctionAddress, OpenOptions};
use doorbell_reactor::{Config, oneshot, run};
use doorbell_sys::helper::Helpers;
use doorbell_wire_nvme::Sqe;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// With the controller.
    #[error(transparent)]
    Nvme(#[from] NvmeError),
    /// With a command.
    #[error("{what}: {source}")]
    Command {
        /// Which command.
        what: &'static str,
        /// How it ended.
        source: CommandError,
    },
    /// Something else, in words.
    #[error("{0}")]
    Words(String),
}

fn words(what: impl std::fmt::Display) -> Failed {
    Failed::Words(what.to_string())
}

/// Does it. False when the command that was sent failed, which was said.
pub(crate) fn nvme(command: NvmeCommand) -> Result<bool, Failed> {
    match command {
        NvmeCommand::List(args) => {
            list::list(&args);
            Ok(true)
        }
        NvmeCommand::Identify(args) => identify::identify(&args).map(|()| true),
        NvmeCommand::Discover(args) => discover::discover(&args).map(|()| true),
        NvmeCommand::Log(args) => log::log(&args).map(|()| true),
        NvmeCommand::Reset(args) => reset(&args).map(|()| true),
        NvmeCommand::Format(args) => format::format(args).map(|()| true),
        NvmeCommand::Firmware(args) => firmware::firmware(args).map(|()| true),
        NvmeCommand::Perf(args) => perf::perf(*args),
        NvmeCommand::Passthru(args) => passthru::passthru(*args),
    }
}

/// How long a Connect command may take.
const CONNECT_MS: u32 = 10_000;

/// Attaches a controller, has `work` done with it, and lets it go.
fn with<T: 'static>(reach: &Reach, work: impl AsyncFnOnce(&Controller) -> Result<T, Failed> + 'static) -> Result<T, Failed> {
    let helpers = Helpers::new(1).map_err(|e| words(format!("threads cannot be started: {e}")))?;
    let config = Config { pool: PoolSpec { backing: backing(reach), ..PoolSpec::default() }, ..Config::default() };
    let (regions, reach) = (config.regions.clone(), reach.clone());
    let (done, closed) = run(&config, |local| async move {
        let env = Env { local, regions, helpers };
        let controller = attach(&env, &reach, Options::default()).await?;
        let done = work(&controller).await;
        controller.detach().await;
        done
    })
    .map_err(words)?;
    let lost: u32 = closed.iter().map(|c| c.boxes_out).sum();
    if lost > 0 {
        return Err(words(format!("{lost} requests were lost: a bug, please report it")));
    }
    done
}

/// Memory for a controller. Without an IOMMU a device needs memory that never moves: huge pages.
pub(crate) fn backing(reach: &Reach) -> Backing {
    if reach.allow_physical { Backing::Huge(HugeSize::TwoMiB) } else { Backing::Ordinary }
}

/// Attaches a controller.
pub(crate) async fn attach(env: &Env, reach: &Reach, options: Options) -> Result<Controller, Failed> {
    let function = match &reach.controller {
        TransportId::Pcie { address } => FunctionAddress::Pci(address.parse().map_err(words)?),
        TransportId::VfioUser { folder } => FunctionAddress::VfioUser(folder.into()),
        TransportId::Tcp(address) => {
            let how = TcpOptions {
                host: host_name(address.host.clone(), crate::serve::random_bytes()),
                offer: TcpOffer { header_digest: reach.hdgst, data_digest: reach.ddgst, hpda: 0 },
                flow_control: true,
                connect_timeout_ms: CONNECT_MS,
            };
            let name = format!("{}:{}", address.address, address.service);
            return Ok(Controller::connect(env, &name, address.clone(), how, options).await?);
        }
    };
    if reach.hdgst || reach.ddgst {
        return Err(words("--hdgst and --ddgst mean something over TCP only"));
    }
    let open = OpenOptions { allow_physical: reach.allow_physical, ..OpenOptions::default() };
    let (name, (tx, rx)) = (function.to_string(), oneshot());
    let job = Box::new(move || tx.send(doorbell_pci::open(&function, &open)));
    if env.helpers.call(job).is_err() {
        return Err(words("the helper thread has ended"));
    }
    let opened = rx.await.map_err(words)?.map_err(NvmeError::from)?;
    Ok(Controller::attach(env, &name, opened, options).await?)
}

/// A command that must succeed.
async fn demand(controller: &Controller, what: &'static str, sqe: Sqe, payload: Payload) -> Result<Answer, Failed> {
    let answer = controller.admin(sqe, payload).await.map_err(|source| Failed::Command { what, source })?;
    match answer.cqe.status() {
        status if status.is_ok() => Ok(answer),
        status => Err(Failed::Command { what, source: CommandError::Status(status) }),
    }
}

fn reset(args: &ResetArgs) -> Result<(), Failed> {
    let whole = args.subsystem;
    with(&args.reach, async move |controller: &Controller| match whole {
        true => Ok(controller.reset_subsystem().await?),
        false => Ok(controller.reset().await?),
    })?;
    let what = if whole { "its subsystem is reset" } else { "reset" };
    say(format!("{}: {what}, and ready again", args.reach.controller));
    Ok(())
}
