//! Words between reactors. Plain data only: a box, a segment or a reference never crosses.
//!
//! The control plane may also *visit* a reactor: a closure that runs there once, to set things up or to look. It is never used on the path
//! of a request.

use super::Cx;
use crate::Token;
use doorbell_sys::ring::{Full, Sender};
use doorbell_sys::wakeup::Notifier;
use std::collections::VecDeque;

/// Which reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReactorId(pub u32);

/// A layer of a stack, among all that share a token. Zero is the consumer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Layer(pub u32);

/// Where mail goes on a reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Who is woken.
    pub token: Token,
    /// Which layer of its stack it is for.
    pub layer: Layer,
}

/// What arrived.
pub type Mail = [u64; 2];

/// What travels between reactors.
pub enum Message {
    /// Wake a token.
    Wake(Token),
    /// Words for a layer, whose token is woken.
    Mail(Address, Mail),
    /// Something of the control plane's, run once on the reactor.
    Visit(Box<dyn FnOnce(&mut Cx) + Send>),
}

/// The way into a reactor, from any thread.
#[derive(Clone)]
pub struct Port {
    /// Its inbox.
    pub sender: Sender<Message>,
    /// Ends its sleep.
    pub notifier: Notifier,
}

/// The inbox is full or the reactor has gone.
#[derive(Debug, thiserror::Error)]
#[error("the reactor's inbox is full")]
pub struct SendError(pub Message);

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Wake(t) => f.debug_tuple("Wake").field(t).finish(),
            Message::Mail(a, m) => f.debug_tuple("Mail").field(a).field(m).finish(),
            Message::Visit(_) => f.write_str("Visit"),
        }
    }
}

impl Port {
    /// Sends from outside of any reactor. Never blocks.
    pub fn send(&self, message: Message) -> Result<(), SendError> {
        self.sender.push(message).map_err(|Full(m)| SendError(m))?;
        self.notifier.notify();
        Ok(())
    }
}

/// A reactor's ways to the others, what did not fit yet, and what came.
pub(super) struct Post {
    ports: Vec<Port>,
    parked: VecDeque<(ReactorId, Message)>,
    here: VecDeque<Message>,
    mail: Vec<(Address, Mail)>,
    layers: u32,
}

impl Post {
    pub(super) fn new(ports: Vec<Port>) -> Post {
        Post { ports, parked: VecDeque::new(), here: VecDeque::new(), mail: Vec::new(), layers: 0 }
    }

    pub(super) fn peers(&self) -> u32 {
        self.ports.len().max(1) as u32
    }

    pub(super) fn layer(&mut self) -> Layer {
        self.layers += 1;
        Layer(self.layers)
    }

    pub(super) fn send(&mut self, me: ReactorId, to: ReactorId, message: Message) {
        if to == me {
            return self.here.push_back(message);
        }
        // What was sent before goes before: a parked message holds back those after it for the same reactor.
        if self.parked.iter().any(|(r, _)| *r == to) {
            return self.parked.push_back((to, message));
        }
        if let Err(message) = self.push(to, message) {
            self.parked.push_back((to, message));
        }
    }

    fn push(&self, to: ReactorId, message: Message) -> Result<(), Message> {
        match self.ports.get(to.0 as usize) {
            Some(port) => port.send(message).map_err(|SendError(m)| m),
            None => Ok(()), // no such reactor: nobody is waiting there
        }
    }

    /// Tries again what did not fit. True while something waits.
    pub(super) fn retry(&mut self) -> bool {
        let mut full = Vec::new();
        for _ in 0..self.parked.len() {
            let Some((to, message)) = self.parked.pop_front() else { break };
            if full.contains(&to) {
                self.parked.push_back((to, message));
            } else if let Err(message) = self.push(to, message) {
                full.push(to);
                self.parked.push_back((to, message));
            }
        }
        !self.parked.is_empty()
    }

    #[inline]
    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    #[inline]
    pub(super) fn local(&self) -> usize {
        self.here.len()
    }

    pub(super) fn next_local(&mut self) -> Option<Message> {
        self.here.pop_front()
    }

    pub(super) fn deliver(&mut self, at: Address, mail: Mail) {
        self.mail.push((at, mail));
    }

    #[inline]
    pub(super) fn no_mail(&self) -> bool {
        self.mail.is_empty()
    }

    pub(super) fn take(&mut self, at: Address) -> Option<Mail> {
        let n = self.mail.iter().position(|(a, _)| *a == at)?;
        Some(self.mail.remove(n).1)
    }

    /// Drops mail of a token that leaves.
    pub(super) fn forget(&mut self, who: Token) {
        self.mail.retain(|(a, _)| a.token != who);
    }
}
