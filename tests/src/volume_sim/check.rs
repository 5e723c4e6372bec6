// SPDX-License-Identifier: BSD-3-Clause

//! What must hold on the media of a volume that was saved.

use engine::volume::check::check as offline_check;
use engine::volume::recovery::{AtRest, RecoveryError};

use super::open::Outcome;
use super::session::Session;
use crate::sim::audit::{check_counts, check_mappings, check_nothing_in_flight};
use crate::sim::inspect::{inspect, Trouble};

/// Recounts references from the block map and compares, with the counts on media, with those in memory, with the model.
/// Nothing if a device failed by plan.
///
/// # Errors
/// The first thing that is not as it must be.
pub async fn check(session: &Session) -> Outcome<()> {
    let cluster = &session.cluster;
    check_nothing_in_flight(cluster)?;
    let (store, geometry) = (&session.opened.store, cluster.world.geometry);
    let found = match inspect(&**store, &geometry, store.config().nonce).await {
        Ok(found) => found,
        Err(Trouble::Unread(_)) if cluster.world.disk.has_failed() => return Ok(None),
        Err(Trouble::Unread(what) | Trouble::Wrong(what)) => return Err(format!("after a save: {what}")),
    };
    let volume = AtRest { media: &**store, geometry, nonce: store.config().nonce };
    let report = match offline_check(&volume, &mut |_| {}).await {
        Ok(report) => report,
        Err(RecoveryError::Pool(_)) if cluster.world.disk.has_failed() => return Ok(None),
        Err(error) => return Err(format!("the check fails: {error}")),
    };
    if !report.is_clean() && !cluster.world.disk.has_failed() {
        return Err(format!("the check finds damage: {report:?}"));
    }
    check_mappings(&cluster.world.model, &found, &geometry)?;
    check_counts(cluster, &found)?;
    session.known().borrow_mut().checks += 1;
    Ok(Some(()))
}
