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
    let mut rig = Rig::new();
    let parts = rig.context.promotion.clone();
    let registry = parts.engine.registry.clone().with(Waits(attempts.clone()));
    let engine = Engine { registry, ..parts.engine };
    rig.context = Arc::new(
        Context::new(
            rig.api.client(),
            crate::context::Settings::default(),
            Metrics::default(),
            crate::warehouse::Parts::default(),
            Parts { engine, workdirs: parts.workdirs },
        )
        .with_clock(Arc::new(ManualClock::new(now()))),
    );
    rig.set_stage(stage(NAME));
    rig.context.stores.freight.apply(serde_json::from_value::<Freight>(freight()).unwrap());
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
