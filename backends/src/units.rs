//! Sizes as the interface gives them, checked as SPDK checks them.

use doorbell_control::RpcError;

/// Blocks of `block_size` bytes as a power of two. Anything else has no place in the block layer.
pub(crate) fn shift(block_size: u32) -> Result<u8, RpcError> {
    if !block_size.is_power_of_two() || !(512..=1 << 20).contains(&block_size) {
        return Err(RpcError::invalid_argument().because(format!("block_size {block_size}: it must be a power of two from 512 to 1048576")));
    }
    Ok(block_size.trailing_zeros() as u8)
}

/// At least one block, and an end that can be said in bytes.
pub(crate) fn blocks(num_blocks: u64, shift: u8) -> Result<u64, RpcError> {
    match num_blocks {
        0 => Err(RpcError::invalid_argument().because("num_blocks must be greater than 0")),
        n if n > i64::MAX as u64 >> shift => Err(RpcError::invalid_argument().because(format!("{n} blocks are more than 2^63 bytes"))),
        n => Ok(n),
    }
}

/// A physical block holds whole blocks; a block when not given.
pub(crate) fn physical(given: Option<u32>, block_size: u32) -> Result<u32, RpcError> {
    match given.unwrap_or(0) {
        0 => Ok(block_size),
        n if n.is_power_of_two() && n >= 512 => Ok(n),
        n => Err(RpcError::invalid_argument().because(format!("physical_block_size {n}: it must be a power of two of 512 or more"))),
    }
}

/// Metadata and protection information: not offered, so anything but none is refused.
pub(crate) fn no_metadata(md_size: u32, dif_type: i32) -> Result<(), RpcError> {
    if md_size != 0 || dif_type != 0 {
        return Err(RpcError::not_supported().because("blocks with metadata or protection information: leave md_size and dif_type at 0"));
    }
    Ok(())
}
