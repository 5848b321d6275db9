//! What a controller does wrong.

use doorbell_sim::Entropy;
use doorbell_wire_nvme::Status;
use std::collections::VecDeque;

/// How often, in a million commands, something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// The answer comes much later.
    pub late: u32,
    /// The command is done and never answered.
    pub lost: u32,
    /// It is not even done.
    pub swallowed: u32,
    /// The answer comes twice, one after the other.
    pub duplicate: u32,
    /// The answer names a command that was never given.
    pub wrong_id: u32,
    /// Nonsense in what an answer says of its queue.
    pub corrupt: u32,
    /// An error that may pass, with or without a delay asked for.
    pub passing_error: u32,
    /// An error that does not.
    pub lasting_error: u32,
    /// A doorbell is overlooked until it is rung again.
    pub deaf: u32,
    /// An answer names another command that is in flight: a lie.
    pub lie: u32,
    /// An interrupt is not sent.
    pub mute: u32,
    /// One is sent for nothing, in a million steps.
    pub spurious: u32,
}

/// What becomes of one command, where a plan says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done and answered.
    None,
    /// Much later.
    Late,
    /// It is done and never answered.
    Lost,
    /// It is not even done.
    Swallowed,
    /// It is answered twice.
    Twice,
    /// Its answer names a command that was never given.
    WrongId,
    /// It ends with a status.
    Status(Status),
    /// The controller fails (CFS) over it.
    Fatal,
    /// The controller is taken away.
    Removed,
}

/// Commands of an I/O queue that not every controller has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Verify.
    pub verify: bool,
    /// Write Uncorrectable.
    pub uncorrectable: bool,
    /// Compare and Write as a fused pair.
    pub fused: bool,
}

/// What CSTS does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// What it should.
    No,
    /// It never becomes ready, from the so-many-th time that it is enabled.
    NeverReady(u32),
    /// It never stops, until its function is reset.
    NeverStops,
    /// It fails (CFS) instead of becoming ready, every so-many-th time.
    FailsAtStart(u32),
}

/// What it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absurd {
    /// The truth.
    No,
    /// Blocks of 2^n bytes.
    BlockShift(u8),
    /// Blocks in a namespace.
    Blocks(u64),
    /// MDTS.
    Mdts(u8),
    /// A list of namespaces that does not rise.
    FallingList,
    /// A list of namespaces that never ends.
    EndlessList,
    /// A format that is not among its formats.
    Format(u8),
    /// Limits of zero, or none at all, wherever there is one.
    Limits(u8),
    /// Entries that have other sizes.
    EntrySizes,
    /// Random bytes in every page.
    Noise,
}

/// Everything that a controller does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// With commands.
    pub rates: Rates,
    /// With CSTS.
    pub stuck: Stuck,
    /// In identify data.
    pub absurd: Absurd,
    /// It fails (CFS) at these times, in nanoseconds.
    pub fatal_at_ns: Vec<u64>,
    /// It is taken away at this time.
    pub removed_at_ns: Option<u64>,
    /// It is taken away after so many accesses to its registers.
    pub removed_after_accesses: Option<u64>,
    /// Its removal is announced, and not only seen.
    pub announced: bool,
    /// Its function can be reset.
    pub resettable: bool,
    /// It tells of changed namespaces now and then, in a million steps.
    pub events: u32,
    /// Queues that it grants, zero-based as in its answer.
    pub queues: u16,
    /// Entries of a queue at most, zero-based (CAP.MQES).
    pub mqes: u16,
    /// It reads scatter gather lists: SGLS as it says it, 0 for not at all, 1 at any byte, 2 at dwords only.
    pub sgls: u8,
    /// It has shadow doorbells.
    pub shadows: bool,
    /// A namespace is taken away, or comes back, now and then, in a million steps. It keeps what it held.
    pub comes_and_goes: u32,
    /// What becomes of its first commands, in order; of those after them the rates tell.
    pub script: VecDeque<Fault>,
    /// Commands that it has.
    pub offers: Offers,
    /// Blocks of a fused pair at most, zero-based (ACWU).
    pub acwu: u16,
    /// Interrupts that it has; 0 for none.
    pub vectors: u16,
    /// Until an interrupt is sent, at most: answers within that time share it.
    pub coalescing_ns: u64,
    /// A firmware image can be activated without a reset.
    pub hot_firmware: bool,
}

impl Plan {
    /// A controller without faults.
    pub fn honest() -> Plan {
        Plan {
            rates: Rates::default(),
            stuck: Stuck::No,
            absurd: Absurd::No,
            fatal_at_ns: Vec::new(),
            removed_at_ns: None,
            removed_after_accesses: None,
            announced: false,
            resettable: true,
            events: 0,
            queues: 7,
            mqes: 63,
            sgls: 0,
            shadows: false,
            comes_and_goes: 0,
            script: VecDeque::new(),
            offers: Offers { verify: true, uncorrectable: true, fused: true },
            acwu: 7,
            vectors: 0,
            coalescing_ns: 0,
            hot_firmware: false,
        }
    }

    /// Draws one: mostly one or two kinds of fault, so that what is found has a cause.
    pub fn draw(entropy: &mut Entropy) -> Plan {
        let mut plan = Plan { events: *entropy.pick(&[0, 0, 200, 5_000]), ..Plan::honest() };
        (plan.mqes, plan.queues) = (*entropy.pick(&[1, 3, 15, 63, 1023]), *entropy.pick(&[0, 1, 7, 126]));
        for _ in 0..1 + entropy.below(2) {
            plan.spoil(entropy);
        }
        // These are no faults: each goes with every fault.
        (plan.sgls, plan.shadows) = (*entropy.pick(&[0, 0, 1, 2]), entropy.coin());
        plan.comes_and_goes = *entropy.pick(&[0, 0, 0, 300, 3_000]);
        plan.offers = Offers { verify: entropy.coin(), uncorrectable: entropy.coin(), fused: entropy.coin() };
        plan.acwu = *entropy.pick(&[0, 1, 7, 255]);
        (plan.vectors, plan.coalescing_ns) = (*entropy.pick(&[0, 0, 1, 2, 16]), *entropy.pick(&[0, 1_000, 100_000]));
        (plan.hot_firmware, plan.rates.spurious) = (entropy.coin(), *entropy.pick(&[0, 0, 1_000]));
        // Thousands of namespaces that are looked at again and again prove no more than once.
        if plan.absurd == Absurd::EndlessList {
            (plan.events, plan.comes_and_goes) = (0, 0);
        }
        plan
    }

    fn spoil(&mut self, entropy: &mut Entropy) {
        let rate = *entropy.pick(&[2_000, 20_000, 100_000, 300_000]);
        let rates = &mut self.rates;
        match entropy.below(21) {
            0 => {}
            1 => rates.late = rate,
            2 => rates.lost = rate,
            3 => rates.swallowed = rate,
            4 => rates.duplicate = rate,
            5 => rates.wrong_id = rate,
            6 => rates.corrupt = rate,
            7 => rates.passing_error = rate,
            8 => rates.lasting_error = rate,
            9 => rates.deaf = rate,
            10 => rates.lie = rate,
            11 => self.stuck = Stuck::NeverReady(1 + entropy.below(3) as u32),
            12 => {
                (self.stuck, self.resettable) = (Stuck::NeverStops, entropy.coin());
                rates.lost = 20_000;
            }
            13 => self.stuck = Stuck::FailsAtStart(1 + entropy.below(3) as u32),
            14 | 15 => {
                for _ in 0..1 + entropy.below(3) {
                    self.fatal_at_ns.push(entropy.below(20_000_000));
                }
                self.fatal_at_ns.sort_unstable();
            }
            16 => (self.removed_at_ns, self.announced) = (Some(entropy.below(20_000_000)), entropy.coin()),
            17 => (self.removed_after_accesses, self.announced) = (Some(entropy.below(60)), entropy.coin()),
            18 => rates.mute = rate,
            _ => self.absurd = Self::absurd(entropy),
        }
    }

    fn absurd(entropy: &mut Entropy) -> Absurd {
        match entropy.below(9) {
            0 => Absurd::BlockShift(*entropy.pick(&[0, 1, 8, 10, 13, 16, 31, 32, 63, 64, 255])),
            1 => Absurd::Blocks(*entropy.pick(&[0, 1, 1 << 40, u64::MAX - 1, u64::MAX])),
            2 => Absurd::Mdts(*entropy.pick(&[1, 31, 32, 52, 63, 64, 255])),
            3 => Absurd::FallingList,
            4 => Absurd::EndlessList,
            5 => Absurd::Format(*entropy.pick(&[2, 15, 0x10, 0x7f, 0xff])),
            6 => Absurd::Limits(*entropy.pick(&[0, 1, 0xff])),
            7 => Absurd::EntrySizes,
            _ => Absurd::Noise,
        }
    }

    /// Does it answer for what it has not done, or say what is not so? Then what is read from it proves nothing.
    pub fn lies(&self) -> bool {
        self.rates.lie > 0 || !matches!(self.absurd, Absurd::No)
    }

    /// Does it leave out what it was told to do, without a word?
    pub fn loses(&self) -> bool {
        self.rates.swallowed > 0 || self.script.contains(&Fault::Swallowed)
    }

    /// Is everything that it does within the rules, so that not one request may fail?
    pub fn is_harmless(&self) -> bool {
        // Answers that come twice, nonsense about queues and interrupts for nothing are for the driver to see through.
        let harmless =
            Rates { duplicate: self.rates.duplicate, corrupt: self.rates.corrupt, spurious: self.rates.spurious, ..Rates::default() };
        self.rates == harmless
            && self.script.iter().all(|fault| matches!(fault, Fault::None | Fault::Twice))
            && self.stuck == Stuck::No
            && self.absurd == Absurd::No
            && self.fatal_at_ns.is_empty()
            && self.comes_and_goes == 0
            && !self.is_removed()
    }

    /// Is it taken away at some time?
    pub fn is_removed(&self) -> bool {
        self.removed_at_ns.is_some() || self.removed_after_accesses.is_some()
    }
}
