//! Kubernetes' protobuf, as far as kubectl sends it: `kubectl create` writes Namespaces, Secrets,
//! ConfigMaps and the like in it, and there is no JSON to fall back on. Answers are always JSON.

use base64::Engine;
use serde_json::{Map, Value, json};

/// How deep messages may nest.
const MAX_DEPTH: usize = 16;

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Int,
    Bool,
    Time,
    Message(&'static [Field]),
    TextMap,
    BytesMap,
    Texts,
    Messages(&'static [Field]),
}

/// Number, JSON name and kind of a field.
type Field = (u64, &'static str, Kind);

const OWNER: &[Field] = &[
    (1, "kind", Kind::Text),
    (3, "name", Kind::Text),
    (4, "uid", Kind::Text),
    (5, "apiVersion", Kind::Text),
    (6, "controller", Kind::Bool),
    (7, "blockOwnerDeletion", Kind::Bool),
];

const METADATA: &[Field] = &[
    (1, "name", Kind::Text),
    (2, "generateName", Kind::Text),
    (3, "namespace", Kind::Text),
    (5, "uid", Kind::Text),
    (6, "resourceVersion", Kind::Text),
    (8, "creationTimestamp", Kind::Time),
    (11, "labels", Kind::TextMap),
    (12, "annotations", Kind::TextMap),
    (13, "ownerReferences", Kind::Messages(OWNER)),
    (14, "finalizers", Kind::Texts),
];

const RULE: &[Field] = &[
    (1, "verbs", Kind::Texts),
    (2, "apiGroups", Kind::Texts),
    (3, "resources", Kind::Texts),
    (4, "resourceNames", Kind::Texts),
    (5, "nonResourceURLs", Kind::Texts),
];

const SUBJECT: &[Field] = &[
    (1, "kind", Kind::Text),
    (2, "apiGroup", Kind::Text),
    (3, "name", Kind::Text),
    (4, "namespace", Kind::Text),
];

const ROLE_REF: &[Field] =
    &[(1, "apiGroup", Kind::Text), (2, "kind", Kind::Text), (3, "name", Kind::Text)];

const ATTRIBUTES: &[Field] = &[
    (1, "namespace", Kind::Text),
    (2, "verb", Kind::Text),
    (3, "group", Kind::Text),
    (4, "version", Kind::Text),
    (5, "resource", Kind::Text),
    (6, "subresource", Kind::Text),
    (7, "name", Kind::Text),
];

fn fields(kind: &str) -> Option<&'static [Field]> {
    const META: Field = (1, "metadata", Kind::Message(METADATA));
    const ROLE: &[Field] = &[META, (2, "rules", Kind::Messages(RULE))];
    const BINDING: &[Field] =
        &[META, (2, "subjects", Kind::Messages(SUBJECT)), (3, "roleRef", Kind::Message(ROLE_REF))];
    Some(match kind {
        "Namespace" | "ServiceAccount" => &[META],
        "Secret" => &[
            META,
            (2, "data", Kind::BytesMap),
            (3, "type", Kind::Text),
            (4, "stringData", Kind::TextMap),
            (5, "immutable", Kind::Bool),
        ],
        "ConfigMap" => &[
            META,
            (2, "data", Kind::TextMap),
            (3, "binaryData", Kind::BytesMap),
            (4, "immutable", Kind::Bool),
        ],
        "Role" | "ClusterRole" => ROLE,
        "RoleBinding" | "ClusterRoleBinding" => BINDING,
        "SelfSubjectAccessReview" => {
            const SPEC: &[Field] = &[(1, "resourceAttributes", Kind::Message(ATTRIBUTES))];
            &[META, (2, "spec", Kind::Message(SPEC))]
        }
        "SelfSubjectReview" => &[META],
        "DeleteOptions" => {
            const PRECONDITIONS: &[Field] =
                &[(1, "uid", Kind::Text), (2, "resourceVersion", Kind::Text)];
            &[
                (1, "gracePeriodSeconds", Kind::Int),
                (2, "preconditions", Kind::Message(PRECONDITIONS)),
                (3, "orphanDependents", Kind::Bool),
                (4, "propagationPolicy", Kind::Text),
                (5, "dryRun", Kind::Texts),
            ]
        }
        _ => return None,
    })
}

/// One field as it stands in the bytes.
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}

fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Raw<'a>)> {
    let tag = varint(bytes)?;
    let raw = match tag & 7 {
        0 => Raw::Number(varint(bytes)?),
        1 => Raw::Bytes(take(bytes, 8)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Raw::Bytes(take(bytes, length)?)
        }
        5 => Raw::Bytes(take(bytes, 4)?),
        _ => return None,
    };
    Some((tag >> 3, raw))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn encoded(bytes: &[u8]) -> Value {
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

fn pair(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Raw::Bytes(found)) => key = found,
            (2, Raw::Bytes(found)) => value = found,
            _ => {}
        }
    }
    Some((text(key)?, value))
}

fn time(mut bytes: &[u8]) -> Option<Value> {
    let mut seconds = 0i64;
    while !bytes.is_empty() {
        if let (1, Raw::Number(found)) = next(&mut bytes)? {
            seconds = i64::try_from(found).ok()?;
        }
    }
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    Some(if seconds == 0 {
        Value::Null
    } else {
        json!(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    })
}

fn message(mut bytes: &[u8], known: &'static [Field], depth: usize) -> Option<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut out = Map::new();
    while !bytes.is_empty() {
        let (number, raw) = next(&mut bytes)?;
        let Some((_, name, kind)) = known.iter().find(|field| field.0 == number) else { continue };
        let name = (*name).to_owned();
        match (kind, raw) {
            (Kind::Int, Raw::Number(value)) => drop(out.insert(name, json!(value.cast_signed()))),
            (Kind::Bool, Raw::Number(value)) => drop(out.insert(name, json!(value != 0))),
            (Kind::Text, Raw::Bytes(value)) => {
                let value = text(value)?;
                if !value.is_empty() {
                    out.insert(name, json!(value));
                }
            }
            (Kind::Time, Raw::Bytes(value)) => {
                let time = time(value)?;
                if !time.is_null() {
                    out.insert(name, time);
                }
            }
            (Kind::Message(inner), Raw::Bytes(value)) => {
                out.insert(name, Value::Object(message(value, inner, depth + 1)?));
            }
            (Kind::TextMap | Kind::BytesMap, Raw::Bytes(value)) => {
                let (key, value) = pair(value)?;
                let value = if matches!(kind, Kind::TextMap) {
                    json!(text(value)?)
                } else {
                    encoded(value)
                };
                out.entry(name).or_insert_with(|| json!({}))[key] = value;
            }
            (Kind::Texts | Kind::Messages(_), Raw::Bytes(value)) => {
                let value = match kind {
                    Kind::Messages(inner) => Value::Object(message(value, inner, depth + 1)?),
                    _ => json!(text(value)?),
                };
                if let Value::Array(items) = out.entry(name).or_insert_with(|| json!([])) {
                    items.push(value);
                }
            }
            _ => return None,
        }
    }
    Some(out)
}

/// Reads an object in its envelope; `None` when it is none, or of a kind that is not known here.
pub fn read(body: &[u8]) -> Option<Value> {
    const TYPE: &[Field] = &[(1, "apiVersion", Kind::Text), (2, "kind", Kind::Text)];
    let mut bytes = body.strip_prefix(b"k8s\0")?;
    let (mut kind, mut raw): (Map<String, Value>, &[u8]) = (Map::new(), b"");
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Raw::Bytes(found)) => kind = message(found, TYPE, 0)?,
            (2, Raw::Bytes(found)) => raw = found,
            _ => {}
        }
    }
    let mut out = message(raw, fields(kind.get("kind")?.as_str()?)?, 0)?;
    out.extend(kind);
    Some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    #[test]
    fn a_secret_is_read() {
        let metadata = field(
            1,
            &[field(1, b"s"), field(11, &[field(1, b"a"), field(2, b"b")].concat())].concat(),
        );
        let data = field(2, &[field(1, b"password"), field(2, b"x")].concat());
        let raw = [metadata, data, field(3, b"Opaque")].concat();
        let kind = field(1, &[field(1, b"v1"), field(2, b"Secret")].concat());
        let body = [b"k8s\0".to_vec(), kind, field(2, &raw)].concat();
        let wanted = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "b"}},
            "data": {"password": "eA=="}, "type": "Opaque",
        });
        assert_eq!(read(&body), Some(wanted));
        for end in 0..body.len() {
            // Whatever is cut off, nothing panics.
            let _ = read(&body[..end]);
        }
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
