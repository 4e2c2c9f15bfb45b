//! Whether a namespace is a Project's (`admission` 2.1).

use std::collections::BTreeMap;

use super::field_error::FieldError;

/// What is wrong with creating an object in `namespace`, which has `labels`.
/// A namespace that does not exist is the caller's to report.
pub fn check_project(namespace: &str, labels: &BTreeMap<String, String>) -> Option<FieldError> {
    let is_project = labels.get(crate::labels::PROJECT).is_some_and(|v| v == "true");
    (!is_project).then(|| {
        FieldError::invalid(
            "metadata.namespace",
            namespace,
            format!("namespace {namespace:?} is not a project"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_label_makes_a_namespace_a_project_s() {
        let labels = |value: &str| [(crate::labels::PROJECT.to_owned(), value.to_owned())].into();
        assert_eq!(check_project("p", &labels("true")), None);
        for wrong in [labels("false"), BTreeMap::new()] {
            let error = check_project("p", &wrong).unwrap();
            assert_eq!(error.field, "metadata.namespace");
            assert_eq!(error.detail, "namespace \"p\" is not a project");
        }
    }
}
