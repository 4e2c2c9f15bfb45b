//! In which form the client wants its answer, and in which it sends its body.

use super::failure::Failure;
use super::protobuf;
use serde_json::Value;

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Objects as they are.
    #[default]
    Plain,
    /// Tables for people.
    Table,
    /// Metadata only.
    Partial,
}

/// What `Accept` asks for among the things this API can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// The form of objects.
    pub form: Form,
    /// Whether discovery may come as one aggregated answer.
    pub aggregated: bool,
    /// Whether protobuf comes before JSON.
    pub protobuf: bool,
}

impl Accept {
    /// Reads an `Accept` header; the first form that is known wins.
    pub fn parse(header: &str) -> Self {
        let mut accept = Self::default();
        let mut first = true;
        for range in header.split(',').map(str::trim) {
            let parameters: Vec<(&str, &str)> =
                range.split(';').skip(1).filter_map(|part| part.trim().split_once('=')).collect();
            let get = |name: &str| {
                parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
            };
            let json = range.starts_with("application/json");
            if json && get("g") == Some("apidiscovery.k8s.io") && get("v") == Some("v2") {
                accept.aggregated = true;
            }
            let form = match get("as") {
                Some("Table") if get("v") == Some("v1") => Some(Form::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Form::Partial),
                Some(_) => None,
                None => Some(Form::Plain),
            };
            if range.contains("proto") && first {
                accept.protobuf = true;
            } else if json
                && first
                && let Some(form) = form
            {
                accept.form = form;
                first = false;
            }
        }
        accept
    }
}

/// Reads a body that is JSON, or YAML where the header says so.
///
/// # Errors
/// 400 when it cannot be read, 415 for other forms and for protobuf of kinds that kubectl does not send.
pub fn read(content_type: &str, body: &[u8]) -> Result<Value, Failure> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    match kind {
        ""
        | "application/json"
        | "application/json-patch+json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => {
            serde_json::from_slice(body).map_err(|error| {
                Failure::bad_request(format!("the body of the request is not valid JSON: {error}"))
            })
        }
        "application/yaml" | "application/apply-patch+yaml" => serde_yaml::from_slice(body)
            .map_err(|error| {
                Failure::bad_request(format!("the body of the request is not valid YAML: {error}"))
            }),
        "application/vnd.kubernetes.protobuf" => protobuf::read(body)
            .ok_or_else(|| Failure::unsupported_media_type("application/json, application/yaml")),
        _ => Err(Failure::unsupported_media_type("application/json, application/yaml")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_form_wins() {
        for (header, wanted) in [
            ("", Accept::default()),
            ("application/json", Accept::default()),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Accept { form: Form::Table, ..Accept::default() },
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                Accept { aggregated: true, ..Accept::default() },
            ),
            (
                "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
                Accept { protobuf: true, ..Accept::default() },
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Accept { form: Form::Partial, ..Accept::default() },
            ),
        ] {
            assert_eq!(Accept::parse(header), wanted, "{header}");
        }
    }
}
