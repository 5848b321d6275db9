//! What a connection holds of its reactor's boxes and buffers, and whether it may take more of them.
//!
//! The dynamic threshold of Choudhury and Hahne (1998) with a factor of a quarter: who holds some of a kind takes another only while it holds
//! fewer than a quarter of what is free. One connection alone has a fifth of all, which of the default pool is more than a network needs in
//! flight; of connections that give nothing back each takes a fifth of what the last has left, so that two dozen of them leave some of 200
//! buffers. With a factor of one eight would take them all.
//!
//! Who holds none may always try. Hence who is refused by the threshold holds something, and tries again when that comes back: it waits in no
//! line. Larger buffers stand in for smaller ones, so a kind is a class of the pool and all larger ones.

use doorbell_block::Cx;

/// What one command holds: a box, and so many buffers of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    class: u8,
    buffers: u16,
}

impl Charge {
    /// What `bytes` need. What is longer than the largest buffer needs several.
    pub(super) fn of(cx: &Cx, bytes: u32) -> Charge {
        let largest = cx.largest_buffer().max(1);
        let buffers = match bytes {
            0 => 0,
            n if n <= largest => 1,
            n => u16::try_from(n.div_ceil(largest)).unwrap_or(u16::MAX),
        };
        let class = cx.pool().class_of(bytes.min(largest)).and_then(|c| u8::try_from(c).ok());
        Charge { class: class.unwrap_or(0), buffers }
    }
}

/// So many times what is held has to be free.
const FREE_FOR_HELD: u32 = 4;

/// Classes that are told apart; a pool has no more unless it was made with one size twice.
const CLASSES: usize = 12;

/// What is held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    boxes: u32,
    total: u32,
    buffers: [u32; CLASSES],
}

impl Held {
    pub(super) fn boxes(&self) -> u32 {
        self.boxes
    }

    fn class(&mut self, charge: Charge) -> Option<&mut u32> {
        self.buffers.get_mut(usize::from(charge.class).min(CLASSES - 1))
    }

    pub(super) fn add(&mut self, charge: Charge) {
        let n = u32::from(charge.buffers);
        (self.boxes, self.total) = (self.boxes + 1, self.total + n);
        if let Some(held) = self.class(charge) {
            *held += n;
        }
    }

    pub(super) fn remove(&mut self, charge: Charge) {
        let n = u32::from(charge.buffers);
        (self.boxes, self.total) = (self.boxes.saturating_sub(1), self.total.saturating_sub(n));
        if let Some(held) = self.class(charge) {
            *held = held.saturating_sub(n);
        }
    }

    /// Buffers of this class and of larger ones.
    fn from(&self, class: usize) -> u32 {
        self.buffers.iter().skip(class.min(CLASSES - 1)).sum()
    }
}

/// May a connection that holds this (with its commands, and in what it has yet to send) take as much again as `want`?
pub(super) fn may_take(cx: &Cx, commands: &Held, unsent: &Held, want: Charge) -> bool {
    let boxes = commands.boxes + unsent.boxes;
    if boxes == 0 {
        return true;
    }
    if (boxes * FREE_FOR_HELD) as usize >= cx.spare_boxes() {
        return false;
    }
    if want.buffers == 0 {
        return true;
    }
    // Taking one after the other, the last sees one more held and one less free for each before it.
    let more = (FREE_FOR_HELD + 1) * (u32::from(want.buffers) - 1);
    let (pool, class) = (cx.pool(), usize::from(want.class));
    // Mostly its own class alone has enough.
    if FREE_FOR_HELD * (commands.total + unsent.total) + more < pool.free_of(class) {
        return true;
    }
    let held = commands.from(class) + unsent.from(class);
    let free: u32 = (class..pool.classes()).map(|c| pool.free_of(c)).sum();
    held == 0 || FREE_FOR_HELD * held + more < free
}

#[cfg(test)]
mod tests;
