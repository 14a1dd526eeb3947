//! This daemon's tenure among several: its session is renewed, what others left is taken over, and what others took over is
//! let go.

use crate::{
    engine::{
        cluster::Cluster,
        keeper::keepers::{Keepers, Seized},
    },
    store::StoreError,
};
use futures::{StreamExt, stream};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Wait between attempts to renew the session while the store is away.
const RETRY: Duration = Duration::from_millis(500);
/// Infrastructures that are taken over at the same time.
const SIDE_BY_SIDE: usize = 4;

/// Keeps the session of the daemon until it leaves, and takes over what others left.
pub async fn keep(keepers: Arc<Keepers>, cluster: Arc<Cluster>) {
    let every = cluster.settings.lease_time / 3;
    loop {
        let mut left = false;
        let beat = async {
            renew(&keepers, &cluster).await?;
            take_over(&keepers, &cluster).await
        };
        let wait = match tokio::time::timeout(cluster.settings.lease_time, beat).await {
            Ok(Ok(more)) => {
                left = more;
                every
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the session cannot be renewed");
                cluster.look().await;
                RETRY
            }
            Err(_) => {
                tracing::warn!("the session cannot be renewed: the database does not answer");
                cluster.look().await;
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = keepers.resuming.room(), if left => {}
            () = cluster.refusal.notified() => {
                // Refusals come in swarms.
                tokio::time::sleep(Duration::from_millis(50)).await;
                cluster.unsure.store(true, Ordering::SeqCst);
            }
            () = cluster.leaving.cancelled() => return,
        };
    }
}

/// Renews the session or begins another one. It counts as good once the keepers of what was taken over are gone: what the
/// others have is the truth.
async fn renew(keepers: &Keepers, cluster: &Cluster) -> Result<(), StoreError> {
    let renewed = cluster.renew().await?;
    if cluster.unsure.load(Ordering::SeqCst) {
        let_go(keepers, cluster).await?;
        cluster.unsure.store(false, Ordering::SeqCst);
    }
    cluster.prolong(renewed);
    Ok(())
}

/// Ends the keepers of infrastructures that were taken over by another daemon.
async fn let_go(keepers: &Keepers, cluster: &Cluster) -> Result<(), StoreError> {
    // What is started from now on holds its lease under the present session.
    let kept = keepers.directory.loaded();
    let held = cluster.leases()?.held(&cluster.session()).await?;
    for handle in kept {
        let id = &handle.snapshot().id;
        if !held.contains(id) {
            tracing::warn!(inf = %id, "another daemon took it over");
            handle.leave();
        }
    }
    Ok(())
}

/// Goes on with the work of daemons that ended, as far as it may begin now. Whether some of it is left: to the other
/// daemons, or until there is room.
async fn take_over(keepers: &Keepers, cluster: &Cluster) -> Result<bool, StoreError> {
    let mut ids = cluster.leases()?.orphans().await?;
    let unattended = std::mem::take(&mut *cluster.unattended.lock().unwrap_or_else(PoisonError::into_inner));
    ids.extend(unattended.iter().cloned());
    let left = AtomicBool::new(false);
    let (left, unattended) = (&left, &unattended);
    // Each daemon begins elsewhere.
    let session = cluster.session();
    ids.sort_by_cached_key(|id| {
        let mut hasher = DefaultHasher::new();
        (&*session, id).hash(&mut hasher);
        hasher.finish()
    });
    stream::iter(ids)
        .for_each_concurrent(SIDE_BY_SIDE, |id| async move {
            if !keepers.resuming.has_room() {
                left.store(true, Ordering::Relaxed);
                if unattended.contains(&id) {
                    cluster.unattended(&id);
                }
                return;
            }
            match keepers.seize(&id).await {
                Ok(Seized::Here(_)) => tracing::info!(inf = %id, "going on with the work of another daemon"),
                Ok(Seized::By(_)) => {}
                Err(error) => tracing::error!(inf = %id, %error, "cannot go on with the work of another daemon"),
            }
        })
        .await;
    Ok(left.load(Ordering::Relaxed))
}

/// Gives back everything that is held, once no call to a cloud is under way. If one does not end in time, the others take
/// over when the session lapses.
pub async fn leave(keepers: &Keepers, cluster: &Cluster) {
    cluster.leaving.cancel();
    // No further calls are made.
    cluster.tenure.send_replace(Instant::now());
    let leave = async {
        while cluster.calls.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for handle in keepers.directory.loaded() {
            // Reports are stored before a change that comes after them.
            let _ = handle.change(|_| Ok(())).await;
            handle.leave();
        }
        cluster.unregister().await
    };
    match tokio::time::timeout(cluster.settings.lease_time / 2, leave).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what this daemon kept is free when its session lapses"),
        Err(_) => tracing::warn!("calls to clouds do not end: what this daemon kept is free when its session lapses"),
    }
}
