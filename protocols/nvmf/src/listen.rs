//! Listening sockets: on the first reactor's executor, shared by the subsystems that listen at one address.

use crate::target::{Incoming, Target, TargetError};
use crate::tcp::LogLimit;
use crate::{Listener as Listens, Snapshot};
use doorbell_reactor::{Local, Receiver, Sender, oneshot};
use doorbell_sys::epoll::Interest;
use doorbell_sys::socket::Listener;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;

/// A socket that listens, and for how many subsystems. Dropping it stops it.
pub(crate) struct ListenPoint {
    pub(crate) bound: SocketAddr,
    users: u32,
    _stop: Sender<()>,
}

impl ListenPoint {
    /// One subsystem less. False when that was the last.
    pub(crate) fn release(&mut self) -> bool {
        self.users = self.users.saturating_sub(1);
        self.users > 0
    }
}

/// The turn of one who begins to listen. Its end is the next one's beginning.
struct Turn<'a>(&'a Target);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for waiting in self.0.state().binding.take().into_iter().flatten() {
            waiting.send(());
        }
    }
}

/// Connections that are taken before others on this reactor have their turn.
const AT_ONCE: u32 = 16;
/// Connections that wait to be taken.
const BACKLOG: u16 = 1024;
/// How long accepting pauses when the process has no descriptors left.
const PAUSE_NS: u64 = 100_000_000;

impl Target {
    /// Listens for a subsystem at an address (a number or a name) and port; port 0 takes a free one. Says where. Several subsystems may
    /// listen at one address. To be called on the first reactor.
    pub async fn add_listener(&self, local: &Local, nqn: &str, traddr: &str, trsvcid: &str) -> Result<SocketAddr, TargetError> {
        if self.transport().is_none() {
            return Err(TargetError::NoTransport);
        }
        // The address is found out first, since that may take a while; what follows is done by one caller at a time, so that two who want one
        // address do not both bind it.
        self.known(nqn)?;
        let named = |source| TargetError::Listen { address: format!("{traddr}:{trsvcid}"), source };
        let wanted = resolve(traddr, trsvcid).await.map_err(named)?;
        let _turn = self.turn().await;
        if self.has_listener(nqn, traddr, trsvcid)? {
            return Err(TargetError::ListenerExists(format!("{traddr}:{trsvcid}")));
        }
        let bound = if self.share(wanted) { wanted } else { self.listen(local, wanted).await.map_err(named)? };
        let listener = Listens { traddr: traddr.to_string(), trsvcid: trsvcid.to_string(), bound };
        // The subsystem may have gone meanwhile: then nobody listens for it.
        self.note_listener(nqn, listener).inspect_err(|_| self.release(&mut self.state(), bound))?;
        Ok(bound)
    }

    /// Waits until nobody else begins to listen.
    async fn turn(&self) -> Turn<'_> {
        loop {
            let before = {
                let mut state = self.state();
                match &mut state.binding {
                    None => {
                        state.binding = Some(Vec::new());
                        return Turn(self);
                    }
                    Some(waiting) => {
                        let (tx, rx) = oneshot();
                        waiting.push(tx);
                        rx
                    }
                }
            };
            // An error means that the other one has gone: all the same.
            let _ = before.await;
        }
    }

    /// One more user of a socket that listens there.
    fn share(&self, wanted: SocketAddr) -> bool {
        match self.state().listening.iter_mut().find(|p| p.bound == wanted) {
            Some(point) => {
                point.users += 1;
                true
            }
            None => false,
        }
    }

    async fn listen(&self, local: &Local, wanted: SocketAddr) -> io::Result<SocketAddr> {
        let listener = Listener::bind(wanted, BACKLOG)?;
        let bound = listener.local_addr()?;
        let watched = local.watch(listener.as_fd().try_clone_to_owned()?, Interest::READ).await?;
        let (stop, stopped) = oneshot();
        {
            let mut state = self.state();
            if state.is_ending() {
                return Err(io::Error::other("the target stops"));
            }
            state.listening.push(ListenPoint { bound, users: 1, _stop: stop });
        }
        tracing::info!(%bound, "listening for NVMe/TCP");
        let (target, local2) = (self.clone(), local.clone());
        local.spawn(async move { accept(&target, &local2, &listener, &watched, stopped).await });
        Ok(bound)
    }
}

/// The address that a name or number means. Names are looked up on a thread of their own, since that blocks.
async fn resolve(traddr: &str, trsvcid: &str) -> io::Result<SocketAddr> {
    let bad_port = || io::Error::new(io::ErrorKind::InvalidInput, "the port must be a number from 0 to 65535");
    let port: u16 = trsvcid.parse().map_err(|_| bad_port())?;
    if let Ok(ip) = traddr.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let (tx, rx) = oneshot();
    let name = traddr.to_string();
    std::thread::Builder::new()
        .name("resolve".to_string())
        .spawn(move || tx.send((name.as_str(), port).to_socket_addrs().map(|mut all| all.next())))?;
    let found = rx.await.map_err(io::Error::other)??;
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Takes connections until told to stop.
async fn accept(target: &Target, local: &Local, listener: &Listener, watched: &doorbell_reactor::AsyncFd, mut stop: Receiver<()>) {
    let mut taken_at_once = 0;
    // Whoever comes and is turned away has shown nothing but an address: there are as many of them as somebody likes to send.
    let (mut lines, mut failing) = (LogLimit::default(), false);
    loop {
        taken_at_once += 1;
        if taken_at_once > AT_ONCE {
            taken_at_once = 0;
            next_turn().await;
        }
        let next = watched.retry(|_| listener.accept()?.ok_or_else(|| io::ErrorKind::WouldBlock.into()));
        let Some(taken) = until(&mut stop, next).await else { return };
        match taken {
            Ok((stream, peer)) => {
                failing = false;
                let snapshot = target.snapshot();
                if !welcome(target, stream, peer, &snapshot) && lines.allow(local.now(), peer.ip()) {
                    tracing::warn!(%peer, limit = snapshot.options.max_connections, "too many NVMe/TCP connections: this one is closed");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "cannot take NVMe/TCP connections for the moment");
                }
                if until(&mut stop, local.sleep_ns(PAUSE_NS)).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Lets everything else that is ready run.
async fn next_turn() {
    let mut waited = false;
    poll_fn(|c| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        c.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// `next`, unless `stop` comes first.
async fn until<T>(stop: &mut Receiver<()>, next: impl Future<Output = T>) -> Option<T> {
    let (mut next, mut stop) = (pin!(next), pin!(stop));
    poll_fn(|c| {
        if stop.as_mut().poll(c).is_ready() {
            return Poll::Ready(None);
        }
        next.as_mut().poll(c).map(Some)
    })
    .await
}

/// Hands a connection to a reactor. False if there are too many.
fn welcome(target: &Target, stream: doorbell_sys::socket::Stream, peer: SocketAddr, snapshot: &Snapshot) -> bool {
    if !target.admit(snapshot.options.max_connections) {
        return false;
    }
    // A host without keep-alive timer that vanishes is noticed by TCP's.
    let prepared = stream.set_nodelay(true).and_then(|()| stream.set_keepalive(true));
    let local = prepared.and_then(|()| stream.local_addr());
    let taken = match local {
        Ok(local) => target.assign(Incoming { stream, local, peer }),
        Err(error) => {
            tracing::debug!(%peer, %error, "a connection was gone before it was served");
            false
        }
    };
    if !taken {
        target.left();
    }
    true
}
