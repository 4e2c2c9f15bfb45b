//! Of several replicas one acts: Leases won, handed over, lost and taken over,
//! on the sandbox's API and a paused clock.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use controllers::leadership::heartbeat::{Heartbeat, LABEL};
use controllers::leadership::{Election, Term, Terms};
use http::Request;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use kube::client::Body;
use sandbox::kubernetes::Api as Server;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

const NAMESPACE: &str = "kargo";
const LEASE: &str = "supercargo-controller";

fn server() -> Server {
    let server = Server::new();
    server.load("apiVersion: v1\nkind: Namespace\nmetadata: {name: kargo}\n").unwrap();
    server
}

/// A replica whose way to the API server can be cut.
struct Replica {
    election: Election,
    cut: Arc<AtomicBool>,
}

impl Replica {
    fn new(server: &Server, name: &str) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let (gate, server) = (Arc::clone(&cut), server.clone());
        let service = service_fn(move |request: Request<Body>| {
            let (gate, server) = (Arc::clone(&gate), server.clone());
            async move {
                if gate.load(Ordering::SeqCst) {
                    pending::<()>().await;
                }
                Ok::<_, Infallible>(server.handle(request).await)
            }
        });
        let client = kube::Client::new(service, "default");
        let election = Election::new(client, NAMESPACE, LEASE, name, Terms::default());
        Self { election, cut }
    }

    async fn win(&self) -> Term {
        self.election.win(&CancellationToken::new()).await.unwrap()
    }

    /// Waits for the Lease on a task of its own; the time that it took.
    fn standing_by(&self) -> tokio::task::JoinHandle<(Term, Duration)> {
        let (election, since) = (self.election.clone(), Instant::now());
        tokio::spawn(async move {
            let term = election.win(&CancellationToken::new()).await.unwrap();
            (term, since.elapsed())
        })
    }
}

fn leases(server: &Server) -> Api<Lease> {
    Api::namespaced(server.client(), NAMESPACE)
}

async fn holder(server: &Server) -> String {
    let lease = leases(server).get(LEASE).await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_handed_over_at_once_when_it_is_given_back() {
    let server = server();
    let (a, b) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    let term = a.win().await;
    assert_eq!(holder(&server).await, "a");
    let standby = b.standing_by();
    // Renewals go on, so b waits.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!standby.is_finished());
    let before = Instant::now();
    term.give_back().await;
    let (_term, _) = standby.await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_eq!(holder(&server).await, "b");
    let lease = leases(&server).get(LEASE).await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_holders_lease_is_taken_over_within_20_seconds() {
    let server = server();
    let (a, b) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    let _silent = a.win().await;
    // As SIGKILL: nothing of a reaches the API server any more.
    a.cut.store(true, Ordering::SeqCst);
    let (_term, took) = b.standing_by().await.unwrap();
    assert!(took >= Terms::default().duration, "{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(holder(&server).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_stops_before_anybody_may_follow() {
    let server = server();
    let (a, b) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    let term = a.win().await;
    let standby = b.standing_by();
    tokio::time::sleep(Duration::from_secs(11)).await;
    let cut = Instant::now();
    a.cut.store(true, Ordering::SeqCst);
    term.lost().cancelled().await;
    let (lost, terms) = (cut.elapsed(), Terms::default());
    assert!(lost <= terms.renew_deadline, "{lost:?}");
    assert!(!standby.is_finished());
    let (_term, _) = standby.await.unwrap();
    // Between the two there was time for a call that was under way to end.
    let gap = cut.elapsed() - lost;
    assert!(gap > terms.call_timeout, "{gap:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_silence_of_the_api_server_loses_nothing() {
    let server = server();
    let a = Replica::new(&server, "a");
    let term = a.win().await;
    for _ in 0..3 {
        a.cut.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3)).await;
        a.cut.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(!term.lost().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_strangers_label_is_no_loss_and_a_strangers_name_is() {
    let server = server();
    let a = Replica::new(&server, "a");
    let term = a.win().await;
    let write = |patch| {
        let leases = leases(&server);
        async move {
            leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        }
    };
    write(json!({"metadata": {"labels": {"team": "blue"}}})).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!term.lost().is_cancelled());
    write(json!({"spec": {"holderIdentity": "somebody"}})).await;
    let since = Instant::now();
    term.lost().cancelled().await;
    assert!(since.elapsed() <= Terms::default().retry);
    // What was lost is not given back: it is another's.
    term.give_back().await;
    assert_eq!(holder(&server).await, "somebody");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_a_lost_one() {
    let server = server();
    let (a, b) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    let term = a.win().await;
    leases(&server).delete(LEASE, &Default::default()).await.unwrap();
    let (_term, _) = b.standing_by().await.unwrap();
    term.lost().cancelled().await;
    assert_eq!(holder(&server).await, "b");
}

#[tokio::test(start_paused = true)]
async fn of_many_that_start_together_one_wins() {
    let server = server();
    let replicas: Vec<Replica> =
        (0..5).map(|n| Replica::new(&server, &format!("replica-{n}"))).collect();
    let mut waiting: Vec<_> = replicas.iter().map(Replica::standing_by).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let done: Vec<usize> = (0..5).filter(|n| waiting[*n].is_finished()).collect();
    assert_eq!(done.len(), 1, "{done:?}");
    let (term, _) = waiting.remove(done[0]).await.unwrap();
    assert!(!term.lost().is_cancelled());
    assert_eq!(holder(&server).await, format!("replica-{}", done[0]));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_waiting() {
    let server = server();
    let (a, b) = (Replica::new(&server, "a"), Replica::new(&server, "b"));
    let _term = a.win().await;
    let shutdown = CancellationToken::new();
    let waiting = b.election.win(&shutdown);
    let (won, ()) = tokio::join!(waiting, async { shutdown.cancel() });
    assert!(won.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_beats_and_is_taken_away() {
    // install/I45
    let server = server();
    let shutdown = CancellationToken::new();
    let host = Some("node1".to_owned());
    let heartbeat = Heartbeat::new(server.client(), NAMESPACE, "eu", host, 120);
    let stop = shutdown.clone();
    let beating = tokio::spawn(async move { heartbeat.run(stop).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = async || leases(&server).get("kargo-controller-eu").await.unwrap();
    let first = read().await;
    assert_eq!(first.metadata.labels.as_ref().unwrap()[LABEL], "eu");
    let spec = first.spec.as_ref().unwrap();
    assert_eq!(spec.holder_identity.as_deref(), Some("node1"));
    assert_eq!(spec.lease_duration_seconds, Some(120));
    assert!(spec.acquire_time.is_some());
    tokio::time::sleep(Duration::from_secs(38)).await;
    assert_eq!(read().await.metadata.resource_version, first.metadata.resource_version);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let second = read().await;
    assert_ne!(second.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(second.spec.unwrap().acquire_time, first.spec.unwrap().acquire_time);
    shutdown.cancel();
    beating.await.unwrap();
    let gone = leases(&server).get_opt("kargo-controller-eu").await.unwrap();
    assert!(gone.is_none());
}
