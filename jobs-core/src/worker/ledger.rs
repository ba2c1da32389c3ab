//! The claims of this worker: what it has asked for, what it holds, what it has answered.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::job::ClaimId;

#[derive(Debug, Default)]
struct State {
    /// Jobs of the claim that are not answered yet; `None` while the claim itself is under way.
    open: HashMap<ClaimId, Option<usize>>,
    newest: Option<ClaimId>,
}

/// The claims of this worker. A claim leaves only when each of its jobs has been *answered* for by
/// the storage: until then a beat names it, so that the storage does not give its jobs back.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the id of a claim that is about to be asked for.
    pub(super) fn ask(&self) -> ClaimId {
        let mut state = self.lock();
        let claim = ClaimId::new();
        state.open.insert(claim, None);
        state.newest = Some(claim);
        claim
    }

    /// The claim was answered with so many jobs.
    pub(super) fn got(&self, claim: ClaimId, jobs: usize) {
        let mut state = self.lock();
        match jobs {
            0 => state.open.remove(&claim),
            n => state.open.insert(claim, Some(n)),
        };
    }

    /// The answer was lost. If the claim was carried out all the same, the next beat, which does not
    /// name it, has its jobs given back.
    pub(super) fn doubt(&self, claim: ClaimId) {
        self.lock().open.remove(&claim);
    }

    /// The claims that are settled whole once these jobs are; they stay known until [`Self::close`].
    pub(super) fn closing(&self, jobs: impl IntoIterator<Item = ClaimId>) -> Vec<ClaimId> {
        let mut state = self.lock();
        let mut closed = Vec::new();
        for claim in jobs {
            if let Some(Some(left)) = state.open.get_mut(&claim) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    closed.push(claim);
                }
            }
        }
        closed
    }

    /// A job that was counted by [`Self::closing`] has to be sent again.
    pub(super) fn reopen(&self, claim: ClaimId) {
        if let Some(Some(left)) = self.lock().open.get_mut(&claim) {
            *left += 1;
        }
    }

    /// The storage has answered for the last job of these claims.
    pub(super) fn close(&self, claims: &[ClaimId]) {
        let mut state = self.lock();
        for claim in claims {
            if state.open.get(claim) == Some(&Some(0)) {
                state.open.remove(claim);
            }
        }
    }

    /// All claims known, and the newest there ever was.
    pub(super) fn known(&self) -> (Vec<ClaimId>, Option<ClaimId>) {
        let state = self.lock();
        (state.open.keys().copied().collect(), state.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_closed_with_its_last_job() {
        let ledger = Ledger::default();
        let claim = ledger.ask();
        ledger.got(claim, 3);
        assert!(ledger.closing([claim, claim]).is_empty());
        assert_eq!(ledger.closing([claim]), [claim]);
        assert_eq!(ledger.known().0, [claim]);
        ledger.close(&[claim]);
        assert!(ledger.known().0.is_empty());
    }

    #[test]
    fn a_job_sent_again_keeps_the_claim_open() {
        let ledger = Ledger::default();
        let claim = ledger.ask();
        ledger.got(claim, 1);
        assert_eq!(ledger.closing([claim]), [claim]);
        ledger.reopen(claim);
        ledger.close(&[claim]);
        assert_eq!(ledger.known().0, [claim]);
        assert_eq!(ledger.closing([claim]), [claim]);
    }

    #[test]
    fn claims_under_way_are_known_and_doubtful_ones_are_not() {
        let ledger = Ledger::default();
        let (asked, lost, empty) = (ledger.ask(), ledger.ask(), ledger.ask());
        ledger.doubt(lost);
        ledger.got(empty, 0);
        assert_eq!(ledger.known(), (vec![asked], Some(empty)));
    }
}
