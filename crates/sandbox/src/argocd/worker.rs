//! One Application's task: looks at it whenever it has changed, and does what
//! it asks for, one thing after the other.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::knobs::Health;
use super::work::{self, Work};
use super::writes::{self, Compared, Ending};
use super::{Release, Shared, resource};

/// Why the work on an Application stopped.
#[derive(Debug, thiserror::Error)]
enum Stop {
    /// The Application is gone.
    #[error("the Application is gone")]
    Gone,
    /// The API server's answer.
    #[error("{0}")]
    Api(kube::Error),
    /// What came was no object.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => Self::Gone,
            error => Self::Api(error),
        }
    }
}

/// How long to wait after the API server refused something.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The longest pause between two attempts of a sync. (The real one takes it
/// from the operation's back-off.)
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Works until the Application is gone.
pub(super) async fn run(shared: Arc<Shared>, namespace: String, name: String, bell: Arc<Notify>) {
    let api = Api::namespaced_with(shared.client.clone(), &namespace, &resource());
    let worker = Worker { shared, namespace, name, api, bell };
    loop {
        match worker.pass().await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(Stop::Gone) => return,
            Err(error) => {
                tracing::warn!(
                    application = worker.name,
                    namespace = worker.namespace,
                    "the simulated Argo CD could not go on: {error}"
                );
                tokio::time::sleep(AFTER_ERROR).await;
                continue;
            }
        }
        match worker.shared.options.poll {
            None => worker.bell.notified().await,
            Some(every) => {
                if tokio::time::timeout(every, worker.bell.notified()).await.is_err()
                    && let Err(Stop::Gone) = worker.poll().await
                {
                    return;
                }
            }
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    api: Api<DynamicObject>,
    /// Rung when the Application has changed.
    bell: Arc<Notify>,
}

/// How a wait for a hook ended.
enum Hook {
    /// It has done its work.
    Ended,
    /// Somebody has told the operation to end.
    Terminated,
    /// Another request has taken this one's place.
    Replaced,
}

fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

impl Worker {
    async fn get(&self) -> Result<Value, Stop> {
        Ok(serde_json::to_value(self.api.get(&self.name).await?)?)
    }

    async fn write(&self, patch: &Value) -> Result<Value, Stop> {
        self.shared.knobs.not_paused().await;
        let patched =
            self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(serde_json::to_value(patched)?)
    }

    /// The commits that the sources' target revisions are.
    async fn compare(&self, app: &Value) -> Compared {
        self.resolve(app, &work::targets(app)).await
    }

    /// The commits that an operation deploys: those that it names, or else what
    /// the comparison found.
    async fn to_deploy(&self, app: &Value, operation: &Value, compared: &Compared) -> Compared {
        let named = work::named_revisions(operation);
        if named.is_empty() { compared.clone() } else { self.resolve(app, &named).await }
    }

    async fn resolve(&self, app: &Value, targets: &[String]) -> Compared {
        let sources = work::sources(app);
        let mut revisions = Vec::new();
        for (i, (source, target)) in sources.iter().zip(targets).enumerate() {
            let url = source["repoURL"].as_str().unwrap_or_default();
            match self.shared.resolver.resolve(url, target).await {
                Ok(revision) => revisions.push(revision),
                Err(why) => {
                    return Compared::Unreadable {
                        message: Compared::error(i, sources.len(), &why),
                        targets: targets.to_vec(),
                    };
                }
            }
        }
        Compared::At(revisions)
    }

    /// The health that is ordered, or the one that the release gives to what
    /// has no health of its own and was never synced.
    fn health(&self) -> Option<Health> {
        let ordered = self.shared.knobs.health(&self.namespace, &self.name);
        let healthy = || Health { status: "Healthy".into(), message: String::new() };
        let is_old = self.shared.options.release == Release::V3_2_6;
        ordered.or_else(|| is_old.then(healthy))
    }

    /// Does one thing; whether there may be more to do.
    async fn pass(&self) -> Result<bool, Stop> {
        self.shared.knobs.not_paused().await;
        let app = self.get().await?;
        let delays = self.shared.knobs.delays();
        match work::next(&app) {
            Work::Nothing => Ok(false),
            Work::Operation => {
                tokio::time::sleep(delays.begin).await;
                self.operation(&app).await?;
                Ok(true)
            }
            Work::Compare if app["status"].is_null() && work::is_automated(&app) => {
                // Argo CD asks for the first sync before it says what it saw.
                match self.compare(&app).await {
                    Compared::At(revisions) => {
                        self.ask_itself(&app, &revisions, false).await?;
                    }
                    unreadable => {
                        self.write_comparison(&app, &unreadable).await?;
                    }
                }
                Ok(true)
            }
            Work::Compare | Work::Refresh => {
                tokio::time::sleep(delays.compare).await;
                let compared = self.compare(&app).await;
                let patch = writes::comparison(&app, &compared, self.health().as_ref(), &now());
                let app = self.write_and_clear(&app, patch).await?;
                self.automate(&app, &compared).await?;
                Ok(true)
            }
        }
    }

    async fn write_comparison(&self, app: &Value, compared: &Compared) -> Result<Value, Stop> {
        let health = self.health();
        self.write_outcome(writes::comparison(app, compared, health.as_ref(), &now())).await
    }

    /// Writes what a comparison found: in release 3.2.6 the conditions, where
    /// they change, in a write of their own before the rest.
    async fn write_outcome(&self, mut patch: Value) -> Result<Value, Stop> {
        if self.shared.options.release == Release::V3_2_6
            && let Some(conditions) =
                patch["status"].as_object_mut().and_then(|s| s.remove("conditions"))
        {
            self.write(&json!({"status": {"conditions": conditions}})).await?;
        }
        self.write(&patch).await
    }

    /// Writes a comparison and takes the refresh annotation away: two writes,
    /// or one in release 3.2.6.
    async fn write_and_clear(&self, app: &Value, mut patch: Value) -> Result<Value, Stop> {
        let asked = app["metadata"]["annotations"][work::REFRESH].is_string();
        if asked && self.shared.options.release == Release::V3_2_6 {
            patch["metadata"] = writes::refreshed()["metadata"].clone();
            return self.write_outcome(patch).await;
        }
        let app = self.write_outcome(patch).await?;
        if asked { self.write(&writes::refreshed()).await } else { Ok(app) }
    }

    /// Asks for a sync of its own where the policy says so and the revision
    /// has not been tried yet.
    async fn automate(&self, app: &Value, compared: &Compared) -> Result<(), Stop> {
        let Compared::At(revisions) = compared else { return Ok(()) };
        let tried = &app["status"]["operationState"]["syncResult"];
        let tried =
            tried["revision"] == json!(revisions.first()) || tried["revisions"] == json!(revisions);
        let synced = app["status"]["sync"]["status"] == json!("Synced");
        if work::is_automated(app) && !synced && !tried && app["operation"].is_null() {
            self.ask_itself(app, revisions, false).await?;
        }
        Ok(())
    }

    /// Writes a request of its own, unless the Application has changed since:
    /// somebody else's may have come. Gives the operation asked for.
    async fn ask_itself(
        &self,
        app: &Value,
        revisions: &[String],
        healing: bool,
    ) -> Result<Option<Value>, Stop> {
        let mut patch = writes::own_operation(app, revisions, healing);
        patch["metadata"]["resourceVersion"] = app["metadata"]["resourceVersion"].clone();
        match self.write(&patch).await {
            Ok(app) => Ok(Some(app["operation"].clone())),
            Err(Stop::Api(kube::Error::Api(status))) if status.code == 409 => Ok(None),
            Err(stop) => Err(stop),
        }
    }

    /// Looks whether a branch has moved.
    async fn poll(&self) -> Result<(), Stop> {
        let app = self.get().await?;
        let compared = self.compare(&app).await;
        let Compared::At(revisions) = &compared else { return Ok(()) };
        let sync = &app["status"]["sync"];
        if work::next(&app) == Work::Nothing
            && sync["revision"] != json!(revisions.first())
            && sync["revisions"] != json!(revisions)
        {
            let app = self.write_comparison(&app, &compared).await?;
            self.automate(&app, &compared).await?;
        }
        Ok(())
    }

    /// Runs a sync from its request to the comparison after it.
    async fn operation(&self, requested: &Value) -> Result<(), Stop> {
        let delays = self.shared.knobs.delays();
        let mut operation = requested["operation"].clone();
        let comparison_first = self.shared.options.release == Release::V3_2_6
            && requested["metadata"]["annotations"][work::REFRESH].is_string();
        let mut started = now();
        if !comparison_first {
            self.begin(&operation, &started).await?;
        }
        tokio::time::sleep(delays.compare).await;
        let mut app = self.get().await?;
        let mut compared = self.compare(&app).await;
        let compared_to = work::compared_to(&app);
        let asked = app["metadata"]["annotations"][work::REFRESH].is_string();
        if asked || app["status"]["reconciledAt"].is_null() {
            let patch = writes::comparison(&app, &compared, self.health().as_ref(), &now());
            app = self.write_and_clear(&app, patch).await?;
        }
        if comparison_first {
            // A request that came meanwhile has taken the first one's place.
            operation = self.get().await?["operation"].clone();
            if operation.is_null() {
                return Ok(());
            }
            started = now();
            self.begin(&operation, &started).await?;
        }
        let deployed = self.to_deploy(&app, &operation, &compared).await;
        let Some(app) = self.attempts(&app, &operation, &deployed, &started).await? else {
            return Ok(());
        };
        if app["status"]["operationState"]["phase"] != json!("Succeeded") {
            self.write(&writes::reconciled_after_failure(&app, &now())).await?;
            return Ok(());
        }
        // Still OutOfSync from the comparison before the sync: that is what
        // makes the real one heal what needs no healing.
        let heals = work::heals_itself(&app)
            && !work::is_healing(&operation)
            && app["status"]["sync"]["status"] != json!("Synced");
        let mut healing = None;
        if heals && let Compared::At(revisions) = &compared {
            healing = self.ask_itself(&app, revisions, true).await?;
        }
        self.write(&writes::reconciled(&now())).await?;
        let healing_since = now();
        if let Some(operation) = &healing {
            self.begin(operation, &healing_since).await?;
        }
        tokio::time::sleep(delays.settle).await;
        let app = self.get().await?;
        // The state that was deployed; the branch may have moved since. Unless
        // the Application itself is another by now.
        if work::compared_to(&app) != compared_to || !matches!(compared, Compared::At(_)) {
            compared = self.compare(&app).await;
        }
        let health = self.health();
        let app =
            self.write_outcome(writes::settled(&app, &compared, health.as_ref(), &now())).await?;
        if let (Some(operation), Compared::At(revisions)) = (healing, &compared) {
            tokio::time::sleep(delays.sync).await;
            let ending = Ending {
                phase: "Succeeded",
                message: "successfully synced (all tasks run)",
                revisions,
                started: &healing_since,
                retries: 0,
            };
            self.end(&app, &operation, &ending).await?;
            self.write(&writes::reconciled(&now())).await?;
        }
        Ok(())
    }

    async fn begin(&self, operation: &Value, started: &str) -> Result<(), Stop> {
        self.shared.knobs.count_operation(&self.namespace, &self.name);
        let app = self.get().await?;
        self.write(&writes::running(&app, operation, started)).await?;
        Ok(())
    }

    async fn end(
        &self,
        app: &Value,
        operation: &Value,
        ending: &Ending<'_>,
    ) -> Result<Value, Stop> {
        self.write(&writes::finished(app, operation, ending, &now())).await
    }

    /// Waits until the hook of a sync has ended, where it is to wait for one.
    async fn hook(&self, app: &Value, revisions: &[String]) -> Result<Hook, Stop> {
        let knobs = &self.shared.knobs;
        if !knobs.is_held(&self.namespace, &self.name) {
            return Ok(Hook::Ended);
        }
        let mut app = self.write(&writes::waiting(app, revisions)).await?;
        while knobs.is_held(&self.namespace, &self.name) {
            if work::is_terminating(&app) {
                return Ok(Hook::Terminated);
            }
            if app["status"]["operationState"].is_null() {
                return Ok(Hook::Replaced);
            }
            tokio::select! {
                () = self.bell.notified() => {}
                () = knobs.not_held(&self.namespace, &self.name) => {}
            }
            app = self.get().await?;
        }
        Ok(Hook::Ended)
    }

    /// Syncs, as often as the operation's retry limit allows. Gives the
    /// Application as it is then, unless another request has taken the place of
    /// this one.
    async fn attempts(
        &self,
        app: &Value,
        operation: &Value,
        compared: &Compared,
        started: &str,
    ) -> Result<Option<Value>, Stop> {
        let delays = self.shared.knobs.delays();
        let nothing = [String::new()];
        let (revisions, unreadable) = match compared {
            Compared::At(revisions) => (revisions.as_slice(), None),
            Compared::Unreadable { message, .. } => {
                (&nothing[..], Some(format!("ComparisonError: {message}")))
            }
        };
        if let Some(message) = unreadable {
            let ending =
                Ending { phase: "Error", message: &message, revisions, started, retries: 0 };
            return self.end(app, operation, &ending).await.map(Some);
        }
        let limit = operation["retry"]["limit"].as_u64().unwrap_or(0);
        let mut retries = 0;
        loop {
            tokio::time::sleep(delays.sync).await;
            match self.hook(app, revisions).await? {
                Hook::Ended => {}
                Hook::Replaced => return Ok(None),
                Hook::Terminated => {
                    let message = "Operation terminated";
                    let ending = Ending { phase: "Failed", message, revisions, started, retries };
                    return self.end(app, operation, &ending).await.map(Some);
                }
            }
            let failure = self.shared.knobs.take_failure(&self.namespace, &self.name);
            let Some(reason) = failure else { break };
            let what = format!("one or more objects failed to apply, reason: {reason}");
            if retries < limit {
                retries += 1;
                self.write(&writes::attempt_failed(app, &what, retries, revisions, &now())).await?;
                tokio::time::sleep(RETRY_PAUSE.min(delays.sync)).await;
                self.write(&writes::retrying(retries, self.shared.options.release)).await?;
                continue;
            }
            let message = match retries {
                0 => what,
                n => format!(
                    "one or more synchronization tasks completed unsuccessfully, reason: {reason} \
                     (retried {n} times)."
                ),
            };
            let ending = Ending { phase: "Failed", message: &message, revisions, started, retries };
            return self.end(app, operation, &ending).await.map(Some);
        }
        // A sync that heals leaves no trace in the history.
        if !work::is_healing(operation) {
            self.write(&writes::history(app, operation, revisions, started, &now())).await?;
        }
        let ending = Ending {
            phase: "Succeeded",
            message: "successfully synced (all tasks run)",
            revisions,
            started,
            retries,
        };
        self.end(app, operation, &ending).await.map(Some)
    }
}
