//! A trial out of bytes, for a fuzzer: each byte says one thing, and any bytes are a trial.

use crate::plan::{Absurd, Fault, Offers, Plan, Rates, Stuck};
use crate::trial::Trial;
use doorbell_sim::Entropy;
use doorbell_wire_nvme::Status;

/// Bytes, with zeroes behind them.
struct Bytes<'a>(std::slice::Iter<'a, u8>);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, from: &[T], or: T) -> T {
        let at = usize::from(self.next()).checked_rem(from.len());
        at.and_then(|at| from.get(at)).copied().unwrap_or(or)
    }
}

/// How a command may end.
const STATUSES: [Status; 8] = [
    Status::INTERNAL_ERROR,
    Status::NAMESPACE_NOT_READY,
    Status::INTERRUPTED,
    Status::DATA_TRANSFER_ERROR,
    Status::INVALID_FIELD,
    Status::WRITE_FAULT,
    Status::UNRECOVERED_READ,
    Status::INVALID_NAMESPACE,
];

/// What a byte of a script means: the kind in the low four bits, a status and whether it is final in the others.
fn fault(byte: u8) -> Fault {
    match byte & 15 {
        1 => Fault::Late,
        2 => Fault::Lost,
        3 => Fault::Swallowed,
        4 => Fault::Twice,
        5 => Fault::WrongId,
        6 | 7 => {
            let status = STATUSES.get(usize::from(byte >> 4 & 7)).copied().unwrap_or(Status::INTERNAL_ERROR);
            Fault::Status(if byte & 128 != 0 { status.dnr() } else { status.with_crd(byte >> 5 & 3) })
        }
        8 => Fault::Fatal,
        9 => Fault::Removed,
        _ => Fault::None,
    }
}

fn absurd(kind: u8, how: u8) -> Absurd {
    match kind % 8 {
        1 => Absurd::BlockShift(how),
        2 => Absurd::Blocks(if how < 64 { 1 << how } else { u64::MAX - u64::from(how) }),
        3 => Absurd::Mdts(how),
        4 => Absurd::FallingList,
        5 => Absurd::Format(how),
        6 => Absurd::Limits(how),
        7 if how.is_multiple_of(2) => Absurd::EntrySizes,
        7 => Absurd::Noise,
        _ => Absurd::No,
    }
}

fn set_rate(rates: &mut Rates, which: u8, how: u8) {
    let rate = u32::from(how) * 1_500;
    match which % 16 {
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
        11 => rates.mute = rate,
        12 => rates.spurious = rate,
        _ => {}
    }
}

impl Trial {
    /// The trial that these bytes stand for: what the controller is (bytes 0 to 8), what it does wrong all the time (9 to 19), and from byte
    /// 20 on what becomes of its commands, one by one. Endless lists of namespaces are left to seeds: they take long and show little.
    pub fn of_bytes(bytes: &[u8]) -> Trial {
        let mut b = Bytes(bytes.iter());
        let (operations, seed) = (1 + u32::from(b.next() % 12), u64::from(b.next()));
        let mut plan = Plan { queues: b.pick(&[7, 0, 1, 126], 7), mqes: b.pick(&[63, 1, 3, 15, 1023], 63), ..Plan::honest() };
        let flags = b.next();
        (plan.sgls, plan.shadows, plan.hot_firmware) = ([0, 1, 2, 0][usize::from(flags & 3)], flags & 4 != 0, flags & 8 != 0);
        let sleeps = flags & 16 != 0;
        plan.offers = Offers { verify: flags & 32 == 0, uncorrectable: flags & 64 == 0, fused: flags & 128 == 0 };
        plan.acwu = b.pick(&[7, 0, 1, 255], 7);
        (plan.vectors, plan.coalescing_ns) = (b.pick(&[0, 1, 2, 16], 0), b.pick(&[0, 1_000, 100_000], 0));
        plan.events = b.pick(&[0, 200, 5_000], 0);

        let stuck = b.next();
        plan.resettable = stuck & 128 == 0;
        plan.stuck = match stuck & 3 {
            1 => Stuck::NeverReady(1 + u32::from(stuck >> 2 & 3)),
            2 => Stuck::NeverStops,
            3 => Stuck::FailsAtStart(1 + u32::from(stuck >> 2 & 3)),
            _ => Stuck::No,
        };
        plan.absurd = absurd(b.next(), b.next());
        let (removal, when) = (b.next(), u64::from(b.next()));
        plan.announced = removal & 128 != 0;
        match removal & 3 {
            1 => plan.removed_at_ns = Some(when * 100_000),
            2 => plan.removed_after_accesses = Some(when),
            _ => {}
        }
        plan.fatal_at_ns = Some(b.next()).filter(|at| *at > 0).map(|at| u64::from(at) * 100_000).into_iter().collect();
        plan.comes_and_goes = b.pick(&[0, 300, 3_000, 20_000], 0);
        for _ in 0..2 {
            set_rate(&mut plan.rates, b.next(), b.next());
        }
        plan.script = b.0.take(512).map(|byte| fault(*byte)).collect();
        Trial { seed, plan, operations, sleeps, classes: None, entropy: Entropy::new(seed) }
    }
}
