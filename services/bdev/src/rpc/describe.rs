//! A block device, as clients see it.

use crate::{Bdev, ClaimKind, LimitKind};
use doorbell_block::{Guard, Metadata, Op, ProtectionType};
use serde_json::{Map, Value, json};

const MIB: u64 = 1 << 20;

pub(crate) fn bdev(b: &Bdev) -> Value {
    let info = b.info();
    let p = info.preferred;
    let uuid = b.uuid();
    let mut aliases = b.aliases();
    if !uuid.is_nil() && b.name() != uuid.to_string() && aliases.is_empty() {
        aliases.push(uuid.to_string()); // as SPDK lists it where a device has no name of another kind
    }
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| drop(o.insert(key.to_owned(), value));
    put("name", b.name().into());
    put("aliases", aliases.into());
    put("product_name", b.product().into());
    put("block_size", info.block_size().into());
    put("num_blocks", info.blocks.into());
    put("preferred_write_alignment", p.write_alignment.into());
    put("preferred_write_granularity", p.write_granularity.into());
    put("optimal_write_size", p.write_size.into());
    put("preferred_unmap_alignment", p.unmap_alignment.into());
    put("preferred_unmap_granularity", p.unmap_granularity.into());
    put("uuid", uuid.to_string().into());
    put("numa_id", (-1).into());
    describe_metadata(info.metadata, &mut put);
    put(
        "assigned_rate_limits",
        json!({
            "rw_ios_per_sec": b.limit(LimitKind::ReadWriteIos),
            "rw_mbytes_per_sec": b.limit(LimitKind::ReadWriteBytes) / MIB,
            "r_mbytes_per_sec": b.limit(LimitKind::ReadBytes) / MIB,
            "w_mbytes_per_sec": b.limit(LimitKind::WriteBytes) / MIB,
        }),
    );
    if b.timeout_ns() > 0 {
        put("timeout_us", (b.timeout_ns() / 1000).into());
    }
    let claim = b.claimed_by();
    put("claimed", claim.is_some().into());
    if let Some((kind, _)) = claim {
        let name = match kind {
            ClaimKind::ExclusiveWrite => "exclusive_write",
            ClaimKind::ReadManyWriteOne => "read_many_write_one",
            ClaimKind::ReadManyWriteNone => "read_many_write_none",
            ClaimKind::ReadManyWriteShared { .. } => "read_many_write_shared",
        };
        put("claim_type", name.into());
    }
    put("zoned", info.zones.is_some().into());
    if let Some(zones) = info.zones {
        put("zone_size", zones.blocks.into());
        put("max_open_zones", zones.max_open.into());
        put("optimal_open_zones", zones.max_open.into());
    }
    let has = |op| info.ops.has(op);
    let writes = !info.read_only;
    put(
        "supported_io_types",
        json!({
            "read": has(Op::Read), "write": has(Op::Write) && writes, "unmap": has(Op::Unmap) && writes, "flush": has(Op::Flush),
            "reset": has(Op::Reset), "nvme_admin": false, "nvme_io": false, "nvme_io_md": false, "write_zeroes": has(Op::WriteZeroes),
            "zcopy": false, "get_zone_info": has(Op::ZoneReport),
            "zone_management": has(Op::ZoneReset) && writes, "zone_append": has(Op::ZoneAppend) && writes,
            "compare": has(Op::Compare),
            "compare_and_write": has(Op::CompareAndWrite), "abort": true, "seek_hole": has(Op::SeekHole), "seek_data": has(Op::SeekData),
            "copy": has(Op::Copy), "nvme_iov_md": false, "nvme_nssr": false, "write_uncorrectable": has(Op::WriteUncorrectable) && writes,
        }),
    );
    put("driver_specific", b.driver_specific());
    Value::Object(o)
}

/// Metadata, as SPDK writes it of a device that has some. What it calls enabled is checked of a request that does not say otherwise.
fn describe_metadata(metadata: Option<Metadata>, put: &mut impl FnMut(&str, Value)) {
    let Some(metadata) = metadata else { return };
    put("md_size", metadata.bytes.into());
    put("md_interleave", metadata.interleaved.into());
    put("dif_type", metadata.protection.map_or(0, |p| p.kind as u8).into());
    let Some(protection) = metadata.protection else { return };
    put("dif_is_head_of_md", protection.first.into());
    let reference = protection.kind != ProtectionType::Three;
    put("enabled_dif_check_types", json!({ "reftag": reference, "apptag": false, "guard": true }));
    let format = match protection.guard {
        Guard::Crc16 => 0,
        Guard::Crc32c => 1,
        Guard::Crc64 => 2,
    };
    put("dif_pi_format", format.into());
}
