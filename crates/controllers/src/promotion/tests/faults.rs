//! What the controller must bear: a status that cannot be written, a cache
//! that is behind, a second controller, an abort at any time.

use super::*;

fn acting() -> Value {
    json!([step("act", "push"), step("ok", "after")])
}

#[tokio::test]
async fn a_status_refused_after_the_act_leads_to_no_second_act() {
    for refused in [2, 3] {
        let rig = Rig::new();
        let object = rig.set(promotion(acting(), json!({"phase": "Pending"})));
        let patches = AtomicUsize::new(0);
        rig.api.fail(move |method, path| {
            let is_write = method == "PATCH" && path.ends_with("/status");
            let n = if is_write { patches.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
            (n == refused).then_some((500, "InternalError"))
        });
        let mut passes = 0;
        while !rig.status().phase.is_terminal() {
            let _ = rig.pass().await;
            rig.cache(rig.api.now(&object));
            passes += 1;
            assert!(passes < 5, "{:?}", rig.status());
        }
        assert_eq!(rig.status().phase, Phase::Succeeded, "write {refused}");
        assert_eq!(rig.acts.load(Ordering::SeqCst), 1, "write {refused}");
        // The second write has the act's result: without it the act is looked for.
        let attempts = rig.attempts.lock().unwrap().len();
        assert_eq!(attempts, if refused == 2 { 2 } else { 1 }, "write {refused}");
    }
}

#[tokio::test]
async fn a_cache_that_is_behind_at_a_restart_acts_on_nothing() {
    // The cache says that nothing was begun; the API has the act's result.
    let rig = Rig::new();
    let done = json!({"phase": "Running", "currentStep": 1, "stepExecutionMetadata": [
        {"alias": "push", "status": "Succeeded", "startedAt": "2026-11-25T09:59:00Z"}]});
    let behind = rig.set(promotion(acting(), json!({"phase": "Pending"})));
    rig.api.put(promotion(acting(), done));
    rig.cache(behind);
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_millis(100)));
    assert_eq!(rig.acts.load(Ordering::SeqCst), 0);
    // The refusal told what there is, without the watch.
    rig.pass().await.unwrap();
    assert_eq!(rig.status().phase, Phase::Succeeded);
    assert_eq!(rig.acts.load(Ordering::SeqCst), 0, "the act was done already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_controllers_at_once_one_acts() {
    for _ in 0..10 {
        let (first, second) = (Rig::new(), Rig::new());
        // Both look at the first one's API.
        let object = first.set(promotion(acting(), json!({"phase": "Pending"})));
        let mut second = second;
        let parts = second.context.promotion.clone();
        second.context = Arc::new(
            Context::new(
                first.api.client(),
                crate::context::Settings::default(),
                Metrics::default(),
                crate::warehouse::Parts::default(),
                parts,
            )
            .with_clock(Arc::new(ManualClock::new(now()))),
        );
        second.context.stores.stages.apply(serde_json::from_value(stage(NAME)).unwrap());
        second.context.stores.freight.apply(serde_json::from_value(freight()).unwrap());
        second.cache(object);
        let (one, other) = tokio::join!(first.pass(), second.pass());
        let mut outcomes = [one.unwrap(), other.unwrap()];
        outcomes.sort_by_key(|o| *o != Outcome::Done);
        assert_eq!(outcomes, [Outcome::Done, Outcome::After(Duration::from_millis(100))]);
        let acts = [&first, &second].map(|rig| rig.acts.load(Ordering::SeqCst));
        assert_eq!(acts.iter().sum::<usize>(), 1, "{acts:?}");
        assert_eq!(first.status().phase, Phase::Succeeded);
    }
}

#[tokio::test]
async fn an_abort_in_each_state() {
    let entry = |status: &str| json!([{"alias": "a", "status": status, "startedAt": "2026-11-25T09:59:00Z"}]);
    let running = |entries: Value| json!({"phase": "Running", "stepExecutionMetadata": entries});
    for (name, status, ends, step_status) in [
        ("nobody looked at it", json!({}), true, None),
        ("it waits for its turn", json!({"phase": "Pending"}), true, None),
        ("before the first step", json!({"phase": "Running"}), true, None),
        ("a step waits", running(entry("Running")), true, Some("Aborted")),
        ("a step is tried again", running(entry("Errored")), true, Some("Errored")),
        ("it has ended", json!({"phase": "Failed", "message": "x"}), false, None),
    ] {
        let rig = Rig::new();
        let mut object = promotion(json!([step("run", "a")]), status);
        object["metadata"]["annotations"]["kargo.akuity.io/abort"] =
            json!(r#"{"action":"terminate","actor":"email:boss@example.org"}"#);
        rig.set(object);
        assert_eq!(rig.pass().await.unwrap(), Outcome::Done, "{name}");
        let after = rig.status();
        if !ends {
            assert_eq!((after.phase, after.message.as_str()), (Phase::Failed, "x"), "{name}");
            continue;
        }
        assert_eq!(after.phase, Phase::Aborted, "{name}");
        assert_eq!(after.message, "Promotion terminated by email:boss@example.org", "{name}");
        let entry = after.step_execution_metadata.first();
        assert_eq!(entry.map(|e| e.status.to_string()).as_deref(), step_status, "{name}");
        assert_eq!(rig.runs.load(Ordering::SeqCst), 0, "{name}");
        assert_eq!(reasons(&rig.events().await), ["PromotionAborted"], "{name}");
    }
}

#[tokio::test]
async fn an_abort_tells_of_the_applications() {
    let rig = Rig::new();
    let mut object = promotion(
        json!([{"uses": "argocd-update", "as": "sync", "config": {"apps": [
            {"name": "web-${{ ctx.stage }}"}, {"selector": {"matchLabels": {"a": "b"}}}]}}]),
        json!({"phase": "Pending"}),
    );
    object["metadata"]["annotations"]["kargo.akuity.io/abort"] = json!("terminate");
    rig.set(object);
    rig.pass().await.unwrap();
    let events = rig.events().await;
    assert_eq!(
        events[0]["metadata"]["annotations"]["event.kargo.akuity.io/applications"],
        r#"[{"Namespace":"argocd","Name":""},{"Namespace":"argocd","Name":"web-dev"}]"#
    );
}

/// A step that waits for something that needs no directory; tells what it
/// found out the last time.
struct Waits(Arc<Mutex<Vec<Attempt>>>);

#[async_trait]
impl Step for Waits {
    fn kind(&self) -> &'static str {
        "waits"
    }
    fn effect(&self) -> Effect {
        Effect::Outside
    }
    fn needs_workdir(&self) -> bool {
        false
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let mut attempts = self.0.lock().unwrap();
        attempts.push(context.attempt.clone());
        let output = json!({"attempts": attempts.len()});
        Ok(StepResult::running("").with_output(output.as_object().cloned().unwrap()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_waiting_step_found_out_is_written_when_it_waits_long() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let rig = Rig::new().with(Waits(attempts.clone()));
    rig.set(promotion(json!([step("waits", "a")]), json!({"phase": "Pending"})));
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_secs(2)));
    assert_eq!(rig.api.requests().len(), 1, "the intent alone: {:?}", rig.api.requests());
    // Woken early, it knows what it found out, and nothing is written or read.
    tokio::time::advance(Duration::from_millis(500)).await;
    assert_eq!(rig.pass().await.unwrap(), Outcome::After(Duration::from_millis(1500)));
    assert_eq!(rig.api.requests().len(), 1, "{:?}", rig.api.requests());
    tokio::time::advance(Duration::from_millis(1500)).await;
    rig.pass().await.unwrap();
    assert_eq!(rig.api.writes(), 2);
    assert_eq!(rig.status().state.unwrap()["a"], json!({"attempts": 3}));
    let known: Vec<Value> = attempts
        .lock()
        .unwrap()
        .iter()
        .map(|attempt| match attempt {
            Attempt::Again { output: Some(output) } => output["attempts"].clone(),
            _ => Value::Null,
        })
        .collect();
    assert_eq!(known, [Value::Null, json!(1), json!(2)]);

    // Somebody else's write makes what is held worthless.
    rig.pass().await.unwrap();
    let mut other = rig.api.now(&promotion(json!([]), json!({})));
    other["metadata"]["annotations"]["kargo.akuity.io/refresh"] = json!("now");
    rig.set(other);
    rig.pass().await.unwrap();
    assert!(rig.api.requests().iter().any(|r| r.starts_with("GET")), "the API is asked");
    assert_eq!(rig.status().last_handled_refresh, "now");
}

/// Acts once its intent is on record, as git-push does; its first act ends in an
/// error.
struct Pushes {
    api: FakeApi,
    /// What was on record when it acted.
    acts: Arc<Mutex<Vec<Value>>>,
}

#[async_trait]
impl Step for Pushes {
    fn kind(&self) -> &'static str {
        "pushes"
    }
    fn effect(&self) -> Effect {
        Effect::Outside
    }
    fn records_intent(&self) -> bool {
        true
    }
    fn config_schema(&self) -> Value {
        json!({})
    }
    async fn run(&self, context: &StepContext, _: &World) -> Result<StepResult, StepError> {
        let before = self.acts.lock().unwrap().len();
        let intent = json!({"commit": before}).as_object().cloned().unwrap();
        let recorded = context.intents.record(intent).await;
        recorded.map_err(|e| StepError::new(Class::Transient, e.to_string()))?;
        let object = self.api.now(&promotion(json!([]), json!({})));
        self.acts.lock().unwrap().push(object["status"]["state"]["a"].clone());
        match before {
            0 => Err(StepError::new(Class::Transient, "the server is away")),
            _ => Ok(StepResult::succeeded()),
        }
    }
}

#[tokio::test]
async fn each_attempt_at_a_push_is_on_record_before_it() {
    let (rig, acts) = pushing();
    rig.set(promotion(json!([step("pushes", "a")]), json!({"phase": "Pending"})));
    assert!(rig.pass().await.is_ok());
    assert_eq!(rig.status().phase, Phase::Running);
    assert_eq!(rig.status().state.unwrap()["a"], json!({"intent": {"commit": 0}}));
    // Nothing but the intent is new now.
    assert!(rig.pass().await.is_ok());
    assert_eq!(rig.status().phase, Phase::Succeeded, "{}", rig.status().message);
    let acts = acts.lock().unwrap().clone();
    assert_eq!(acts, [json!({"intent": {"commit": 0}}), json!({"intent": {"commit": 1}})]);
    // The record and the error, the record and the end.
    assert_eq!(rig.api.writes(), 4, "{:?}", rig.api.requests());
}

fn pushing() -> (Rig, Arc<Mutex<Vec<Value>>>) {
    let rig = Rig::new();
    let acts = Arc::new(Mutex::new(Vec::new()));
    let step = Pushes { api: rig.api.clone(), acts: acts.clone() };
    (rig.with(step), acts)
}

/// What others write just before the record decides whether the push is sent.
#[tokio::test]
async fn nothing_is_pushed_for_a_promotion_that_others_changed() {
    let steps = || json!([step("pushes", "a")]);
    for (who, status, annotation, sent) in [
        ("another controller", json!({"phase": "Running", "message": "mine"}), None, 0),
        ("a user who ends it", json!({}), Some(("kargo.akuity.io/abort", "terminate")), 0),
        ("a user who refreshes it", json!({}), Some(("kargo.akuity.io/refresh", "now")), 1),
    ] {
        let (rig, acts) = pushing();
        let begun = json!({"phase": "Pending"});
        rig.set(promotion(steps(), begun.clone()));
        let changed = if status == json!({}) { begun } else { status };
        let mut object = promotion(steps(), changed);
        if let Some((key, value)) = annotation {
            object["metadata"]["annotations"][key] = json!(value);
        }
        rig.api.put_before_next_patch(object);
        assert!(rig.pass().await.is_ok(), "{who}");
        assert_eq!(acts.lock().unwrap().len(), sent, "{who}");
    }
}
