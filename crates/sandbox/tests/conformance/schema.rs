//! What the schema of a definition does to objects.

use crate::support::{Answer, Space, status};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::json;

pub async fn defaults_are_set_and_unknown_fields_dropped(client: Client) {
    let space = Space::new(&client).await;
    let spec = json!({"size": 1, "bogus": 1, "parts": [{"name": "a", "bogus": 2}], "free": {"any": {"thing": 1}}});
    let made =
        space.widgets().create(&PostParams::default(), &space.with("one", spec)).await.unwrap();
    assert_eq!(
        made.data["spec"],
        json!({"size": 1, "color": "Red", "parts": [{"name": "a", "count": 1}], "free": {"any": {"thing": 1}}})
    );
}

pub async fn breaches_are_told_with_field_and_cause(client: Client) {
    let space = Space::new(&client).await;
    for (spec, reason, field, words) in [
        (json!({}), "FieldValueRequired", "spec.size", "Required value"),
        (
            json!({"size": "x"}),
            "FieldValueTypeInvalid",
            "spec.size",
            "spec.size in body must be of type integer: \"string\"",
        ),
        (
            json!({"size": 101}),
            "FieldValueInvalid",
            "spec.size",
            "spec.size in body should be less than or equal to 100",
        ),
        (
            json!({"size": -1}),
            "FieldValueInvalid",
            "spec.size",
            "spec.size in body should be greater than or equal to 0",
        ),
        (
            json!({"size": 1, "color": "Pink"}),
            "FieldValueNotSupported",
            "spec.color",
            "Unsupported value: \"Pink\": supported values: \"Red\", \"Green\", \"Blue\"",
        ),
        (
            json!({"size": 1, "name": ""}),
            "FieldValueInvalid",
            "spec.name",
            "spec.name in body should be at least 1 chars long",
        ),
        (
            json!({"size": 1, "name": "N"}),
            "FieldValueInvalid",
            "spec.name",
            "spec.name in body should match '^[a-z]+$'",
        ),
        (
            json!({"size": 1, "parts": [{}]}),
            "FieldValueRequired",
            "spec.parts[0].name",
            "Required value",
        ),
        (
            json!({"size": 1, "parts": [{"name": "a"}, {"name": "a"}]}),
            "FieldValueDuplicate",
            "spec.parts[1]",
            "Duplicate value",
        ),
        (
            json!({"size": 1, "tags": ["a", "a"]}),
            "FieldValueDuplicate",
            "spec.tags[1]",
            "Duplicate value: \"a\"",
        ),
    ] {
        let refused = status(
            space.widgets().create(&PostParams::default(), &space.with("one", spec.clone())).await,
        );
        assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"), "{spec}");
        assert!(
            refused.message.starts_with("Widget.sandbox.example.com \"one\" is invalid: "),
            "{}",
            refused.message
        );
        let details = refused.details.unwrap();
        assert_eq!((details.kind.as_str(), details.name.as_str()), ("Widget", "one"));
        let found = details
            .causes
            .iter()
            .find(|cause| cause.field == field && cause.message.contains(words));
        assert_eq!(
            found.map(|cause| cause.reason.as_str()),
            Some(reason),
            "{spec}: {:?}",
            details.causes
        );
    }
}

pub async fn rules_are_evaluated(client: Client) {
    let space = Space::new(&client).await;
    let both = json!({"size": 1, "parts": [{"name": "a", "uses": "x", "task": "y"}]});
    let refused =
        status(space.widgets().create(&PostParams::default(), &space.with("one", both)).await);
    assert_eq!(refused.code, 422);
    assert!(
        refused.message.contains("spec.parts[0]: Invalid value: ")
            && refused.message.contains("uses and task must not both be set"),
        "{}",
        refused.message
    );
    let fixed = space.with("one", json!({"size": 1, "fixed": "a"}));
    space.widgets().create(&PostParams::default(), &fixed).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"fixed": "b"}}));
    let refused = status(space.widgets().patch("one", &PatchParams::default(), &patch).await);
    assert!(
        refused.message.contains("spec.fixed: Invalid value: ")
            && refused.message.contains("fixed is immutable")
    );
    space.merge("one", json!({"spec": {"fixed": "a", "size": 2}})).await;
}

pub async fn strict_validation_refuses_unknown_fields(client: Client) {
    let space = Space::new(&client).await;
    let path = format!("{}?fieldValidation=Strict", space.path());
    let body = json!({
        "apiVersion": "sandbox.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 1, "bogus": 1},
    });
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    let refused = status(client.request::<serde_json::Value>(request).await);
    assert_eq!(refused.code, 400);
    assert!(
        refused.message.contains("strict decoding error: unknown field \"spec.bogus\""),
        "{}",
        refused.message
    );
    space.create("one", 1).await;
    let strict = PatchParams {
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"bogus": 1}}));
    let refused = status(space.widgets().patch("one", &strict, &patch).await);
    assert!(refused.message.contains("unknown field \"spec.bogus\""), "{}", refused.message);
}

pub async fn a_changed_definition_is_served_at_once(client: Client) {
    let space = Space::new(&client).await;
    let text = crate::support::DEFINITION.replace("widgets", "gizmos").replace("Widget", "Gizmo");
    let text = text.replace("widget", "gizmo").replace("[wi]", "[gi]");
    let definition: CustomResourceDefinition = serde_yaml::from_str(&text).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("conformance").force();
    let name = definition.metadata.name.clone().unwrap();
    let made = definitions.patch(&name, &params, &Patch::Apply(&definition)).await.unwrap();
    kube::runtime::wait::await_condition(
        definitions.clone(),
        &name,
        kube::runtime::wait::conditions::is_crd_established(),
    )
    .await
    .unwrap();
    let again = definitions.patch(&name, &params, &Patch::Apply(&definition)).await.unwrap();
    assert_eq!(again.metadata.generation, made.metadata.generation);
    let wider: CustomResourceDefinition =
        serde_yaml::from_str(&text.replace("maximum: 100", "maximum: 1000")).unwrap();
    let changed = definitions.patch(&name, &params, &Patch::Apply(&wider)).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let gvk = kube::api::GroupVersionKind::gvk("sandbox.example.com", "v1", "Gizmo");
    let resource = kube::api::ApiResource::from_gvk_with_plural(&gvk, "gizmos");
    let gizmos: Api<kube::api::DynamicObject> =
        Api::namespaced_with(client, &space.name, &resource);
    let gizmo = kube::api::DynamicObject::new("g", &resource).data(json!({"spec": {"size": 999}}));
    gizmos.create(&PostParams::default(), &gizmo).await.unwrap();
    definitions.delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
}

pub async fn values_are_checked_wherever_they_stand(client: Client) {
    let space = Space::new(&client).await;
    // In `status`, through its own path.
    space.create("one", 1).await;
    let patch = Patch::Merge(json!({"status": {"conditions": [{"type": "Ready"}]}}));
    let refused =
        status(space.widgets().patch_status("one", &PatchParams::default(), &patch).await);
    let causes = refused.details.unwrap().causes;
    assert!(causes.iter().any(|c| c.field == "status.conditions[0].status"), "{causes:?}");
    // After a patch, as after an update.
    let patch = Patch::Merge(json!({"spec": {"size": 1000}}));
    let refused = status(space.widgets().patch("one", &PatchParams::default(), &patch).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
    let patch = Patch::Merge(json!({"spec": null}));
    let refused = status(space.widgets().patch("one", &PatchParams::default(), &patch).await);
    let causes = refused.details.unwrap().causes;
    assert!(causes.iter().any(|c| c.reason == "FieldValueRequired"), "{causes:?}");
    // All that is wrong is told at once.
    let both = json!({"size": -1, "color": "Pink", "name": "N"});
    let refused =
        status(space.widgets().create(&PostParams::default(), &space.with("two", both)).await);
    let mut fields: Vec<String> =
        refused.details.unwrap().causes.into_iter().map(|c| c.field).collect();
    fields.sort();
    fields.dedup();
    // The rules could not be checked, which is told too.
    assert_eq!(fields, ["<nil>", "spec.color", "spec.name", "spec.size"]);
}

pub async fn unknown_fields_are_warned_of(client: Client) {
    let space = Space::new(&client).await;
    let body = json!({
        "apiVersion": "sandbox.example.com/v1", "kind": "Widget", "metadata": {"name": "one"},
        "spec": {"size": 1, "bogus": 1},
    })
    .to_string();
    for (validation, code, warned) in [("Warn", 201, true), ("Ignore", 409, false)] {
        let path = format!("{}?fieldValidation={validation}", space.path());
        let answer = Answer::to(&client, "POST", &path, "application/json", &body).await;
        assert_eq!(answer.code, code, "{}", answer.text);
        let told =
            answer.warnings.iter().any(|w| w.contains("unknown field") && w.contains("spec.bogus"));
        assert_eq!(told, warned, "{:?}", answer.warnings);
    }
    let path = format!("{}?fieldValidation=Sometimes", space.path());
    let answer = Answer::to(&client, "POST", &path, "application/json", &body).await;
    assert_eq!((answer.code, answer.reason()), (422, "Invalid"), "{}", answer.text);
}

pub async fn rules_compare_with_what_was(client: Client) {
    let space = Space::new(&client).await;
    // A rule about a change holds from the first change on.
    space.create("one", 1).await;
    space.merge("one", json!({"spec": {"fixed": "a"}})).await;
    space.merge("one", json!({"spec": {"size": 3}})).await;
    let patch = Patch::Merge(json!({"spec": {"fixed": "b"}}));
    let refused = status(space.widgets().patch("one", &PatchParams::default(), &patch).await);
    let causes = refused.details.unwrap().causes;
    assert!(
        causes.iter().any(|c| c.reason == "FieldValueInvalid" && c.field == "spec.fixed"),
        "{causes:?}"
    );
    // What goes may come back otherwise.
    space.merge("one", json!({"spec": {"fixed": null}})).await;
    let back = space.merge("one", json!({"spec": {"fixed": "b"}})).await;
    assert_eq!(back.data["spec"]["fixed"], "b");
    // A dry run is held to the rules too.
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let both = json!({"size": 1, "parts": [{"name": "a", "uses": "x", "task": "y"}]});
    let refused = status(space.widgets().create(&dry, &space.with("two", both)).await);
    assert_eq!((refused.code, refused.reason.as_str()), (422, "Invalid"));
}

pub async fn definitions_are_checked(client: Client) {
    let space = Space::new(&client).await;
    let definition = |change: &dyn Fn(&mut serde_json::Value)| {
        let text = crate::support::DEFINITION.replace("widgets", "gadgets");
        let text =
            text.replace("Widget", "Gadget").replace("widget", "gadget").replace("[wi]", "[ga]");
        let mut value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        change(&mut value);
        value.to_string()
    };
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
    for (what, body, words) in [
        (
            "a name that is not plural and group",
            definition(&|d| d["metadata"]["name"] = json!("gadget.example.com")),
            "metadata.name",
        ),
        (
            "a rule that does not compile",
            definition(&|d| {
                d["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
                    json!([{"rule": "self.((", "message": "no"}]);
            }),
            "x-kubernetes-validations[0].rule",
        ),
        (
            "no version that is stored",
            definition(&|d| d["spec"]["versions"][0]["storage"] = json!(false)),
            "spec.versions",
        ),
        (
            "a scope that there is not",
            definition(&|d| d["spec"]["scope"] = json!("Somewhere")),
            "spec.scope",
        ),
    ] {
        let answer = Answer::to(&client, "POST", path, "application/json", &body).await;
        assert_eq!((answer.code, answer.reason()), (422, "Invalid"), "{what}: {}", answer.text);
        assert!(answer.text.contains(words), "{what}: {}", answer.text);
    }
    drop(space);
}

/// The project's own definitions are taken without a word of warning, and served.
pub async fn the_projects_definitions_are_served(client: Client) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let definition: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}?fieldManager=conformance&force=true&fieldValidation=Strict"
        );
        let kind = "application/apply-patch+yaml";
        let answer = Answer::to(&client, "PATCH", &path, kind, &text).await;
        assert!(matches!(answer.code, 200 | 201), "{name}: {}", answer.text);
        assert!(answer.warnings.is_empty(), "{name}: {:?}", answer.warnings);
        names.push(name);
    }
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        let established = kube::runtime::wait::conditions::is_crd_established();
        kube::runtime::wait::await_condition(definitions.clone(), &name, established)
            .await
            .unwrap();
        let definition = definitions.get(&name).await.unwrap();
        let conditions = definition.status.unwrap().conditions.unwrap_or_default();
        assert!(
            conditions.iter().all(|c| c.type_ != "NonStructuralSchema" || c.status == "False"),
            "{name}: {conditions:?}"
        );
    }
}
