//! Containers and groups: who may reach which memory.

use super::{ioctl, ranges};
use crate::sysfs::{Group as GroupId, Sysfs};
use crate::{Domain, IovaRange, Mapper, PciAddress, PciError};
use doorbell_mem::Region;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use vfio_bindings::bindings::vfio as v;

/// Groups that are open, of which each can be once; and by them the containers.
static GROUPS: Mutex<Vec<Weak<Group>>> = Mutex::new(Vec::new());

/// A group that this process has open.
pub(super) struct Group {
    id: GroupId,
    fd: File,
    pub(super) container: Arc<Container>,
}

/// A table of I/O addresses.
pub(super) struct Container {
    fd: Arc<OwnedFd>,
    /// What was usable when it was made. Groups that would narrow it stay out.
    usable: Vec<IovaRange>,
    pub(super) domain: Arc<Domain>,
}

/// Maps regions in a container.
struct Table {
    fd: Arc<OwnedFd>,
}

impl Mapper for Table {
    fn map(&self, region: &Region, iova: u64) -> Result<(), PciError> {
        // SAFETY: a region stays mapped until it has left its observers, and is reached through segments only: bytes of a buffer are lent to
        // its sole owner, while no device was told of it.
        let done = unsafe { ioctl::map(self.fd.as_fd(), region.base().addr() as u64, iova, region.len() as u64) };
        done.map_err(|error| refused(&error, region.len()))
    }

    fn unmap(&self, iova: u64, len: u64) -> bool {
        // Refused only when the container's last group has gone, and with it all that was mapped.
        let _ = ioctl::unmap(self.fd.as_fd(), iova, len);
        true
    }
}

/// Why memory could not be mapped, in words.
fn refused(error: &io::Error, bytes: usize) -> PciError {
    let why = match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            let limit = limit_kib().map_or_else(|| "none".to_owned(), |kib| format!("{kib} KiB"));
            format!(
                "{bytes} bytes cannot be locked for DMA: the limit on locked memory is {limit}, and what a drive reaches counts beside what \
                 is locked already. Raise it with `ulimit -l`, LimitMEMLOCK= in the unit file, or `doorbell pci bind --user NAME --persist`"
            )
        }
        Some(libc::ENOSPC) => {
            "the kernel maps no more pieces of memory for devices (vfio_iommu_type1.dma_entry_limit): use huge pages, or \
                               fewer pools"
                .to_owned()
        }
        _ => format!("the kernel does not map {bytes} bytes for DMA: {error}"),
    };
    PciError::unusable("VFIO", why)
}

fn limit_kib() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure of ours.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (rc == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur / 1024)
}

fn alive(groups: &mut Vec<Weak<Group>>) -> Vec<Arc<Group>> {
    groups.retain(|group| group.strong_count() > 0);
    groups.iter().filter_map(Weak::upgrade).collect()
}

/// The group of a function, in a container.
pub(super) fn enter(address: PciAddress, id: &GroupId) -> Result<Arc<Group>, PciError> {
    let name = address.to_string();
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let others = alive(&mut groups);
    if let Some(own) = others.iter().find(|group| group.id == *id) {
        return Ok(own.clone());
    }
    let fd = open(&name, id)?;
    if !ioctl::is_viable(fd.as_fd()).map_err(|e| PciError::system(&name, "look at its IOMMU group", e))? {
        return Err(PciError::unusable(&name, not_viable(address)));
    }
    let shared = if id.is_noiommu { None } else { others.iter().find_map(|other| share(&fd, &other.container)) };
    let container = match shared {
        Some(container) => container,
        None => Container::new(&name, &fd, id)?,
    };
    let group = Arc::new(Group { id: id.clone(), fd, container });
    groups.push(Arc::downgrade(&group));
    Ok(group)
}

fn open(name: &str, id: &GroupId) -> Result<File, PciError> {
    let node = id.node();
    let shown = node.display();
    OpenOptions::new().read(true).write(true).open(&node).map_err(|error| match error.raw_os_error() {
        Some(libc::EBUSY) => {
            let why = format!("another program has its group open ({shown}): `doorbell pci status` says which");
            PciError::unusable(name, why)
        }
        Some(libc::EACCES | libc::EPERM) if !id.is_noiommu => {
            let why = format!("you may not open {shown}: as root, `doorbell pci bind {name} --user NAME` hands it to a user");
            PciError::unusable(name, why)
        }
        Some(libc::EACCES | libc::EPERM) => PciError::unusable(name, format!("you may not open {shown}: without an IOMMU only root may")),
        Some(libc::ENOENT) => {
            let why = format!("there is no {shown}, so nobody took it for VFIO: as root, `doorbell pci bind {name}`");
            PciError::unusable(name, why)
        }
        _ => PciError::system(name, "open its IOMMU group", error),
    })
}

fn not_viable(address: PciAddress) -> String {
    let sysfs = Sysfs::new();
    let others = sysfs.device(address).map(|device| sysfs.in_the_way(&device, crate::sysfs::Driver::VfioPci)).unwrap_or_default();
    let named: Vec<String> =
        others.iter().map(|d| format!("{} ({}, with {})", d.address, d.kind(), d.driver.as_deref().unwrap_or("no driver"))).collect();
    format!(
        "the IOMMU cannot tell it from its neighbours, which are still with the kernel's drivers: {}. Take them too with `doorbell pci bind`, \
         or put the card into another slot",
        if named.is_empty() { "see `doorbell pci list --all`".to_owned() } else { named.join(", ") }
    )
}

/// Joins another group's container, if nothing changes for those who are in it.
fn share(group: &File, container: &Arc<Container>) -> Option<Arc<Container>> {
    if container.domain.is_physical() {
        return None;
    }
    ioctl::join(group.as_fd(), container.fd.as_fd()).ok()?;
    let same = ioctl::iommu(container.fd.as_fd()).is_ok_and(|answer| ranges::usable(&answer) == container.usable);
    if same {
        return Some(container.clone());
    }
    // Nothing of the group is open yet, so it can leave.
    ioctl::part(group.as_fd()).ok()?;
    None
}

impl Container {
    fn new(name: &str, group: &File, id: &GroupId) -> Result<Arc<Container>, PciError> {
        let node = OpenOptions::new().read(true).write(true).open("/dev/vfio/vfio");
        let fd: OwnedFd = node.map_err(|e| PciError::system(name, "open /dev/vfio/vfio", e))?.into();
        let version = ioctl::api_version(fd.as_fd()).map_err(|e| PciError::system(name, "ask VFIO for its version", e))?;
        if version != v::VFIO_API_VERSION {
            return Err(PciError::unusable(name, format!("the kernel's VFIO is version {version}, which is not known here")));
        }
        let kinds: &[u32] = if id.is_noiommu { &[v::VFIO_NOIOMMU_IOMMU] } else { &[v::VFIO_TYPE1v2_IOMMU, v::VFIO_TYPE1_IOMMU] };
        let Some(kind) = kinds.iter().copied().find(|kind| ioctl::has_extension(fd.as_fd(), *kind)) else {
            return Err(PciError::unusable(name, "the kernel's VFIO has no type 1 IOMMU: `modprobe vfio_iommu_type1` as root"));
        };
        ioctl::join(group.as_fd(), fd.as_fd()).map_err(|e| PciError::system(name, "put its group into a container", e))?;
        ioctl::set_iommu(fd.as_fd(), kind).map_err(|e| PciError::system(name, "choose the container's IOMMU", e))?;
        let fd = Arc::new(fd);
        if id.is_noiommu {
            let domain = Arc::new(Domain::physical(name, crate::physical::look_up(name)));
            return Ok(Arc::new(Container { fd, usable: Vec::new(), domain }));
        }
        let answer = ioctl::iommu(fd.as_fd()).map_err(|e| PciError::system(name, "ask for the IOMMU's addresses", e))?;
        let usable = ranges::usable(&answer);
        let domain = Arc::new(Domain::mapped(name, &usable, Box::new(Table { fd: fd.clone() })));
        Ok(Arc::new(Container { fd, usable, domain }))
    }
}

impl Group {
    /// The function's own descriptor.
    pub(super) fn device(&self, address: PciAddress) -> Result<OwnedFd, PciError> {
        let name = address.to_string();
        let text = std::ffi::CString::new(name.as_str()).map_err(|_| PciError::unusable(&name, "no address"))?;
        ioctl::device(self.fd.as_fd(), &text).map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM) => PciError::unusable(&name, "without an IOMMU only root may use it (CAP_SYS_RAWIO)"),
            _ => PciError::system(&name, "open it by VFIO", error),
        })
    }
}
