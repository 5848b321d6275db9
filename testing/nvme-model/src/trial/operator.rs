//! Whoever looks after the controller meanwhile: resets it, asks it what it is, gives it another firmware.

use super::Run;
use crate::plan::Absurd;
use doorbell_nvme::{Committed, Controller, Payload, State, within};
use doorbell_reactor::Local;
use doorbell_sim::Entropy;
use doorbell_wire_nvme::{AdminCommand, Cns, CommitAction, Identify};

/// An answer to what has no time limit of its own may never come.
const LIMIT_NS: u64 = 5_000_000_000;

/// Until the workers have ended.
pub(super) async fn work(run: &Run, local: &Local, controller: &Controller, entropy: &mut Entropy) {
    let identify = AdminCommand::Identify(Identify { cns: Cns::CONTROLLER, ..Identify::default() }).encode();
    let mut resets = if run.plan.absurd == Absurd::EndlessList { 1 } else { u32::MAX };
    let mut updates = 0;
    while run.under_way.get() > 0 {
        local.sleep_ns(entropy.below(4_000_000)).await;
        match entropy.below(12) {
            0 if resets > 0 => {
                resets -= 1;
                let _ = controller.reset().await;
            }
            1 | 2 => {
                let _ = controller.admin(identify, Payload::In(4096)).await;
            }
            3 if updates < 2 => {
                updates += 1;
                update(run, local, controller, entropy, &format!("fw{updates}")).await;
            }
            _ => local.sleep_ns(entropy.below(40_000_000)).await,
        }
    }
}

/// Another firmware, from the next reset on, or at once.
async fn update(run: &Run, local: &Local, controller: &Controller, entropy: &mut Entropy, revision: &str) {
    let image = crate::firmware(revision, 1 + entropy.below(200_000) as usize);
    let action = *entropy.pick(&[CommitAction::ReplaceAndActivate, CommitAction::ReplaceAndActivateNow]);
    let updated = within(local, LIMIT_NS, controller.update_firmware(&image, 2, action, |_| ())).await;
    let harmless = run.plan.is_harmless();
    match updated {
        Some(Ok(Committed::AsAsked | Committed::ControllerReset)) => {
            let reset = controller.reset().await;
            let runs = controller.identity().map(|identity| identity.firmware.clone());
            // A commit whose answer was told of twice, or by another's name, proves nothing.
            if reset.is_ok() && controller.state() == State::Live && !run.plan.lies() && runs.as_deref() != Some(revision) {
                run.complain(format!("{runs:?} runs, not {revision}"));
            }
        }
        other if harmless => run.complain(format!("firmware: {other:?}")),
        _ => {}
    }
}
