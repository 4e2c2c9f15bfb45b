//! How objects are written: what is left out and what never is (`api` 1.1),
//! and that reading and writing loses nothing.

use api::{
    AnalysisRunReference, AutoPromotionHold, Freight, FreightCollection, FreightReference, Project,
    ProjectConfig, ProjectStats, ProjectStatus, Promotion, PromotionRequest, PromotionStep,
    PromotionTask, PromotionWindowStatus, Stage, StageStatus, Target, Warehouse, WarehouseStatus,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn written(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Reads an object and writes it again.
fn again<T: Serialize + DeserializeOwned>(value: Value) -> Value {
    written(&serde_json::from_value::<T>(value).unwrap())
}

#[test]
fn zero_values_are_left_out_but_for_those_that_are_always_written() {
    let origin = json!({"kind": "", "name": ""});
    let cases = [
        (
            "WarehouseSpec",
            written(&api::WarehouseSpec::default()),
            json!({"interval": "5m0s", "freightCreationPolicy": "Automatic", "subscriptions": []}),
        ),
        ("StageSpec", written(&api::StageSpec::default()), json!({"requestedFreight": []})),
        ("StageTargets", written(&api::StageTargets::default()), json!({"selectors": []})),
        (
            "PromotionSpec",
            written(&api::PromotionSpec::default()),
            json!({"stage": "", "steps": []}),
        ),
        ("PromotionTaskSpec", written(&api::PromotionTaskSpec::default()), json!({"steps": []})),
        (
            "PromotionRequestSpec",
            written(&api::PromotionRequestSpec::default()),
            json!({"stage": "", "freight": "", "targets": []}),
        ),
        ("FreightCollection", written(&FreightCollection::default()), json!({"id": ""})),
        ("FreightReference", written(&FreightReference::default()), json!({"origin": origin})),
        (
            "AutoPromotionHold",
            written(&AutoPromotionHold::default()),
            json!({"freightName": "", "origin": origin}),
        ),
        (
            "PromotionWindowStatus",
            written(&PromotionWindowStatus::default()),
            json!({"closed": false}),
        ),
        (
            "AnalysisRunReference",
            written(&AnalysisRunReference::default()),
            json!({"namespace": "", "name": "", "phase": ""}),
        ),
        (
            "GitDiscoveryResult",
            written(&api::GitDiscoveryResult::default()),
            json!({"repoURL": "", "commits": []}),
        ),
        (
            "ImageDiscoveryResult",
            written(&api::ImageDiscoveryResult::default()),
            json!({"repoURL": "", "references": []}),
        ),
        (
            "ChartDiscoveryResult",
            written(&api::ChartDiscoveryResult::default()),
            json!({"repoURL": "", "versions": []}),
        ),
        (
            "DiscoveryResult",
            written(&api::DiscoveryResult::default()),
            json!({"name": "", "artifactReferences": []}),
        ),
        (
            "ProjectStats",
            written(&ProjectStats::default()),
            json!({"warehouses": {"health": {}}, "stages": {"health": {}}}),
        ),
        ("a status", written(&ProjectStatus::default()), json!({})),
        ("a step", written(&PromotionStep::default()), json!({})),
        ("StageStatus", written(&StageStatus::default()), json!({})),
        ("WarehouseStatus", written(&WarehouseStatus::default()), json!({})),
        ("PromotionStatus", written(&api::PromotionStatus::default()), json!({})),
        ("FreightStatus", written(&api::FreightStatus::default()), json!({})),
        (
            "SecretReceiver",
            written(&api::SecretReceiver::default()),
            json!({"secretRef": {"name": ""}}),
        ),
    ];
    for (what, got, wanted) in cases {
        assert_eq!(got, wanted, "{what}");
    }
}

#[test]
fn a_step_with_a_task_has_no_key_that_rules_would_refuse() {
    let step = json!({"task": {"name": "t"}, "as": "a"});
    assert_eq!(again::<PromotionStep>(step.clone()), step);
    let plain = json!({"uses": "fail", "continueOnError": false, "retry": {"errorThreshold": 0}});
    assert_eq!(again::<PromotionStep>(plain), json!({"uses": "fail", "retry": {}}));
}

fn object(kind: &str, fields: Value) -> Value {
    let mut object = json!({
        "apiVersion": "kargo.akuity.io/v1alpha1", "kind": kind,
        "metadata": {"name": "n", "namespace": "p", "labels": {"a": "b"}},
    });
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

#[test]
fn reading_and_writing_loses_nothing() {
    let origin = json!({"kind": "Warehouse", "name": "w"});
    let reference = json!({
        "name": "f", "origin": origin,
        "commits": [{"repoURL": "https://x/y", "id": "1", "branch": "b", "tag": "t", "message": "m",
            "author": "a", "committer": "c", "subscriptionName": "s"}],
        "images": [{"repoURL": "x", "tag": "1", "digest": "sha256:1", "annotations": {"k": "v"}}],
        "charts": [{"repoURL": "https://x", "name": "n", "version": "1"}],
        "artifacts": [{"artifactType": "t", "subscriptionName": "s", "version": "1",
            "metadata": {"any": [1, null, {"x": 1.5}]}}],
    });
    let collection = json!({
        "id": "c", "items": {"Warehouse/w": reference},
        "verificationHistory": [{
            "id": "u", "actor": "admin", "startTime": "2026-08-21T17:51:41Z", "phase": "Successful",
            "message": "m", "finishTime": "2026-08-21T17:52:41Z",
            "analysisRun": {"namespace": "p", "name": "r", "phase": "Successful"},
        }],
    });
    let promotion_status = json!({
        "phase": "Running", "message": "m", "freight": reference, "freightCollection": collection,
        "healthChecks": [{"uses": "argocd-update", "config": {"apps": []}}],
        "startedAt": "2026-08-21T17:51:41Z", "currentStep": 1, "lastHandledRefresh": "t",
        "stepExecutionMetadata": [{"alias": "step-1", "status": "Succeeded", "errorCount": 2,
            "continueOnError": true, "startedAt": "2026-08-21T17:51:41Z"}],
        "state": {"step-1": {"commit": "abc", "n": 12345678901234567890u64}},
    });
    let hold = json!({"freightName": "f", "origin": origin, "promotionName": "q",
        "actor": "kubernetes:u", "createdAt": "2026-08-21T17:51:41Z"});
    let condition = json!({"type": "Ready", "status": "True", "reason": "R", "message": "",
        "lastTransitionTime": "2026-08-21T17:51:41Z", "observedGeneration": 2});
    let stage = object(
        "Stage",
        json!({
            "spec": {
                "shard": "s", "vars": [{"name": "v", "value": "1"}],
                "requestedFreight": [{"origin": origin, "sources": {
                    "stages": ["u"], "requiredSoakTime": "1h0m0s", "availabilityStrategy": "All",
                    "autoPromotionOptions": {"selectionPolicy": "MatchUpstream"},
                }}],
                "promotionTemplate": {"spec": {"vars": [{"name": "w"}], "steps": [
                    {"uses": "git-clone", "as": "a", "if": "${{ true }}", "continueOnError": true,
                        "retry": {"timeout": "5m0s", "errorThreshold": 3}, "config": {"x": ["1", 2]}},
                    {"task": {"name": "t", "kind": "ClusterPromotionTask"}},
                ]}},
                "verification": {
                    "analysisTemplates": [{"name": "t", "kind": "ClusterAnalysisTemplate"}],
                    "analysisRunMetadata": {"labels": {"l": "1"}, "annotations": {"a": "2"}},
                    "args": [{"name": "a", "value": "${{ 1 }}"}],
                },
                "targets": {"selectors": [{"matchLabels": {"a": "b"}}, {}]},
            },
            "status": {
                "conditions": [condition], "lastHandledRefresh": "t", "freightSummary": "1/1 Fulfilled",
                "freightHistory": [collection], "observedGeneration": 3, "autoPromotionEnabled": true,
                "health": {"status": "Healthy", "issues": ["i"], "output": [{}]},
                "currentPromotion": {"name": "q", "freight": reference},
                "lastPromotion": {"name": "q", "status": promotion_status,
                    "finishedAt": "2026-08-21T17:51:41Z"},
                "autoPromotionHolds": {"Warehouse/w": hold},
                "effectiveAutoPromotionHolds": {"Warehouse/w": hold}, "metadata": {"k": null},
            },
        }),
    );
    let warehouse = object(
        "Warehouse",
        json!({
            "spec": {
                "interval": "1m30s", "freightCreationPolicy": "Manual",
                "subscriptions": [{"image": {"repoURL": "x", "unknown": 1}}],
                "freightCreationCriteria": {"expression": "true"},
            },
            "status": {
                "conditions": [condition], "lastFreightID": "f", "observedGeneration": 1,
                "discoveredArtifacts": {
                    "discoveredAt": "2026-08-21T17:51:41Z",
                    "git": [{"repoURL": "https://x/y", "commits": [{"id": "1", "subject": "s",
                        "creatorDate": "2026-08-21T17:51:41Z"}],
                        "observedRefs": {"tags": [{"name": "v1", "id": "1"}]}}],
                    "images": [{"repoURL": "x", "references": [{"tag": "1", "digest": "sha256:1",
                        "createdAt": "2026-08-21T17:51:41Z"}]}],
                    "charts": [{"repoURL": "oci://x", "versions": ["1"]}],
                    "results": [{"name": "r", "artifactReferences": []}],
                },
            },
        }),
    );
    let mut freight_fields = reference.clone();
    freight_fields.as_object_mut().unwrap().remove("name");
    freight_fields["alias"] = json!("a-b");
    freight_fields["discoveredAt"] = json!("2026-08-21T17:51:41Z");
    freight_fields["status"] = json!({
        "currentlyIn": {"s": {"since": "2026-08-21T17:51:41Z"}},
        "verifiedIn": {"s": {"verifiedAt": "2026-08-21T17:51:41Z", "longestSoak": "1h2m3.5s"}},
        "approvedFor": {"s": {"approvedAt": "2026-08-21T17:51:41Z"}}, "metadata": {"k": [1]},
    });
    let freight = object("Freight", freight_fields);
    let promotion = object(
        "Promotion",
        json!({
            "spec": {"stage": "s", "freight": "f", "vars": [{"name": "v", "value": "1"}],
                "steps": [{"uses": "fail", "as": "step-1"}]},
            "status": promotion_status,
        }),
    );
    let config = object(
        "ProjectConfig",
        json!({"spec": {
            "promotionPolicies": [{"stageSelector": {"name": "glob:*", "matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]},
                "autoPromotionEnabled": true, "autoRollback": {"onPromotion": ["Failed"]}}],
            "webhookReceivers": [{"name": "r", "generic": {"secretRef": {"name": "s"}, "actions": [
                {"action": "Refresh", "targetSelectionCriteria": [{"kind": "Warehouse", "indexSelector":
                    {"matchIndices": [{"key": "subscribedURLs", "operator": "Equals", "value": "x"}]}}]}
            ]}}],
            "freightLinks": [{"title": "t", "url": "u", "if": "true"}],
            "promotionWindows": [{"name": "w", "kind": "Deny", "rrule": "FREQ=DAILY"}],
        }}),
    );
    let project = object(
        "Project",
        json!({
            "spec": {"promotionPolicies": [{"stage": "s", "autoPromotionEnabled": true}]},
            "status": {"stats": {"warehouses": {"count": 1, "health": {"healthy": 1}},
                "stages": {"health": {}}}},
        }),
    );
    let task = object(
        "PromotionTask",
        json!({"spec": {"vars": [{"name": "v"}],
        "steps": [{"uses": "fail"}]}}),
    );
    let request = object(
        "PromotionRequest",
        json!({
            "spec": {"stage": "s", "freight": "f", "targets": [{"name": "t"}]},
            "status": {"phase": "Errored", "targets": [{"name": "t", "promotion": "q", "phase": "Failed"}]},
        }),
    );
    let target = object("Target", json!({"spec": {"params": {"a": {"b": [null]}}}, "status": {}}));
    assert_eq!(again::<Stage>(stage.clone()), stage);
    assert_eq!(again::<Warehouse>(warehouse.clone()), warehouse);
    assert_eq!(again::<Freight>(freight.clone()), freight);
    assert_eq!(again::<Promotion>(promotion.clone()), promotion);
    assert_eq!(again::<ProjectConfig>(config.clone()), config);
    assert_eq!(again::<Project>(project.clone()), project);
    assert_eq!(again::<PromotionTask>(task.clone()), task);
    assert_eq!(again::<PromotionRequest>(request.clone()), request);
    assert_eq!(again::<Target>(target.clone()), target);
}

#[test]
fn one_odd_value_does_not_break_the_reading_of_an_object() {
    let stage: Stage = serde_json::from_value(object(
        "Stage",
        json!({
            "spec": {"requestedFreight": [], "unknown": 1, "promotionTemplate": {"spec": {"steps": [
                {"uses": "fail", "retry": {"timeout": "1d", "errorThreshold": -1}}
            ]}}},
            "status": {"health": {"status": "Splendid"}, "lastPromotion": {"name": "q", "status": {
                "phase": "Odd", "state": "not an object",
                "stepExecutionMetadata": [{"status": "Odd"}],
            }}},
        }),
    ))
    .unwrap();
    let status = stage.status.unwrap();
    assert!(!status.health.unwrap().status.is_known());
    let last = status.last_promotion.unwrap().status.unwrap();
    assert_eq!((last.phase.is_terminal(), last.state), (false, None));
    let freight: Freight = serde_json::from_value(object("Freight", json!({
        "origin": {"kind": "Warehouse", "name": "w"}, "discoveredAt": "2026-01-01T00:00:00+99:99",
        "status": {"verifiedIn": {"s": {"longestSoak": "for ever"}}},
    })))
    .unwrap();
    assert_eq!(freight.discovered_at, None);
    assert_eq!(freight.status.unwrap().verified_in["s"].longest_soak, None);
    let warehouse: Warehouse = serde_json::from_value(object(
        "Warehouse",
        json!({
            "spec": {"interval": "99999999999999999999h", "freightCreationPolicy": "",
                "subscriptions": ["x", {"git": {}, "image": {}}]},
        }),
    ))
    .unwrap();
    assert!(api::Subscription::decode_all(&warehouse.spec.subscriptions).is_err());
}

#[test]
fn times_are_whole_seconds_in_utc() {
    let status: api::FreightStatus = serde_json::from_value(json!({
        "currentlyIn": {"s": {"since": "2026-08-21T19:51:41+02:00"}}
    }))
    .unwrap();
    assert_eq!(written(&status)["currentlyIn"]["s"]["since"], "2026-08-21T17:51:41Z");
}
