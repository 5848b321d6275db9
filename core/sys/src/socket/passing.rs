//! Descriptors that travel with the bytes of a Unix stream.
//!
//! They belong to the first byte that they were sent with; a receive ends before bytes that came with others. Whoever receives more than it
//! expects drops them, which closes them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg,
    sendmsg,
};

use super::stream::{lost, received};
use super::{Closed, Recv, Sent, Stream};

/// Descriptors that the kernel passes with one message at most.
pub const PASSED_MAX: usize = 253;

impl Stream {
    /// As [`Stream::recv`], and appends the descriptors that came along. All of them: none is ever left over in the kernel.
    pub fn recv_passed(&self, into: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<Recv> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
        let room = into.len();
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let taken = recvmsg(self, &mut [IoSliceMut::new(into)], &mut control, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT);
            match taken {
                Ok(got) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(passed) = message {
                            fds.extend(passed);
                        }
                    }
                    // Out of descriptors: what came is incomplete, and nobody can say which are missing.
                    if got.flags.contains(ReturnFlags::CTRUNC) {
                        return Err(Errno::MFILE.into());
                    }
                    return Ok(if got.bytes == 0 && room > 0 { Recv::Closed(Closed::Orderly) } else { Recv::Bytes(got.bytes) });
                }
                Err(Errno::INTR) => {}
                Err(error) => return received(error),
            }
        }
    }

    /// As [`Stream::send`], with descriptors. They go with the first byte, so when fewer bytes are taken the rest goes without them.
    pub fn send_passing(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Sent> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                return Err(Errno::TOOMANYREFS.into());
            }
            match sendmsg(self, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => return Ok(Sent::Bytes(sent)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Sent::WouldBlock),
                Err(error) => return lost(error).map(Sent::Closed),
            }
        }
    }
}
