//! The socket as the engine sees it, so that a test or a simulation may be one.

use doorbell_block::{Cx, Events, Token};
use doorbell_mem::SgList;
use doorbell_sys::epoll::Interest;
use doorbell_sys::socket::{Recv, SendPart, Sent, Stream};
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;

/// A connected, non-blocking stream of bytes.
pub trait Wire {
    /// Takes what has arrived, as much as fits.
    fn recv(&mut self, into: &mut [u8]) -> io::Result<Recv>;

    /// Takes what has arrived into `len` bytes at `offset` of `sg`, then into `tail`.
    fn recv_into(&mut self, sg: &SgList, offset: u32, len: u32, tail: &mut [u8]) -> io::Result<Recv>;

    /// Sends the parts in order.
    fn send(&mut self, parts: &[SendPart<'_>]) -> io::Result<Sent>;

    /// Says that no more will be sent.
    fn finish(&mut self);

    /// From now on `who` is woken when there is something to receive or room to send.
    fn watch(&mut self, cx: &mut Cx, who: Token) -> io::Result<()>;

    /// No longer.
    fn unwatch(&mut self, cx: &mut Cx);

    /// What has become possible since this was last asked.
    #[inline]
    fn events(&mut self, cx: &mut Cx, who: Token) -> Events {
        cx.events(who)
    }
}

impl Wire for Stream {
    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<Recv> {
        Stream::recv(self, into)
    }

    #[inline]
    fn recv_into(&mut self, sg: &SgList, offset: u32, len: u32, tail: &mut [u8]) -> io::Result<Recv> {
        self.recv_vectored(None, sg, offset, len, Some(tail))
    }

    #[inline]
    fn send(&mut self, parts: &[SendPart<'_>]) -> io::Result<Sent> {
        self.send_vectored(parts)
    }

    fn finish(&mut self) {
        // A peer that is gone already needs no telling.
        let _ = self.shutdown(Shutdown::Write);
    }

    fn watch(&mut self, cx: &mut Cx, who: Token) -> io::Result<()> {
        cx.watch(self.as_fd(), who, Interest::BOTH)
    }

    fn unwatch(&mut self, cx: &mut Cx) {
        cx.unwatch(self.as_fd());
    }
}
