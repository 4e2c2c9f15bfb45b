//! What is checked and set on every object that comes in, before its own schema: names, labels,
//! `metadata` that belongs to the server, and the habits of a few built-in kinds.

use super::failure::{Cause, Failure};
use super::resource::Resource;
use base64::Engine;
use rand::RngExt;
use serde_json::{Map, Value, json};

/// Most bytes that the annotations of an object may have together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Makes sure that the body is an object with `metadata` and is of the resource's kind.
///
/// # Errors
/// 400 when it is not.
pub fn body(resource: &Resource, object: &mut Value) -> Result<(), Failure> {
    let Value::Object(fields) = object else {
        return Err(Failure::bad_request("the object provided is not a JSON object"));
    };
    for (field, wanted) in [("apiVersion", resource.api_version()), ("kind", resource.kind.clone())]
    {
        match fields.get(field).and_then(Value::as_str).unwrap_or_default() {
            "" if resource.custom => {
                let label = if field == "kind" {
                    "Object 'Kind' is missing"
                } else {
                    "Object 'apiVersion' is missing"
                };
                return Err(Failure::bad_request(format!("{label} in '{}'", shortened(fields))));
            }
            "" => {
                fields.insert(field.to_owned(), json!(wanted));
            }
            found if found == wanted => {}
            _ if resource.custom => return Err(of_another_kind(resource, fields)),
            found => {
                return Err(Failure::bad_request(format!(
                    "{field} {found:?} of the object does not match {wanted:?} of the request's path"
                )));
            }
        }
    }
    match fields.get("metadata") {
        None | Some(Value::Null) => {
            fields.insert("metadata".to_owned(), json!({}));
        }
        Some(Value::Object(_)) => {}
        Some(_) => return Err(Failure::bad_request("metadata of the object is not a JSON object")),
    }
    let metadata = metadata(object);
    for field in ["labels", "annotations"] {
        match metadata.get(field) {
            None => {}
            Some(Value::Null) => {
                metadata.remove(field);
            }
            Some(Value::Object(map)) => {
                if let Some((key, _)) = map.iter().find(|(_, value)| !value.is_string()) {
                    return Err(Failure::bad_request(format!(
                        "cannot unmarshal metadata.{field}[{key:?}] of the object into a string; quote the value"
                    )));
                }
            }
            Some(_) => {
                return Err(Failure::bad_request(format!(
                    "metadata.{field} of the object is not a map of strings"
                )));
            }
        }
    }
    for field in ["finalizers", "ownerReferences", "managedFields"] {
        if metadata
            .get(field)
            .is_some_and(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty))
        {
            if field != "managedFields" {
                metadata.remove(field);
            }
        } else if metadata.get(field).is_some_and(|value| !value.is_array()) {
            return Err(Failure::bad_request(format!(
                "metadata.{field} of the object is not a list"
            )));
        }
    }
    if metadata.get("creationTimestamp").is_some_and(Value::is_null) {
        metadata.remove("creationTimestamp");
    }
    Ok(())
}

/// A custom object that is not of the path's version (400) or kind (422).
fn of_another_kind(resource: &Resource, fields: &Map<String, Value>) -> Failure {
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
    let (found, wanted) = (text("apiVersion"), resource.api_version());
    if found != wanted {
        return Failure::bad_request(format!(
            "the API version in the data ({found}) does not match the expected API version ({wanted})"
        ));
    }
    let must = format!("must be {}", resource.kind);
    let causes = [Cause::invalid("kind", &json!(text("kind")), must)];
    let name = fields.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str);
    let found = Resource { kind: text("kind").to_owned(), ..resource.clone() };
    Failure::invalid(&found, name.unwrap_or_default(), &causes)
}

fn shortened(fields: &Map<String, Value>) -> String {
    Value::Object(fields.clone()).to_string().chars().take(200).collect()
}

/// The object's metadata; an empty one is put where there is none.
pub fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(fields) => fields,
        _ => unreachable!("an object was put there on the line above"),
    }
}

/// A string of the object's metadata; empty where there is none.
pub fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A name made from `generateName`.
pub fn generated(prefix: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut random = rand::rng();
    let mut name: String = prefix.chars().take(58).collect();
    for _ in 0..5 {
        let at = random.random_range(0..LETTERS.len());
        name.extend(LETTERS.get(at).map(|letter| char::from(*letter)));
    }
    name
}

fn subdomain(name: &str) -> bool {
    let edge = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(|letter| edge(*letter))
                && bytes.last().is_some_and(|letter| edge(*letter))
                && bytes.iter().all(|letter| edge(*letter) || *letter == b'-')
        })
}

/// `[prefix/]name` as labels, annotations and finalizers have it.
fn qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            subdomain(prefix) && !prefix.is_empty() && !name.is_empty() && label_value(name)
        }
        None => !key.is_empty() && label_value(key),
    }
}

fn label_value(value: &str) -> bool {
    let edge = |letter: Option<&u8>| letter.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    value.is_empty()
        || (value.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|letter| letter.is_ascii_alphanumeric() || b"-_.".contains(letter)))
}

/// What is wrong with the metadata.
pub fn check_metadata(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = meta(object, "name");
    let free = resource.group == "rbac.authorization.k8s.io";
    let dns = if resource.plural == "namespaces" {
        subdomain(name) && name.len() <= 63 && !name.contains('.')
    } else {
        subdomain(name)
    };
    if free && (name.is_empty() || name.contains(['/', '%'])) || !free && !dns {
        causes.push(Cause::invalid("metadata.name", &json!(name), if resource.plural == "namespaces" {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        } else {
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        }));
    }
    let map =
        |field: &str| object.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
    for (key, value) in map("labels").into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if !qualified(key) {
            causes.push(Cause::invalid("metadata.labels", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
        }
        if value.len() > 63 {
            causes.push(Cause::invalid(
                "metadata.labels",
                &json!(value),
                "must be no more than 63 bytes",
            ));
        } else if !label_value(value) {
            causes.push(Cause::invalid("metadata.labels", &json!(value), "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"));
        }
    }
    let mut total = 0;
    for (key, value) in map("annotations").into_iter().flatten() {
        total += key.len() + value.as_str().map_or(0, str::len);
        if !qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
        }
    }
    if total > MAX_ANNOTATIONS {
        causes.push(Cause::new(
            "FieldValueTooLong",
            "metadata.annotations",
            format!("Too long: may not be more than {MAX_ANNOTATIONS} bytes"),
        ));
    }
    let list = |field: &str| {
        object
            .pointer(&format!("/metadata/{field}"))
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    for finalizer in list("finalizers") {
        if !finalizer.as_str().is_some_and(qualified) {
            causes.push(Cause::invalid(
                "metadata.finalizers",
                finalizer,
                "name part must be non-empty",
            ));
        }
    }
    let mut controllers = 0;
    for (at, owner) in list("ownerReferences").iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                let place = format!("metadata.ownerReferences[{at}].{field}");
                causes.push(Cause::invalid(
                    &place,
                    &json!(""),
                    format!("{} must not be empty", field),
                ));
            }
        }
        controllers +=
            usize::from(owner.get("controller").and_then(Value::as_bool).unwrap_or_default());
    }
    if controllers > 1 {
        causes.push(Cause::invalid(
            "metadata.ownerReferences",
            &Value::Array(list("ownerReferences").to_vec()),
            format!("Only one reference can have Controller set to true. Found {controllers}"),
        ));
    }
    causes
}

/// What a few built-in kinds get when they are written.
///
/// # Errors
/// 400 for a Secret whose `stringData` is no map of strings.
pub fn builtin(resource: &Resource, object: &mut Value, create: bool) -> Result<(), Failure> {
    match resource.storage.as_str() {
        "namespaces" if create => {
            let name = meta(object, "name").to_owned();
            let labels = metadata(object).entry("labels").or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = json!(name);
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        "secrets" => {
            let Value::Object(fields) = object else { return Ok(()) };
            if let Some(plain) = fields.remove("stringData").filter(|plain| !plain.is_null()) {
                let Value::Object(plain) = plain else {
                    return Err(Failure::bad_request(
                        "stringData of the Secret is not a map of strings",
                    ));
                };
                let data = fields.entry("data").or_insert_with(|| json!({}));
                if !data.is_object() {
                    *data = json!({});
                }
                for (key, value) in plain {
                    let Value::String(text) = value else {
                        return Err(Failure::bad_request(format!(
                            "stringData[{key:?}] of the Secret is not a string"
                        )));
                    };
                    data[key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
                }
            }
            let missing = fields.get("type").and_then(Value::as_str).unwrap_or_default().is_empty();
            if missing {
                fields.insert("type".to_owned(), json!("Opaque"));
            }
            for (key, value) in fields.get("data").and_then(Value::as_object).into_iter().flatten()
            {
                let decoded = value
                    .as_str()
                    .map(|text| base64::engine::general_purpose::STANDARD.decode(text));
                if !matches!(decoded, Some(Ok(_))) && !value.is_null() {
                    return Err(Failure::bad_request(format!(
                        "data[{key:?}] of the Secret is not base64; use stringData for plain text"
                    )));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_keys_are_checked() {
        for (name, good) in [
            ("a", true),
            ("a.b-c", true),
            ("", false),
            ("A", false),
            ("-a", false),
            ("a.", false),
            ("a_b", false),
        ] {
            assert_eq!(subdomain(name), good, "{name}");
        }
        for (key, good) in
            [("a", true), ("k.io/A_b", true), ("/a", false), ("k.io/", false), ("a b", false)]
        {
            assert_eq!(qualified(key), good, "{key}");
        }
        for (value, good) in [("", true), ("a.B-1", true), ("-a", false), ("a:b", false)] {
            assert_eq!(label_value(value), good, "{value}");
        }
    }

    #[test]
    fn generated_names_keep_their_prefix() {
        let name = generated("promo-");
        assert!(name.starts_with("promo-") && name.len() == 11 && subdomain(&name), "{name}");
        assert_eq!(generated(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn plain_secret_data_is_encoded() {
        let all = super::super::builtin::resources();
        let secrets = all.iter().find(|resource| resource.plural == "secrets").unwrap();
        let mut secret = json!({"stringData": {"a": "b"}, "data": {"c": "ZA=="}});
        builtin(secrets, &mut secret, true).unwrap();
        assert_eq!(secret, json!({"data": {"a": "Yg==", "c": "ZA=="}, "type": "Opaque"}));
        assert!(builtin(secrets, &mut json!({"data": {"c": "%"}}), true).is_err());
    }
}
