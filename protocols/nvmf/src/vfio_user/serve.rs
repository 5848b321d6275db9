//! What a client's messages do.

use super::client::Client;
use super::message::Message;
use crate::pcie::{FileKey, Function, Later, MapError, Place, Span, Write, bar};
use doorbell_block::Cx;
use doorbell_mem::{Foreign, Reach};
use doorbell_sys::passed::{Bell, mappable};
use doorbell_wire_vfio_user::*;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of one range of memory at most.
const RANGE_MAX: u64 = 8 << 40;
const PAGE: u64 = 4096;

/// A message that waits for the function to be still.
pub(super) struct Held {
    header: Header,
    what: Waits,
}

enum Waits {
    /// Memory goes: this range, or all; and how the reply is.
    Unmap(Option<Span>, DmaUnmap),
    /// A write does what it does.
    Write(RegionAccess, Later),
    /// The device is reset.
    Reset,
}

/// What became of a message.
pub(super) enum Served {
    /// It is answered, if its sender wanted that.
    Yes,
    /// It waits for stillness; commands under way are asked back if `abort`.
    Waits {
        /// Are they?
        abort: bool,
    },
}

/// How a message is answered: bytes of the body and perhaps a descriptor, which the caller looks for; or an error.
enum Outcome {
    Body(Vec<u8>),
    /// With the file of the doorbells.
    Doorbells(Vec<u8>),
    Held(Waits),
}

/// Is the text one that a client may send?
fn is_version_text(text: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return false };
    let fds = value.get("capabilities").and_then(|c| c.get("max_msg_fds"));
    value.is_object() && fds.is_none_or(|n| n.as_u64().is_some_and(|n| n <= 1024))
}

/// What the server can do, as it tells it: no more than any client takes.
fn version_text() -> String {
    let capabilities =
        json!({ "max_msg_fds": 16, "max_data_xfer_size": limit::MAX_DATA_XFER_BYTES, "max_dma_maps": 4096, "pgsizes": PAGE });
    json!({ "capabilities": capabilities }).to_string()
}

/// Answers a version message. `Err`: refused, with this.
pub(super) fn version(client: &mut Client, message: &Message) -> Result<(), u32> {
    let asked = Version::decode(&message.body).map_err(Malformed::errno)?;
    if asked.major != 0 || !message.fds.is_empty() || asked.text.is_some_and(|t| !is_version_text(t)) {
        return Err(errno::EINVAL);
    }
    let text = version_text();
    let ours = Version { minor: asked.minor.min(1), ..Version::ours(text.as_bytes()) };
    client.answer(&message.header, &[&ours.encode_fixed(), text.as_bytes(), &[0]], None);
    Ok(())
}

/// Does what a message asks, or holds it.
pub(super) fn serve(cx: &mut Cx, place: &mut Place<'_>, function: &mut Function, client: &mut Client, message: Message) -> Served {
    let Message { header, body, fds } = message;
    let request = match Request::decode(header.command, &body) {
        Ok(request) => request,
        Err(Malformed::Command) => {
            client.refuse(&header, errno::ENOSYS);
            return Served::Yes;
        }
        Err(bad) => {
            client.refuse(&header, bad.errno());
            return Served::Yes;
        }
    };
    match carry_out(cx, place, function, request, fds) {
        Ok(Outcome::Body(body)) => client.answer(&header, &[&body], None),
        Ok(Outcome::Doorbells(body)) => client.answer(&header, &[&body], function.doorbell_file()),
        Err(error) => client.refuse(&header, error),
        Ok(Outcome::Held(what)) => {
            let abort = matches!(what, Waits::Reset | Waits::Write(_, Later::Reset));
            client.held = Some(Held { header, what });
            return Served::Waits { abort };
        }
    }
    Served::Yes
}

/// The function is still: what waited for that is done and answered.
pub(super) fn release(cx: &mut Cx, place: &mut Place<'_>, function: &mut Function, client: &mut Client, held: &Held) {
    match held.what {
        Waits::Unmap(span, unmap) => {
            function.unmap(place, span);
            client.answer(&held.header, &[&unmap.encode()], None);
        }
        Waits::Write(access, later) => {
            function.settle(cx, place, later);
            client.answer(&held.header, &[&access.encode()], None);
        }
        Waits::Reset => {
            function.settle(cx, place, Later::Reset);
            client.answer(&held.header, &[], None);
        }
    }
}

fn carry_out(cx: &mut Cx, place: &mut Place<'_>, function: &mut Function, request: Request<'_>, fds: Vec<OwnedFd>) -> Result<Outcome, u32> {
    let body = |bytes: &[u8]| Ok(Outcome::Body(bytes.to_vec()));
    match request {
        Request::DmaMap(map) => dma_map(place, function, &map, fds).map(Outcome::Body),
        Request::DmaUnmap(unmap, None) => dma_unmap(function, unmap),
        // Which pages were written is not kept: nobody migrates by this.
        Request::DmaUnmap(_, Some(_)) => Err(errno::ENOTSUP),
        Request::DeviceInfo(_) => {
            let flags = DeviceInfoFlags::RESET.with(DeviceInfoFlags::PCI);
            body(&DeviceInfo { argsz: 16, flags, regions: region::COUNT, irqs: irq::COUNT }.encode())
        }
        Request::RegionInfo(asked) => region_info(function, &asked),
        Request::RegionIoFds(asked) if asked.index < region::COUNT => {
            body(&RegionIoFds { argsz: 16, flags: 0, index: asked.index, count: 0 }.encode())
        }
        Request::IrqInfo(asked) => {
            let count = Function::vectors(asked.index).ok_or(errno::EINVAL)?;
            body(&IrqInfo { argsz: 16, flags: IrqInfoFlags::EVENTFD, index: asked.index, count }.encode())
        }
        Request::SetIrqs(set) => set_irqs(function, &set, fds).map(Outcome::Body),
        Request::RegionRead(access) => {
            if access.count > limit::MAX_DATA_XFER_BYTES || !access.is_within(Function::region_len(access.region)) {
                return Err(errno::EINVAL);
            }
            let mut out = access.encode().to_vec();
            out.resize(RegionAccess::LEN + access.count as usize, 0);
            let data = out.get_mut(RegionAccess::LEN..).unwrap_or_default();
            function.read(place, access.region, access.offset, data)?;
            Ok(Outcome::Body(out))
        }
        Request::RegionWrite(access, data) => match function.write(cx, place, access.region, access.offset, data)? {
            Write::Done => body(&access.encode()),
            Write::Later(later) => Ok(Outcome::Held(Waits::Write(access, later))),
        },
        Request::Reset => Ok(Outcome::Held(Waits::Reset)),
        Request::Feature(..) | Request::MigrationRead(_) | Request::MigrationWrite(..) => Err(errno::ENOTSUP),
        // A second version, the server's own commands, and what was not agreed on.
        Request::Version(_) | Request::DmaRead(_) | Request::DmaWrite(..) | Request::WriteMulti(_) | Request::RegionIoFds(_) => {
            Err(errno::EINVAL)
        }
    }
}

fn region_info(function: &Function, asked: &RegionInfo) -> Result<Outcome, u32> {
    if asked.index >= region::COUNT {
        return Err(errno::EINVAL);
    }
    let size = Function::region_len(asked.index);
    let flags = if size > 0 { RegionInfoFlags::READ.with(RegionInfoFlags::WRITE) } else { RegionInfoFlags::default() };
    let plain = RegionInfo { argsz: 32, flags, index: asked.index, cap_offset: 0, size, offset: 0 };
    if asked.index != region::BAR0 || function.doorbell_file().is_none() {
        return Ok(Outcome::Body(plain.encode().to_vec()));
    }
    let flags = flags.with(RegionInfoFlags::MMAP).with(RegionInfoFlags::CAPS);
    let mut capability = [0; 64];
    let area = Area { offset: bar::DOORBELLS, size: bar::DOORBELLS_LEN };
    let len = SparseMmap::encode(&[area], &mut capability).ok_or(errno::EINVAL)?;
    let argsz = u32::try_from(RegionInfo::LEN + len).map_err(|_| errno::EINVAL)?;
    if asked.argsz < argsz {
        // No room for all of it: the client learns how much there is to ask for.
        return Ok(Outcome::Body(RegionInfo { argsz, flags, ..plain }.encode().to_vec()));
    }
    let info = RegionInfo { argsz, flags, cap_offset: 32, ..plain };
    Ok(Outcome::Doorbells([&info.encode()[..], capability.get(..len).unwrap_or_default()].concat()))
}

fn dma_map(place: &Place<'_>, function: &mut Function, map: &DmaMap, mut fds: Vec<OwnedFd>) -> Result<Vec<u8>, u32> {
    let span = Span { address: map.address, len: map.size };
    if fds.len() > 1 || [map.address, map.size, map.offset].iter().any(|n| n % PAGE != 0) {
        return Err(errno::EINVAL);
    }
    if map.size > RANGE_MAX {
        return Err(errno::ENOSPC);
    }
    let writable = map.flags.has(DmaMapFlags::WRITE);
    let fd = fds.pop();
    let mut file: Option<FileKey> = None;
    if let Some(fd) = &fd {
        let found = mappable(fd.as_fd()).map_err(|_| errno::EINVAL)?;
        if map.offset.checked_add(map.size).is_none_or(|end| end > found.len) || (writable && !found.writable) {
            return Err(errno::EINVAL);
        }
        file = Some((found.file.0, found.file.1, map.offset));
    }
    let new = function.admits(span, file, writable).map_err(|e| match e {
        MapError::Overlap => errno::EEXIST,
        MapError::TooMany => errno::ENOSPC,
    })?;
    if !new {
        return Ok(Vec::new());
    }
    let foreign = match fd {
        // Memory that the client keeps to itself: known, but nothing can be there.
        None => None,
        Some(fd) => {
            let len = usize::try_from(map.size).map_err(|_| errno::ENOSPC)?;
            let may = if writable { Reach::ReadWrite } else { Reach::Read };
            let mapped = Foreign::map_as(place.target.regions(), fd, map.offset, len, may);
            Some(mapped.map_err(|error| {
                tracing::warn!(%error, "memory of a vfio-user client cannot be mapped");
                errno::EINVAL
            })?)
        }
    };
    function.map(span, foreign, file, writable);
    Ok(Vec::new())
}

/// Descriptors that come along are of no use, and closed.
fn dma_unmap(function: &Function, unmap: DmaUnmap) -> Result<Outcome, u32> {
    if unmap.flags.has(DmaUnmapFlags::ALL) {
        return Ok(Outcome::Held(Waits::Unmap(None, unmap)));
    }
    let span = Span { address: unmap.address, len: unmap.size };
    if !function.can_unmap(span) {
        return Err(errno::ENOENT);
    }
    Ok(Outcome::Held(Waits::Unmap(Some(span), unmap)))
}

fn set_irqs(function: &mut Function, set: &SetIrqs<'_>, fds: Vec<OwnedFd>) -> Result<Vec<u8>, u32> {
    let vectors = Function::vectors(set.index).ok_or(errno::EINVAL)?;
    set.check(vectors, fds.len()).map_err(Malformed::errno)?;
    if set.action != IrqAction::Trigger {
        // Masks are the client's business.
        return Ok(Vec::new());
    }
    let all = set.start..set.start + set.count;
    match set.data {
        IrqData::None if set.disables() => function.disable_irqs(set.index),
        IrqData::None => all.for_each(|v| function.fire(set.index, v)),
        IrqData::Bools(which) => all.zip(which).filter(|(_, on)| **on != 0).for_each(|(v, _)| function.fire(set.index, v)),
        IrqData::Events if fds.is_empty() => all.for_each(|v| function.assign(set.index, v, None)),
        IrqData::Events => {
            // All of them or none.
            let bells: Result<Vec<_>, _> = fds.into_iter().map(Bell::new).collect();
            let bells = bells.map_err(|_| errno::EINVAL)?;
            all.zip(bells).for_each(|(v, bell)| function.assign(set.index, v, Some(bell)));
        }
    }
    Ok(Vec::new())
}
