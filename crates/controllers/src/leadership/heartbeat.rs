//! The Lease by which Kargo's API server sees that a shard's controller is
//! alive (`install` 3.4). It elects nobody: [`super::Election`] does.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{is_not_found, said};

/// The label that the API server finds heartbeats by.
pub const LABEL: &str = "kargo.akuity.io/controller";
/// How long the clean-up at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A shard's sign of life.
pub struct Heartbeat {
    leases: Api<Lease>,
    shard: String,
    holder: String,
    ttl_seconds: u32,
}

/// The name of a shard's Lease.
pub fn lease_name(shard: &str) -> String {
    format!("kargo-controller-{}", if shard.is_empty() { "unnamed" } else { shard })
}

/// The seconds that `HEARTBEAT_TTL_SECONDS` asks for: 120 where it is unset or
/// no integer.
///
/// # Errors
/// An integer that is not positive.
pub fn ttl_seconds(given: Option<&str>) -> Result<u32, String> {
    match given.map(str::trim).and_then(|text| text.parse::<i64>().ok()) {
        None => Ok(120),
        Some(seconds) => u32::try_from(seconds).ok().filter(|s| *s > 0).ok_or_else(|| {
            format!("HEARTBEAT_TTL_SECONDS is {seconds}; give a positive number of seconds")
        }),
    }
}

/// Whether a heartbeat Lease counts as alive at `now`.
pub fn is_alive(lease: &Lease, now: Timestamp) -> bool {
    let Some(spec) = &lease.spec else { return false };
    match (&spec.renew_time, spec.lease_duration_seconds) {
        (Some(renewed), Some(seconds)) => {
            now.duration_since(renewed.0) < jiff::SignedDuration::from_secs(seconds.into())
        }
        _ => false,
    }
}

impl Heartbeat {
    /// The heartbeat of `shard` in `namespace`. `host` is this machine's name,
    /// if it is known.
    pub fn new(
        client: Client,
        namespace: &str,
        shard: &str,
        host: Option<String>,
        ttl_seconds: u32,
    ) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            shard: shard.to_owned(),
            holder: host.filter(|h| !h.is_empty()).unwrap_or_else(|| "kargo-controller".to_owned()),
            ttl_seconds,
        }
    }

    /// Renews the Lease three times in its lifetime until `shutdown`, then
    /// deletes it. A renewal that fails is logged.
    pub async fn run(&self, shutdown: CancellationToken) {
        let every = Duration::from_secs(self.ttl_seconds.into()) / 3;
        loop {
            match timeout(every, self.beat()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(error = said(&error), "cannot renew the heartbeat");
                }
                Err(_) => tracing::warn!("cannot renew the heartbeat: no answer"),
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(every) => {}
            }
        }
        let name = lease_name(&self.shard);
        let params = DeleteParams::default();
        match timeout(LAST_WORDS, self.leases.delete(&name, &params)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if is_not_found(&error) => {}
            Ok(Err(error)) => tracing::warn!(error = said(&error), "the heartbeat is left behind"),
            Err(_) => tracing::warn!("the heartbeat is left behind: no answer"),
        }
    }

    async fn beat(&self) -> Result<(), kube::Error> {
        let name = lease_name(&self.shard);
        let params = PostParams::default();
        match self.leases.get_opt(&name).await? {
            None => {
                let lease = self.renewed(Lease {
                    metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
                    spec: None,
                });
                self.leases.create(&params, &lease).await?;
            }
            Some(lease) => {
                self.leases.replace(&name, &params, &self.renewed(lease)).await?;
            }
        }
        Ok(())
    }

    fn renewed(&self, mut lease: Lease) -> Lease {
        let now = MicroTime(Timestamp::now());
        let labels = lease.metadata.labels.get_or_insert_with(BTreeMap::new);
        labels.insert(LABEL.to_owned(), self.shard.clone());
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = i32::try_from(self.ttl_seconds).ok();
        spec.acquire_time.get_or_insert_with(|| now.clone());
        spec.renew_time = Some(now);
        lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_live() {
        // install/I48 and the unset default.
        assert_eq!(ttl_seconds(None), Ok(120));
        assert_eq!(ttl_seconds(Some("abc")), Ok(120));
        assert_eq!(ttl_seconds(Some(" 30 ")), Ok(30));
        for wrong in ["0", "-1"] {
            let error = ttl_seconds(Some(wrong)).unwrap_err();
            assert!(error.contains("HEARTBEAT_TTL_SECONDS"), "{error}");
        }
    }

    #[test]
    fn alive_until_the_last_second() {
        let renewed: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lease = Lease {
            spec: Some(LeaseSpec {
                renew_time: Some(MicroTime(renewed)),
                lease_duration_seconds: Some(120),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        // install/I45: at 119.9 s alive, at 120 s dead.
        let after = |ms| renewed + jiff::SignedDuration::from_millis(ms);
        assert!(is_alive(&lease, after(119_900)));
        assert!(!is_alive(&lease, after(120_000)));
        assert!(!is_alive(&Lease::default(), renewed));
    }
}
