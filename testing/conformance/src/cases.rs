//! The cases, by name. Each gets a fresh device on fresh reactors.

mod beside;
mod change;
mod data;
mod early;
mod edges;
mod emptying;
mod exact;
mod load;
mod looks;
mod zones;

use crate::case::{Case, Env, Running};
use std::rc::Rc;

macro_rules! cases {
    ($($reactors:literal $module:ident :: $name:ident),* $(,)?) => {
        /// Every case, in the order in which they run: what others rest on first.
        pub(crate) const ALL: &[Case] = &[
            $(Case { module: stringify!($module), name: stringify!($name), reactors: $reactors, run: |env: Rc<Env>| -> Running { Box::pin($module::$name(env)) } }),*
        ];
    };
}

cases! {
    1 looks::info,
    1 looks::open_and_leave,
    1 looks::claimed_operations,
    1 looks::unclaimed_operations,
    1 looks::read_only,
    1 edges::first_and_last_block,
    1 edges::out_of_range,
    1 edges::zero_blocks,
    1 edges::payload_length,
    1 edges::beyond_limits,
    1 data::segments,
    1 data::misaligned_segments,
    1 data::flush,
    1 data::fua,
    1 beside::metadata,
    1 beside::metadata_of_the_wrong_length,
    1 emptying::write_zeroes,
    1 emptying::unmap,
    1 emptying::seek,
    1 exact::compare,
    1 exact::compare_and_write,
    1 exact::compare_and_write_is_atomic,
    1 exact::copy,
    1 exact::copy_onto_itself,
    1 early::abort_one,
    1 early::abort_all,
    1 early::reset,
    1 early::leave_with_requests_out,
    1 early::beyond_depth,
    1 early::rests_when_idle,
    1 load::integrity_depth_1,
    1 load::integrity_depth_8,
    1 load::integrity_depth_64,
    1 load::scarce_boxes_and_buffers,
    1 load::two_queues,
    3 load::several_reactors,
    1 change::resized_under_load,
    1 change::removed_under_load,
    1 zones::zone_report,
    1 zones::zone_write_pointer,
    1 zones::zone_append,
    1 zones::zone_states,
    1 zones::zone_limits,
}
