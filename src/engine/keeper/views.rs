//! Reading what another daemon keeps: a copy in memory, good as long as the store has no newer version.

use crate::{
    auth::Caller,
    bounds::Remembered,
    engine::{
        cluster::Cluster,
        error::OperationError,
        keeper::{handle::Handle, keepers::Keepers},
        state::{model::Infrastructure, rows},
    },
    store::{StoreError, StoredInfrastructure, leases::Head},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Bytes of copies in memory, as the store has them.
const COPIES: usize = 64 << 20;
/// Time between two looks for new events of an infrastructure whose events somebody follows.
const LOOK: Duration = Duration::from_millis(400);

/// What this daemon knows of infrastructures that others keep.
pub struct Views {
    copies: Mutex<Remembered<String, Copy>>,
    followed: Mutex<HashMap<String, watch::Receiver<u64>>>,
}

impl Default for Views {
    fn default() -> Self {
        Self { copies: Mutex::new(Remembered::new(COPIES, Duration::MAX)), followed: Mutex::default() }
    }
}

#[derive(Clone)]
struct Copy {
    model: Arc<Infrastructure>,
    /// Length of its rows.
    bytes: usize,
    version: u64,
    /// When the store last said that there is no newer one.
    checked: Instant,
    /// When news from the clouds were last asked for, microseconds since the start of the daemon.
    asked: i64,
}

async fn load(cluster: Arc<Cluster>, id: String) -> Result<Option<StoredInfrastructure>, StoreError> {
    cluster.store.load(&id).await
}

async fn head(cluster: Arc<Cluster>, id: String) -> Result<Option<Head>, StoreError> {
    cluster.leases()?.head(&id).await
}

impl Keepers {
    /// The infrastructure as the store has it. While the store is away, as it was known last, here or by the keeper that
    /// there was here: no longer ago than INF_CACHE_TIME.
    pub async fn view_elsewhere(
        &self,
        cluster: &Arc<Cluster>,
        id: &str,
        kept: Option<&Handle>,
    ) -> Result<Arc<Infrastructure>, OperationError> {
        let copy = self
            .views
            .copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id, Instant::now().into_std())
            .cloned();
        let known = [
            copy.as_ref().map(|copy| (copy.checked, copy.model.clone())),
            // While the session was good, nobody else could write.
            kept.map(|handle| (*cluster.tenure.borrow(), handle.snapshot())),
        ];
        match self.current(cluster, id, copy).await {
            Err(error @ OperationError::Unavailable(_)) => {
                let latest = known.into_iter().flatten().max_by_key(|(time, _)| *time);
                let limit = self.services.settings.inf_cache_time;
                let model =
                    latest.filter(|(time, _)| limit.is_zero() || time.elapsed() < limit).map(|(_, model)| model);
                model.ok_or(error)
            }
            current => current,
        }
    }

    async fn current(
        &self,
        cluster: &Arc<Cluster>,
        id: &str,
        copy: Option<Copy>,
    ) -> Result<Arc<Infrastructure>, OperationError> {
        let started = Instant::now();
        let asked = id.to_owned();
        let head = cluster.ask(|cluster| head(cluster, asked.clone())).await?.filter(|head| !head.deleted);
        let Some(Head { version, .. }) = head else {
            self.views.copies.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            return Err(OperationError::UnknownInfrastructure);
        };
        let (copy, asked) = match copy {
            Some(copy) if copy.version == version => (copy.clone(), copy.asked),
            former => {
                let asked = id.to_owned();
                let stored = cluster
                    .ask(|cluster| load(cluster, asked.clone()))
                    .await?
                    .ok_or(OperationError::UnknownInfrastructure)?;
                let version = stored.version;
                let bytes = stored.infrastructure.len() + stored.vms.iter().map(|(_, vm)| vm.len()).sum::<usize>();
                let model =
                    rows::model(stored).inspect_err(|error| self.services.tell_damaged(id, &error.to_string()))?;
                let asked = former.map_or(self.services.uptime(), |copy| copy.asked);
                (Copy { model: model.into(), bytes, version, checked: started, asked }, asked)
            }
        };
        let model = copy.model.clone();
        let copy = Copy { checked: started, asked, ..copy };
        let bytes = copy.bytes;
        self.views.copies.lock().unwrap_or_else(PoisonError::into_inner).insert(
            id.to_owned(),
            copy,
            bytes,
            Instant::now().into_std(),
        );
        if model.deleted { Err(OperationError::UnknownInfrastructure) } else { Ok(model) }
    }

    /// Whether the clouds are to be asked for news of what another daemon keeps; if so, this caller is the one to see to
    /// it.
    pub fn is_due_elsewhere(&self, id: &str, now: i64, frequency: Duration) -> bool {
        let mut copies = self.views.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(copy) = copies.get(id, Instant::now().into_std()) else { return false };
        let frequency = i64::try_from(frequency.as_micros()).unwrap_or(i64::MAX);
        let due = now.saturating_sub(copy.asked) >= frequency;
        if due {
            copy.asked = now;
        }
        due
    }

    /// Wakes when events of an infrastructure were stored by whoever keeps it. Followers of one infrastructure share a
    /// look at the store.
    pub fn follow_elsewhere(self: &Arc<Self>, cluster: &Arc<Cluster>, id: &str) -> watch::Receiver<u64> {
        let mut followed = self.views.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = followed.get(id).filter(|receiver| receiver.has_changed().is_ok()) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(0);
        followed.insert(id.to_owned(), receiver.clone());
        let (keepers, cluster, id) = (self.clone(), cluster.clone(), id.to_owned());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let head = match cluster.leases() {
                    Ok(leases) => leases.head(&id).await,
                    Err(error) => Err(error),
                };
                let mut followed = keepers.views.followed.lock().unwrap_or_else(PoisonError::into_inner);
                // The map has one receiver itself; under its lock nobody becomes a follower.
                let is_gone = matches!(&head, Ok(head) if head.as_ref().is_none_or(|head| head.deleted));
                if is_gone || sender.receiver_count() <= 1 {
                    followed.remove(&id);
                    return;
                }
                drop(followed);
                if let Ok(Some(head)) = head {
                    sender.send_if_modified(|last| {
                        let is_new = *last != head.sequence;
                        *last = head.sequence;
                        is_new
                    });
                }
            }
        });
        receiver
    }
}

impl Keepers {
    /// Ids of what is known here of the caller's, newest first.
    pub fn known(&self, caller: &Caller) -> Vec<String> {
        let mut known: Vec<_> = self.directory.loaded().iter().map(Handle::snapshot).collect();
        if self.services.cluster.is_some() {
            let copies = self.views.copies.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = self.services.settings.inf_cache_time;
            let recent = copies.values().filter(|copy| limit.is_zero() || copy.checked.elapsed() < limit);
            known.extend(recent.map(|copy| copy.model.clone()));
        }
        known.retain(|model| !model.deleted && caller.may_access(&model.owners));
        known.sort_by(|one, next| (next.created, &next.id).cmp(&(one.created, &one.id)));
        known.dedup_by(|next, one| next.id == one.id);
        known.iter().map(|model| model.id.clone()).collect()
    }
}
