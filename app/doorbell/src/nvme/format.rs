//! `doorbell nvme format`: a namespace with other blocks, or erased. What it held is lost, so it is done only when that was said.

use super::{Failed, demand, say, with, words};
use crate::cli::{Erase, FormatArgs};
use crate::size::Size;
use doorbell_nvme::{Controller, Identity, Payload};
use doorbell_wire_nvme::identify::{Flbas, Fna, Namespace};
use doorbell_wire_nvme::{AdminCommand, Cns, FormatNvm, Identify, NSID_ALL, SecureErase, view};

#[cfg(test)]
mod tests;

pub(super) fn format(args: FormatArgs) -> Result<(), Failed> {
    let reach = args.reach.clone();
    let done = with(&reach, async move |controller: &Controller| {
        let identity = controller.identity().ok_or_else(|| words("the controller was not identified"))?;
        let before = namespace(controller, args.nsid).await?;
        let plan = plan(&args, &identity, &before)?;
        if !args.yes {
            return Err(words(format!("{} Nothing was done: add --yes if that is meant", plan.loses)));
        }
        controller.format(args.nsid, plan.command).await?;
        let after = namespace(controller, args.nsid).await?;
        let bytes = after.block_len().ok_or_else(|| words("it was formatted, and now has blocks that cannot be used"))?;
        let metadata = match after.format().ms.get() {
            0 => String::new(),
            ms => format!(" and {ms} of metadata"),
        };
        Ok(format!("namespace {}: {} blocks of {bytes} bytes{metadata}", args.nsid, after.nsze.get()))
    })?;
    say(done);
    Ok(())
}

async fn namespace(controller: &Controller, nsid: u32) -> Result<Box<Namespace>, Failed> {
    let identify = Identify { cns: Cns::NAMESPACE, ..Identify::default() };
    let sqe = AdminCommand::Identify(identify).encode().with_nsid(nsid);
    let answer = demand(controller, "Identify Namespace", sqe, Payload::In(4096)).await?;
    view::<Namespace>(&answer.data).map(|namespace| Box::new(namespace.clone())).ok_or_else(|| words("a namespace came cut short"))
}

/// What is to be sent, and what that costs.
#[derive(Debug)]
struct Plan {
    command: FormatNvm,
    loses: String,
}

fn plan(args: &FormatArgs, of: &Identity, namespace: &Namespace) -> Result<Plan, Failed> {
    if !of.oacs().format() {
        return Err(words(format!("{} {} cannot format: it has no Format NVM command", of.model, of.serial)));
    }
    if args.nsid == 0 || args.nsid == NSID_ALL || namespace.nsze.get() == 0 {
        return Err(words(format!("{} {} has no namespace {} to format", of.model, of.serial, args.nsid)));
    }
    let fna = Fna::from_bits(of.raw.fna);
    let erase = match args.erase {
        Erase::None => SecureErase::None,
        Erase::Data => SecureErase::UserData,
        Erase::Crypto if fna.crypto_erase() => SecureErase::Cryptographic,
        Erase::Crypto => return Err(words("it has no cryptographic erase: choose --erase data")),
    };
    let index = index(args, namespace)?;
    let metadata = namespace.lbaf.get(usize::from(index)).map_or(0, |format| format.ms.get());
    if metadata == 0 && (args.protection.is_some_and(|kind| kind != 0) || args.extended == Some(true)) {
        return Err(words("--protection and --extended are about metadata, and this format has none"));
    }
    // What is not said stays as it is while the format stays.
    let stays = metadata > 0 && usize::from(index) == namespace.format_index();
    let now = if stays { namespace.dps } else { 0 };
    let extended = args.extended.unwrap_or(stays && Flbas::from_bits(namespace.flbas).extended_metadata());
    let (protection, protection_first) = (args.protection.unwrap_or(now & 7), now & 8 != 0);
    let all = fna.format_all() || (erase != SecureErase::None && fna.erase_all());
    let block = u64::from(namespace.block_len().unwrap_or(0));
    let which = if all { "ALL namespaces".to_owned() } else { format!("namespace {}", args.nsid) };
    let loses = format!(
        "This loses everything on {which} of {} {} ({} of {} in use on namespace {}).",
        of.model,
        of.serial,
        Size(namespace.nuse.get().saturating_mul(block)),
        Size(namespace.nsze.get().saturating_mul(block)),
        args.nsid
    );
    let command =
        FormatNvm { format: index, extended_metadata: extended, protection, protection_first: protection != 0 && protection_first, erase };
    Ok(Plan { command, loses })
}

/// The format that is meant: by number, by the size of its blocks (without metadata, the fastest first), or the one that it has.
fn index(args: &FormatArgs, namespace: &Namespace) -> Result<u8, Failed> {
    let last = usize::from(namespace.nlbaf) + usize::from(namespace.nulbaf);
    let mut there = namespace.lbaf.iter().zip(0u8..).take(last + 1).filter(|(format, _)| (9..32).contains(&format.lbads));
    let found = match (args.format, args.block_size) {
        (Some(number), _) => there.find(|(_, at)| *at == number),
        (None, Some(bytes)) => {
            there.filter(|(format, _)| 1u32 << format.lbads == bytes && format.ms.get() == 0).min_by_key(|(format, _)| format.rp & 3)
        }
        (None, None) => return u8::try_from(namespace.format_index()).map_err(words),
    };
    let none =
        || words(format!("there is no such format: `doorbell nvme identify '{}' --nsid {}` lists them", args.reach.controller, args.nsid));
    found.map(|(_, at)| at).ok_or_else(none)
}
