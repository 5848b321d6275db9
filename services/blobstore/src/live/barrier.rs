//! Waiting until nothing is under way beneath the volumes that was submitted before now.

use super::state::State;

impl State {
    /// After this, whatever is under way beneath has looked at what was published before.
    pub(super) async fn barrier(&self) {
        let mut waits = Vec::new();
        for reactor in self.hub.reactors() {
            let hub = self.hub.clone();
            // A reactor that has gone has nothing under way.
            if let Ok(Some(wait)) = self.local.visit(reactor, move |cx| hub.lane(cx).borrow().turn()).await {
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
    }
}
