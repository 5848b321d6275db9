//! The machine as a whole: huge pages, the IOMMU, limits.

use super::Sysfs;

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// KiB of each.
    pub kib: u64,
    /// How many are set aside.
    pub total: u64,
    /// How many of them nobody uses or has reserved.
    pub free: u64,
}

/// What taking functions depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Units that translate, by name (`dmar0`, `ivhd0`, `smmu3.0x..`). None: there is no protection from devices.
    pub iommus: Vec<String>,
    /// VFIO may take devices without one.
    pub allows_noiommu: bool,
    /// Huge pages, by size.
    pub huge_pages: Vec<HugePages>,
    /// KiB that this process may lock; `None`: as much as it wants.
    pub memlock_kib: Option<u64>,
}

impl Sysfs {
    /// Looks at it.
    pub fn host(&self) -> Host {
        Host {
            iommus: self.names("/sys/class/iommu"),
            allows_noiommu: self.allows_noiommu(),
            huge_pages: self.huge_pages(),
            memlock_kib: self.memlock_kib(),
        }
    }

    /// Was VFIO told to do without an IOMMU?
    pub(crate) fn allows_noiommu(&self) -> bool {
        self.read("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode").is_some_and(|set| set == "Y" || set == "1")
    }

    fn huge_pages(&self) -> Vec<HugePages> {
        let folder = "/sys/kernel/mm/hugepages";
        let one = |name: String| {
            let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let number = |file: &str| self.read(format!("{folder}/{name}/{file}")).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            let free = number("free_hugepages").saturating_sub(number("resv_hugepages"));
            Some(HugePages { kib, total: number("nr_hugepages"), free })
        };
        let mut all: Vec<HugePages> = self.names(folder).into_iter().filter_map(one).collect();
        all.sort_by_key(|pages| pages.kib);
        all
    }

    fn memlock_kib(&self) -> Option<u64> {
        let limits = self.read("/proc/self/limits")?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|bytes| bytes / 1024)
    }
}
