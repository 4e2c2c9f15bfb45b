//! What the API says of itself: groups, versions, resources, and as much OpenAPI as kubectl asks for.

use super::resource::Resource;
use super::store::Store;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// `/api`.
pub fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
    })
}

/// `/version`.
pub fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.0+sandbox", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "in-memory",
    })
}

fn versions(store: &Store) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for resource in store.resources() {
        let known = groups.entry(&resource.group).or_default();
        if !known.contains(&resource.version.as_str()) {
            known.push(&resource.version);
        }
    }
    groups
}

fn group_value(name: &str, versions: &[&str]) -> Value {
    let all: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": all, "preferredVersion": all.first()})
}

/// `/apis`.
pub fn groups(store: &Store) -> Value {
    let all: Vec<Value> = versions(store)
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, versions)| group_value(name, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})
}

/// `/apis/<group>`, if there is such a group.
pub fn group(store: &Store, name: &str) -> Option<Value> {
    let groups = versions(store);
    let mut value = group_value(name, groups.get(name).filter(|_| !name.is_empty())?);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

fn verbs(resource: &Resource) -> Value {
    if resource.review {
        json!(["create"])
    } else {
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    }
}

/// The resources of one group and version, if there are any.
pub fn resources(store: &Store, group: &str, version: &str) -> Option<Value> {
    let mut all = Vec::new();
    for resource in
        store.resources().filter(|found| found.group == group && found.version == version)
    {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        all.push(entry);
        if resource.status {
            all.push(json!({
                "name": format!("{}/status", resource.plural), "singularName": "", "namespaced": resource.namespaced,
                "kind": resource.kind, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    if all.is_empty() {
        return None;
    }
    let name = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": all}),
    )
}

/// All groups with their resources in one answer (aggregated discovery, v2).
pub fn aggregated(store: &Store, core: bool) -> Value {
    let mut items = Vec::new();
    for (name, versions) in versions(store).iter().filter(|(name, _)| name.is_empty() == core) {
        let mut found = Vec::new();
        for version in versions {
            let mut all = Vec::new();
            for resource in
                store.resources().filter(|found| found.group == *name && found.version == *version)
            {
                let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
                let mut entry = json!({
                    "resource": resource.plural, "responseKind": kind, "singularResource": resource.singular,
                    "scope": if resource.namespaced { "Namespaced" } else { "Cluster" }, "verbs": verbs(resource),
                });
                if !resource.short_names.is_empty() {
                    entry["shortNames"] = json!(resource.short_names);
                }
                if !resource.categories.is_empty() {
                    entry["categories"] = json!(resource.categories);
                }
                if resource.status {
                    entry["subresources"] = json!([{"subresource": "status", "responseKind": kind, "verbs": ["get", "patch", "update"]}]);
                }
                all.push(entry);
            }
            found.push(json!({"version": version, "freshness": "Current", "resources": all}));
        }
        items.push(
            json!({"metadata": {"name": name, "creationTimestamp": null}, "versions": found}),
        );
    }
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// `/openapi/v3`: where the documents of each group and version are.
pub fn openapi3(store: &Store) -> Value {
    let mut paths = Map::new();
    for (group, versions) in versions(store) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let url = format!("/openapi/v3/{path}?hash={}", store.version());
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

fn definition_name(resource: &Resource) -> String {
    let mut group: Vec<&str> = resource.group.split('.').filter(|part| !part.is_empty()).collect();
    group.reverse();
    let group = if group.is_empty() { "io.k8s.api.core".to_owned() } else { group.join(".") };
    format!("{group}.{}.{}", resource.version, resource.kind)
}

/// The OpenAPI document of one group and version, if there is such a one: enough for kubectl to find out
/// that the server checks fields, and for `kubectl explain`.
pub fn openapi3_of(store: &Store, group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in
        store.resources().filter(|found| found.group == group && found.version == version)
    {
        let kind =
            json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
        let name = definition_name(resource);
        let mut schema = resource.raw_schema.clone().unwrap_or_else(|| json!({"type": "object"}));
        schema["x-kubernetes-group-version-kind"] = json!([kind]);
        schemas.insert(name.clone(), schema);
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scope}/{}", resource.plural);
        let parameters = json!([
            {"name": "dryRun", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
            {"name": "fieldManager", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
            {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": true}},
        ]);
        let content = json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}});
        let operation = |action: &str| {
            json!({
                "parameters": parameters, "responses": {"200": {"description": "OK", "content": content}},
                "x-kubernetes-action": action, "x-kubernetes-group-version-kind": kind,
            })
        };
        paths.insert(
            collection.clone(),
            json!({"get": operation("list"), "post": operation("post")}),
        );
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({
                "get": operation("get"), "put": operation("put"), "patch": operation("patch"),
                "delete": operation("delete"),
            }),
        );
    }
    if schemas.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"},
        "paths": paths, "components": {"schemas": schemas},
    }))
}

/// `/openapi/v2` as JSON: no definitions, clients use v3.
pub fn openapi2() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.34.0"}, "paths": {}, "definitions": {}})
}

/// `/openapi/v2` as protobuf: the same empty document (field 1 `swagger`, field 2 `info`).
pub fn openapi2_protobuf() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap_or_default()];
        out.extend_from_slice(bytes);
        out
    };
    let mut info = field(1, b"Kubernetes");
    info.extend(field(2, b"v1.34.0"));
    let mut document = field(1, b"2.0");
    document.extend(field(2, &info));
    // Field 8 is `paths`, field 9 `definitions`: empty, but present.
    document.extend(field(8, b""));
    document.extend(field(9, b""));
    document
}
