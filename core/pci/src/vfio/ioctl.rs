//! VFIO's calls. Numbers and constants are the kernel's (`linux/vfio.h`); structures are put together and taken apart as bytes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use vfio_bindings::bindings::vfio as v;

/// `_IO(VFIO_TYPE, VFIO_BASE + n)`.
const fn call(n: u32) -> libc::c_ulong {
    ((v::VFIO_TYPE as u32) << 8 | (v::VFIO_BASE + n)) as libc::c_ulong
}

const GET_API_VERSION: libc::c_ulong = call(0);
const CHECK_EXTENSION: libc::c_ulong = call(1);
const SET_IOMMU: libc::c_ulong = call(2);
const GROUP_GET_STATUS: libc::c_ulong = call(3);
const GROUP_SET_CONTAINER: libc::c_ulong = call(4);
const GROUP_UNSET_CONTAINER: libc::c_ulong = call(5);
const GROUP_GET_DEVICE_FD: libc::c_ulong = call(6);
const DEVICE_GET_INFO: libc::c_ulong = call(7);
const DEVICE_GET_REGION_INFO: libc::c_ulong = call(8);
const DEVICE_GET_IRQ_INFO: libc::c_ulong = call(9);
const DEVICE_SET_IRQS: libc::c_ulong = call(10);
const DEVICE_RESET: libc::c_ulong = call(11);
const IOMMU_GET_INFO: libc::c_ulong = call(12);
const IOMMU_MAP_DMA: libc::c_ulong = call(13);
const IOMMU_UNMAP_DMA: libc::c_ulong = call(14);

/// What the kernel's answers are believed to need at most.
const ANSWER_MAX: usize = 1 << 16;

fn outcome(rc: libc::c_int) -> io::Result<u32> {
    u32::try_from(rc).map_err(|_| io::Error::last_os_error())
}

/// A call whose argument is a number.
fn with_number(fd: BorrowedFd<'_>, what: libc::c_ulong, number: u32) -> io::Result<u32> {
    // SAFETY: these calls take a number and touch no memory of ours.
    outcome(unsafe { libc::ioctl(fd.as_raw_fd(), what as _, libc::c_ulong::from(number)) })
}

/// A call whose argument is a structure that says its own length in its first word, and that the kernel fills no further than that.
fn with_words(fd: BorrowedFd<'_>, what: libc::c_ulong, words: &mut [u64]) -> io::Result<u32> {
    debug_assert!(words.first().is_some_and(|first| (*first as u32) as usize <= words.len() * 8), "the length is inside");
    // SAFETY: the structure lies in `words`, is aligned, and the kernel keeps to the length in its first word, which is inside of them.
    outcome(unsafe { libc::ioctl(fd.as_raw_fd(), what as _, words.as_mut_ptr()) })
}

/// Puts 32-bit fields into words.
fn pack(fields: &[u32]) -> Vec<u64> {
    let pair = |pair: &[u32]| u64::from(pair.first().copied().unwrap_or(0)) | u64::from(pair.get(1).copied().unwrap_or(0)) << 32;
    fields.chunks(2).map(pair).collect()
}

fn unpack(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Asks for a structure that may be longer than its fixed part: once to learn how long, once more if it is.
fn ask(fd: BorrowedFd<'_>, what: libc::c_ulong, fixed: &[u32]) -> io::Result<Vec<u8>> {
    let mut words = pack(fixed);
    with_words(fd, what, &mut words)?;
    let wanted = words.first().map_or(0, |first| *first as u32) as usize;
    if wanted > words.len() * 8 && wanted <= ANSWER_MAX {
        let mut again = fixed.to_vec();
        if let Some(first) = again.first_mut() {
            *first = wanted as u32;
        }
        words = pack(&again);
        words.resize(wanted.div_ceil(8), 0);
        with_words(fd, what, &mut words)?;
    }
    Ok(unpack(&words))
}

/// Does the kernel speak the only version there is?
pub(super) fn api_version(container: BorrowedFd<'_>) -> io::Result<u32> {
    with_number(container, GET_API_VERSION, 0)
}

pub(super) fn has_extension(container: BorrowedFd<'_>, extension: u32) -> bool {
    with_number(container, CHECK_EXTENSION, extension).is_ok_and(|has| has > 0)
}

pub(super) fn set_iommu(container: BorrowedFd<'_>, kind: u32) -> io::Result<()> {
    with_number(container, SET_IOMMU, kind).map(drop)
}

/// Can the group's functions be used: are they all with drivers that hand them out?
pub(super) fn is_viable(group: BorrowedFd<'_>) -> io::Result<bool> {
    let mut words = pack(&[8, 0]);
    with_words(group, GROUP_GET_STATUS, &mut words)?;
    let flags = words.first().map_or(0, |word| (word >> 32) as u32);
    Ok(flags & v::VFIO_GROUP_FLAGS_VIABLE != 0)
}

pub(super) fn join(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> io::Result<()> {
    let number: libc::c_int = container.as_raw_fd();
    // SAFETY: the call reads one number, which outlives it.
    outcome(unsafe { libc::ioctl(group.as_raw_fd(), GROUP_SET_CONTAINER as _, &raw const number) }).map(drop)
}

pub(super) fn part(group: BorrowedFd<'_>) -> io::Result<()> {
    with_number(group, GROUP_UNSET_CONTAINER, 0).map(drop)
}

/// A function's own descriptor.
pub(super) fn device(group: BorrowedFd<'_>, address: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the call reads a string that ends with a zero.
    let fd = outcome(unsafe { libc::ioctl(group.as_raw_fd(), GROUP_GET_DEVICE_FD as _, address.as_ptr()) })?;
    // SAFETY: a descriptor that was just made, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) })
}

/// Flags of the device.
pub(super) fn device_flags(device: BorrowedFd<'_>) -> io::Result<u32> {
    // Flags, number of regions, of interrupts; up to where capabilities would be.
    let mut words = pack(&[16, 0, 0, 0]);
    with_words(device, DEVICE_GET_INFO, &mut words)?;
    Ok(words.first().map_or(0, |word| (word >> 32) as u32))
}

/// A region, with its capabilities: the same bytes as vfio-user's.
pub(super) fn region(device: BorrowedFd<'_>, index: u32) -> io::Result<Vec<u8>> {
    ask(device, DEVICE_GET_REGION_INFO, &[32, 0, index, 0, 0, 0, 0, 0])
}

/// A kind of interrupt: its flags and how many there are.
pub(super) fn irq(device: BorrowedFd<'_>, index: u32) -> io::Result<(u32, u32)> {
    let mut words = pack(&[16, 0, index, 0]);
    with_words(device, DEVICE_GET_IRQ_INFO, &mut words)?;
    let (first, second) = (words.first().copied().unwrap_or(0), words.get(1).copied().unwrap_or(0));
    Ok(((first >> 32) as u32, (second >> 32) as u32))
}

/// Sets interrupts: `flags` say what, `events` is a descriptor for each, -1 for none. What it gives is 0, or how many there could be.
pub(super) fn set_irqs(device: BorrowedFd<'_>, flags: u32, index: u32, start: u32, count: u32, events: &[i32]) -> io::Result<u32> {
    let len = 20 + events.len() as u32 * 4;
    let mut fields = vec![len, flags, index, start, count];
    fields.extend(events.iter().map(|fd| fd.cast_unsigned()));
    with_words(device, DEVICE_SET_IRQS, &mut pack(&fields))
}

pub(super) fn reset(device: BorrowedFd<'_>) -> io::Result<()> {
    with_number(device, DEVICE_RESET, 0).map(drop)
}

/// What the container's IOMMU says of itself.
pub(super) fn iommu(container: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    ask(container, IOMMU_GET_INFO, &[24, 0, 0, 0, 0, 0])
}

/// Lets the functions of a container read and write `[address, address + len)` of this process at `iova`.
///
/// # Safety
/// The range is a mapping that stays until [`unmap`] has returned, or the container is closed, and that nothing here holds references
/// into while a function may write it.
pub(super) unsafe fn map(container: BorrowedFd<'_>, address: u64, iova: u64, len: u64) -> io::Result<()> {
    let mut words = pack(&[32, v::VFIO_DMA_MAP_FLAG_READ | v::VFIO_DMA_MAP_FLAG_WRITE]);
    words.extend([address, iova, len]);
    with_words(container, IOMMU_MAP_DMA, &mut words).map(drop)
}

pub(super) fn unmap(container: BorrowedFd<'_>, iova: u64, len: u64) -> io::Result<()> {
    let mut words = pack(&[24, 0]);
    words.extend([iova, len]);
    with_words(container, IOMMU_UNMAP_DMA, &mut words).map(drop)
}
