//! What controllers rely on in a Kubernetes API, as scenarios that take nothing but a client: the sandbox's
//! API is held to them here, and a real API server to the same ones, so that neither can drift from what
//! is written.
//!
//! The real one is what `make envtest` builds, or the cluster of the kubeconfig that
//! `CONFORMANCE_KUBECONFIG` names. Each scenario makes a namespace of its own.

#[path = "conformance/apply.rs"]
mod apply;
#[path = "conformance/deletion.rs"]
mod deletion;
#[path = "conformance/metadata.rs"]
mod metadata;
#[path = "conformance/objects.rs"]
mod objects;
#[path = "conformance/reading.rs"]
mod reading;
#[path = "conformance/schema.rs"]
mod schema;
#[path = "conformance/support.rs"]
mod support;
#[path = "conformance/watching.rs"]
mod watching;

/// Runs each scenario as a test of its own, on the sandbox and on a real API server.
macro_rules! scenarios {
    ($($module:ident: $($name:ident),+ $(,)?;)+) => {
        mod on_the_sandbox {
            $(mod $module {
                $(#[tokio::test]
                async fn $name() {
                    crate::support::on_the_sandbox(crate::$module::$name).await;
                })+
            })+
        }
        mod on_a_real_server {
            $(mod $module {
                $(#[tokio::test]
                async fn $name() {
                    let collects = stringify!($module) == "deletion";
                    crate::support::on_a_real_server(collects, crate::$module::$name).await;
                })+
            })+
        }
    };
}

scenarios! {
        objects:
            created_objects_get_what_the_server_gives,
            names_are_generated_and_checked,
            refusals_carry_reason_code_and_details,
            an_update_needs_the_current_version,
            status_and_spec_are_written_apart,
            writes_that_change_nothing_write_nothing,
            merge_and_json_patches,
            strategic_patches_are_for_built_in_kinds,
            secrets_encode_plain_data,
            a_dry_run_leaves_no_trace,
            events_are_one_thing_in_two_groups;
        metadata:
            bodies_must_fit_their_path,
            content_types_and_paths_that_are_not_served,
            what_is_the_servers_stays_the_servers,
            labels_and_annotations_are_checked,
            plain_writes_have_managers_too,
            apply_says_what_it_needs;
        reading:
            lists_are_selected_by_labels_and_fields,
            lists_come_in_pages,
            tables_follow_the_printer_columns,
            metadata_can_be_asked_for_alone,
            discovery_tells_groups_and_resources,
            lists_are_as_new_as_they_are_asked_to_be,
            an_empty_list_is_a_list,
            discovery_comes_in_one_piece_too;
        apply:
            apply_creates_changes_and_removes,
            apply_conflicts_name_manager_and_field,
            applied_lists_merge_by_key,
            a_status_can_be_applied;
        deletion:
            finalizers_hold_an_object,
            preconditions_are_kept,
            a_selection_is_deleted,
            dependents_go_with_their_owner,
            foreground_and_orphan,
            a_namespace_takes_its_contents,
            a_definition_takes_its_objects;
        watching:
            a_watch_tells_what_happens_after_a_version,
            a_watch_without_version_begins_with_what_is_there,
            the_end_of_a_finalized_object_is_one_event,
            a_selective_watch_sees_objects_come_and_go,
            streamed_lists_end_with_a_bookmark,
            a_watch_ends_at_its_timeout_with_a_bookmark,
            reflectors_follow,
            a_watch_from_before_the_kind_is_expired,
            initial_events_need_their_conditions,
            watches_come_as_metadata_and_tables;
        schema:
            defaults_are_set_and_unknown_fields_dropped,
            breaches_are_told_with_field_and_cause,
            rules_are_evaluated,
            strict_validation_refuses_unknown_fields,
            a_changed_definition_is_served_at_once,
            values_are_checked_wherever_they_stand,
            unknown_fields_are_warned_of,
            rules_compare_with_what_was,
            definitions_are_checked,
            the_projects_definitions_are_served;
}

mod only_on_the_sandbox {
    use crate::support;
    use futures::{StreamExt, TryStreamExt};
    use kube::api::{WatchEvent, WatchParams};
    use sandbox::kubernetes::{Api, Failure, Limits};
    use std::sync::Arc;

    /// A watch from before the history is told 410.
    #[tokio::test]
    async fn a_watch_from_a_forgotten_version_is_gone() {
        let api = Api::with_limits(Limits { history: 3, ..Limits::default() });
        let client = api.client();
        let space = support::Space::new(&client).await;
        let widgets = space.widgets();
        for n in 0..5 {
            space.create(&format!("w{n}"), 1).await;
        }
        let mut watch = widgets.watch(&WatchParams::default(), "1").await.unwrap().boxed();
        match watch.try_next().await.unwrap().unwrap() {
            WatchEvent::Error(status) => {
                assert_eq!((status.code, status.reason.as_str()), (410, "Expired"))
            }
            other => panic!("{other:?}"),
        }
        let now = api.version();
        api.compact();
        let mut watch =
            widgets.watch(&WatchParams::default(), &now.to_string()).await.unwrap().boxed();
        space.create("later", 1).await;
        assert!(matches!(watch.try_next().await.unwrap().unwrap(), WatchEvent::Added(_)));
    }

    /// A watcher that does not read is closed, and what it has missed can be had again.
    #[tokio::test]
    async fn a_slow_watcher_is_closed() {
        let api = Api::with_limits(Limits { watch_buffer: 4, ..Limits::default() });
        let client = api.client();
        let space = support::Space::new(&client).await;
        let from = api.version().to_string();
        let mut watch =
            space.widgets().watch(&WatchParams::default(), &from).await.unwrap().boxed();
        for n in 0..20 {
            space.create(&format!("w{n}"), 1).await;
        }
        let mut seen = 0;
        while let Some(event) = watch.try_next().await.unwrap() {
            assert!(matches!(event, WatchEvent::Added(_)));
            seen += 1;
        }
        assert!(seen < 20, "{seen}");
        assert_eq!(api.watches(), 0);
    }

    /// Closing the watches ends them; counters and hooks see requests.
    #[tokio::test]
    async fn watches_can_be_closed_and_requests_counted_and_refused() {
        let api = Api::new();
        let client = api.client();
        let space = support::Space::new(&client).await;
        let before = api.requests();
        let from = api.version().to_string();
        let mut watch =
            space.widgets().watch(&WatchParams::default(), &from).await.unwrap().boxed();
        assert_eq!(api.watches(), 1);
        api.close_watches();
        assert!(watch.try_next().await.unwrap().is_none());
        space.create("one", 1).await;
        let since = api.requests().since(&before);
        assert_eq!(
            (since.of("watch", "widgets"), since.of("create", "widgets"), since.writes()),
            (1, 1, 1)
        );
        assert_eq!(since.total(), 2);
        api.set_hook(Some(Arc::new(|request| {
            (request.verb == "create" && request.resource == "widgets")
                .then(|| Failure::new(503, "ServiceUnavailable", "later"))
        })));
        let refused = space
            .widgets()
            .create(&kube::api::PostParams::default(), &space.widget("two", 1))
            .await;
        assert_eq!(support::status(refused).code, 503);
        api.set_hook(None);
        space.create("two", 1).await;
    }

    /// The project's own definitions, Argo CD's and the reference's can be loaded, and again.
    #[tokio::test]
    async fn definitions_are_loaded_from_files() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let api = Api::new();
        for _ in 0..2 {
            api.load_folder(&root.join("../../crds")).unwrap();
            api.load(sandbox::kubernetes::ARGOCD_DEFINITIONS).unwrap();
        }
        let client = api.client();
        let served = client.list_api_group_resources("kargo.akuity.io/v1alpha1").await.unwrap();
        for kind in ["Project", "Warehouse", "Freight", "Stage", "Promotion", "PromotionTask"] {
            assert!(served.resources.iter().any(|resource| resource.kind == kind), "{kind}");
        }
        let argo = client.list_api_group_resources("argoproj.io/v1alpha1").await.unwrap();
        assert!(argo.resources.iter().all(|resource| resource.name != "applications/status"));
        assert_eq!(api.load_folder(&root.join("nowhere")).unwrap_err().code, 400);

        let reference = root.join("../../../shared/spec/crds");
        let Ok(entries) = std::fs::read_dir(&reference) else {
            println!("skipped: {} is not there", reference.display());
            return;
        };
        let api = Api::new();
        for entry in entries {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            api.load_value(serde_json::from_str(&text).unwrap()).unwrap();
        }
        let served =
            api.client().list_api_group_resources("kargo.akuity.io/v1alpha1").await.unwrap();
        assert_eq!(
            served.resources.iter().filter(|resource| !resource.name.contains('/')).count(),
            11
        );
    }

    /// Bodies are bounded.
    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let api = Api::with_limits(Limits { body: 2000, ..Limits::default() });
        let request = http::Request::post("/api/v1/namespaces")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(vec![b' '; 3000]))
            .unwrap();
        assert_eq!(api.handle(request).await.status(), 413);
    }

    /// Whatever the bytes, there is an answer.
    #[tokio::test]
    async fn nothing_that_is_sent_makes_it_fall() {
        let api = Api::new();
        api.load(support::DEFINITION).unwrap();
        let paths = [
            "/",
            "//",
            "/api",
            "/apis/%ff%fe",
            "/api/v1/namespaces/%00",
            "/apis/sandbox.example.com/v1/namespaces/default/widgets",
            "/apis/sandbox.example.com/v1/namespaces/default/widgets/x",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "/apis/sandbox.example.com/v1/widgets?watch=1&resourceVersion=x",
            "/apis/sandbox.example.com/v1/widgets?continue=e30&limit=1",
            "/api/v1/namespaces/default/secrets/x/y/z",
            "/api/v1/events?fieldSelector=%3D%3D",
            "/api/v1/secrets?labelSelector=(((",
        ];
        let bodies = [
            "",
            "null",
            "[]",
            "7",
            "\"x\"",
            "{}",
            "{\"kind\":7}",
            "{\"metadata\":[]}",
            "[{\"op\":\"add\"}]",
            "{\"metadata\":{\"labels\":7}}",
            "{\"apiVersion\":\"sandbox.example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"x\",\"finalizers\":{},\"managedFields\":\"x\"},\"spec\":[]}",
            "{\"apiVersion\":\"sandbox.example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"x\",\"ownerReferences\":[7]},\"spec\":{\"size\":1,\"parts\":[7,null]}}",
            "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"x\"},\"spec\":7}",
            "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"a.b\"},\"spec\":{\"group\":\"b\",\"scope\":\"Cluster\",\"names\":{\"plural\":\"a\",\"kind\":\"A\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"x-kubernetes-validations\":[{\"rule\":\"((((\"}],\"pattern\":\"[\"}}}]}}",
        ];
        let kinds = [
            "application/json",
            "application/yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
            "application/apply-patch+yaml",
            "application/vnd.kubernetes.protobuf",
            "x",
        ];
        for path in paths {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
                for kind in kinds {
                    for body in bodies {
                        let request = http::Request::builder()
                            .method(method)
                            .uri(format!(
                                "{path}{}fieldManager=x&force=1",
                                if path.contains('?') { "&" } else { "?" }
                            ))
                            .header("content-type", kind)
                            .body(axum::body::Body::from(body))
                            .unwrap();
                        let status = api.handle(request).await.status();
                        assert_ne!(status, 500, "{method} {path} {kind} {body}");
                    }
                }
            }
        }
    }
}
