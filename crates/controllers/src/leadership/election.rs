//! Reading, writing and watching a Lease.

use std::future::Future;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams, WatchParams};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Terms;
use super::decide::{Observed, Turn, decide};
use crate::error::{is_already_exists, is_not_found, said};

/// One Lease that this replica wants.
#[derive(Clone)]
pub struct Election {
    leases: Api<Lease>,
    name: String,
    me: String,
    terms: Terms,
}

/// A Lease that this replica holds, until it is given back or lost.
pub struct Term {
    election: Election,
    lost: CancellationToken,
    renewing: tokio::task::JoinHandle<Lease>,
    stop: CancellationToken,
}

/// Why a write of the Lease did not succeed.
enum Refused {
    /// Somebody else wrote it.
    Beaten,
    /// The API server did not answer, or not with yes.
    Unanswered(String),
}

impl Election {
    /// The Lease `name` in `namespace`, wanted by the replica `me` (unique
    /// among replicas and restarts).
    pub fn new(client: Client, namespace: &str, name: &str, me: &str, terms: Terms) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            me: me.to_owned(),
            terms,
        }
    }

    /// The Lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until this replica holds the Lease; `None` if `shutdown` came
    /// first. Errors are logged and tried again: a standby has time.
    pub async fn win(&self, shutdown: &CancellationToken) -> Option<Term> {
        let mut observed = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return None,
                term = self.attempt(&mut observed) => {
                    if term.is_some() {
                        return term;
                    }
                }
            }
        }
    }

    /// One look at the Lease, and one wait where it is another's.
    async fn attempt(&self, observed: &mut Option<Observed>) -> Option<Term> {
        let asked = Instant::now();
        let lease = match self.call(self.leases.get_opt(&self.name)).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(lease = self.name, error, "cannot read the Lease; trying again");
                sleep(self.terms.retry).await;
                return None;
            }
        };
        let wanted = match lease {
            None => self.fresh(),
            Some(lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                let seen = Observed::after(observed.take(), spec, Instant::now());
                let turn = decide(&seen, &self.me, self.terms.duration, Instant::now());
                *observed = Some(seen);
                match turn {
                    Turn::Take => self.taken(lease),
                    Turn::Wait(left) => {
                        self.news(&lease, left).await;
                        return None;
                    }
                }
            }
        };
        match self.write(wanted).await {
            Ok(lease) => {
                tracing::info!(lease = self.name, holder = self.me, "this replica leads");
                Some(Term::begin(self.clone(), lease, asked))
            }
            Err(Refused::Beaten) => None,
            Err(Refused::Unanswered(error)) => {
                tracing::warn!(lease = self.name, error, "cannot take the Lease; trying again");
                sleep(self.terms.retry).await;
                None
            }
        }
    }

    /// Waits until the Lease is written by somebody, or `at_most`.
    async fn news(&self, lease: &Lease, at_most: std::time::Duration) {
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        let version = lease.resource_version().unwrap_or_default();
        let heard = async {
            match self.leases.watch(&params, &version).await {
                Ok(events) => {
                    let mut events = events.boxed();
                    match events.next().await {
                        Some(Ok(_)) => {}
                        // A watch that cannot be had or breaks: by the clock.
                        Some(Err(_)) | None => sleep(self.terms.retry).await,
                    }
                }
                Err(_) => sleep(self.terms.retry).await,
            }
        };
        // Whoever comes back too early looks once more and waits for the rest.
        let _ = timeout(at_most, heard).await;
    }

    async fn call<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, String> {
        match timeout(self.terms.call_timeout, request).await {
            Ok(answer) => answer.map_err(|e| said(&e)),
            Err(_) => Err(self.silence()),
        }
    }

    fn silence(&self) -> String {
        format!("no answer within {} s", self.terms.call_timeout.as_secs())
    }

    /// Creates the Lease, or replaces the version that was read.
    async fn write(&self, lease: Lease) -> Result<Lease, Refused> {
        let params = PostParams::default();
        let answer = if lease.metadata.resource_version.is_none() {
            timeout(self.terms.call_timeout, self.leases.create(&params, &lease)).await
        } else {
            timeout(self.terms.call_timeout, self.leases.replace(&self.name, &params, &lease)).await
        };
        match answer {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) if is_already_exists(&error) || is_not_found(&error) => {
                Err(Refused::Beaten)
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => Err(Refused::Beaten),
            Ok(Err(error)) => Err(Refused::Unanswered(said(&error))),
            Err(_) => Err(Refused::Unanswered(self.silence())),
        }
    }

    fn fresh(&self) -> Lease {
        let now = MicroTime(Timestamp::now());
        Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.me.clone()),
                lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(0),
                ..LeaseSpec::default()
            }),
        }
    }

    /// `lease` as it is when this replica takes it.
    fn taken(&self, mut lease: Lease) -> Lease {
        let before = lease.spec.take().unwrap_or_default();
        let mut spec = self.fresh().spec.unwrap_or_default();
        spec.lease_transitions = Some(before.lease_transitions.unwrap_or(0).saturating_add(1));
        lease.spec = Some(spec);
        lease
    }

    /// `lease` renewed, or given back.
    fn renewed(&self, mut lease: Lease, back: bool) -> Lease {
        if let Some(spec) = &mut lease.spec {
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            if back {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
        }
        lease
    }

    /// Renews `lease` until `stop`, or until it is lost. Returns the newest
    /// version.
    async fn keep(&self, mut lease: Lease, mut renewed: Instant, stop: &CancellationToken) -> Kept {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Kept::Stopped(Box::new(lease)),
                () = sleep(self.terms.retry) => {}
            }
            loop {
                let left = self.terms.renew_deadline.saturating_sub(renewed.elapsed());
                let asked = Instant::now();
                match timeout(left, self.write(self.renewed(lease.clone(), false))).await {
                    Ok(Ok(newer)) => {
                        (lease, renewed) = (newer, asked);
                        break;
                    }
                    Ok(Err(Refused::Beaten)) => match self.mine_still().await {
                        Some(newer) => lease = newer,
                        None => return Kept::Lost,
                    },
                    Ok(Err(Refused::Unanswered(error))) => {
                        tracing::warn!(lease = self.name, error, "cannot renew the Lease");
                        tokio::select! {
                            () = stop.cancelled() => return Kept::Stopped(Box::new(lease)),
                            () = sleep((self.terms.retry / 4).min(left)) => {}
                        }
                    }
                    Err(_) => return Kept::Lost,
                }
                if renewed.elapsed() >= self.terms.renew_deadline {
                    return Kept::Lost;
                }
            }
        }
    }

    /// The Lease as it is, if this replica still holds it: a conflict may come
    /// from an answer that was lost, or from somebody's label.
    async fn mine_still(&self) -> Option<Lease> {
        let lease = self.call(self.leases.get_opt(&self.name)).await.ok()??;
        let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
        (holder == self.me).then_some(lease)
    }
}

/// How the renewing ended.
enum Kept {
    Stopped(Box<Lease>),
    Lost,
}

impl Term {
    fn begin(election: Election, lease: Lease, renewed: Instant) -> Self {
        let (lost, stop) = (CancellationToken::new(), CancellationToken::new());
        let (keeper, over, halt) = (election.clone(), lost.clone(), stop.clone());
        let renewing = tokio::spawn(async move {
            let held = lease.clone();
            match keeper.keep(lease, renewed, &halt).await {
                Kept::Stopped(lease) => *lease,
                Kept::Lost => {
                    tracing::error!(lease = keeper.name, holder = keeper.me, "the Lease is lost");
                    over.cancel();
                    held
                }
            }
        });
        Self { election, lost, renewing, stop }
    }

    /// Cancelled when the Lease was lost: from then on this replica must not act.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the Lease back, so that a standby need not wait. Does nothing
    /// where it was lost.
    pub async fn give_back(self) {
        self.stop.cancel();
        let Ok(lease) = self.renewing.await else { return };
        if self.lost.is_cancelled() {
            return;
        }
        let free = self.election.renewed(lease, true);
        match self.election.write(free).await {
            Ok(_) => tracing::info!(lease = self.election.name, "the Lease is given back"),
            Err(Refused::Beaten) => {}
            Err(Refused::Unanswered(error)) => {
                tracing::warn!(lease = self.election.name, error, "cannot give the Lease back");
            }
        }
    }
}
