//! The Applications that an entry of a step's config means, and those of them
//! that the step may change (`steps-argocd` 2 and 3.3). What is not found or
//! not allowed is told with what to do about it.

use super::application::{Application, title};
use super::authorization;
use super::selector::{Selector, SelectorConfig};
use super::{ArgoCd, ArgoCdError};
use crate::error::{ErrorClass, StepError};

/// What an entry of a step's config says about its Applications.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The name, where there is no selector.
    pub name: Option<&'a str>,
    /// The namespace; empty for the default one.
    pub namespace: &'a str,
    /// The selector, where there is no name.
    pub selector: Option<&'a SelectorConfig>,
}

/// How many names a message lists.
const SHOWN_NAMES: usize = 5;

/// The Applications meant; never none.
///
/// # Errors
/// Nothing found (with similar names that there are), a selector that is
/// none, or the cluster's answer.
pub async fn find(argocd: &dyn ArgoCd, target: Target<'_>) -> Result<Vec<Application>, StepError> {
    let namespace = match target.namespace {
        "" => argocd.default_namespace(),
        namespace => namespace,
    };
    if let Some(name) = target.name {
        let app = argocd.get(namespace, name).await.map_err(|e| unreadable(name, namespace, &e))?;
        let Some(app) = app else {
            let there = argocd.list(namespace, None).await.unwrap_or_default();
            return Err(StepError::new(
                ErrorClass::NotFound,
                format!("unable to find {}; {}", title(name, namespace), similar(name, &there)),
            ));
        };
        return Ok(vec![app]);
    }
    let selector =
        Selector::new(target.selector.unwrap_or(&SelectorConfig::default())).map_err(|e| {
            StepError::new(ErrorClass::Config, format!("error building label selector: {e}"))
        })?;
    let apps = argocd
        .list(namespace, Some(&selector))
        .await
        .map_err(|e| e.explain("error listing Argo CD Applications matching selector"))?;
    if apps.is_empty() {
        return Err(StepError::new(
            ErrorClass::NotFound,
            format!("no Argo CD Applications found matching selector in namespace {namespace:?}"),
        ));
    }
    Ok(apps)
}

/// The Applications meant that the Stage may change; never none. Others are
/// left out silently as long as one remains.
///
/// # Errors
/// As [`find`], or none that may be changed, with the annotation to add.
pub async fn find_authorized(
    argocd: &dyn ArgoCd,
    target: Target<'_>,
    project: &str,
    stage: &str,
) -> Result<Vec<Application>, StepError> {
    let found = find(argocd, target).await?;
    let mut allowed = Vec::new();
    let mut first_denied = None;
    let count = found.len();
    for app in found {
        match authorization::authorize(&app, project, stage) {
            Ok(()) => allowed.push(app),
            Err(denied) => {
                tracing::debug!(
                    application = app.name(),
                    namespace = app.namespace(),
                    "the Application does not permit mutation by Stage {project}:{stage}: {denied:?}"
                );
                first_denied.get_or_insert((app, denied));
            }
        }
    }
    match first_denied {
        Some((app, denied)) if allowed.is_empty() => {
            let hint = authorization::hint(&app, &denied, project, stage);
            let what = if target.name.is_some() {
                format!("{} is not authorized", app.title())
            } else {
                format!(
                    "found {count} Application(s) matching selector in namespace {:?}, but none \
                     are authorized for Stage {project}:{stage}",
                    app.namespace()
                )
            };
            Err(StepError::new(ErrorClass::Config, format!("{what}; {hint}")))
        }
        _ => Ok(allowed),
    }
}

fn unreadable(name: &str, namespace: &str, error: &ArgoCdError) -> StepError {
    let app = title(name, namespace);
    error.explain(format!("error finding {app}: error getting {app}"))
}

/// What there is in the place of a name that does not exist.
fn similar(name: &str, there: &[Application]) -> String {
    let mut names: Vec<(usize, &str)> =
        there.iter().map(|app| (distance(name, app.name()), app.name())).collect();
    names.sort_unstable();
    let near = names.iter().filter(|(d, n)| is_near(name, n, *d)).count();
    let quoted = |names: &[(usize, &str)]| {
        let quoted: Vec<String> = names.iter().map(|(_, n)| format!("{n:?}")).collect();
        quoted.join(", ")
    };
    let shown = names.get(..names.len().min(SHOWN_NAMES)).unwrap_or_default();
    if names.is_empty() {
        "there is no Application in that namespace".into()
    } else if near > 0 {
        format!("did you mean {}?", quoted(shown.get(..near.min(shown.len())).unwrap_or_default()))
    } else {
        let more = names.len() - shown.len();
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("Applications there: {}{tail}", quoted(shown))
    }
}

fn is_near(wanted: &str, name: &str, distance: usize) -> bool {
    distance <= 2.max(wanted.chars().count() / 3)
        || (wanted.len() >= 3 && (name.contains(wanted) || wanted.contains(name)))
}

/// How many letters must change (Levenshtein). Names are at most 253 long.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (corner + usize::from(x != *y)).min(left + 1).min(*above + 1);
            corner = std::mem::replace(above, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::argocd::samples::{FakeArgoCd, application};

    #[test]
    fn distances_are_counted() {
        for (a, b, d) in
            [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("ab", "", 2)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_similar_ones() {
        let apps: Vec<Application> = ["frontend-dev", "frontend-prod", "zzz", "billing"]
            .iter()
            .map(|n| application("argocd", n))
            .collect();
        assert_eq!(similar("fronted-dev", &apps), "did you mean \"frontend-dev\"?");
        assert_eq!(similar("frontend", &apps), "did you mean \"frontend-dev\", \"frontend-prod\"?");
        assert_eq!(similar("q", &apps[2..]), "Applications there: \"zzz\", \"billing\"");
        assert_eq!(similar("q", &[]), "there is no Application in that namespace");
    }

    #[tokio::test]
    async fn applications_are_found_and_authorized() {
        let app = |name: &str, stage: &str| {
            json!({"metadata": {"name": name, "labels": {"env": "prod", "x": name},
                    "annotations": {"kargo.akuity.io/authorized-stage": stage}}})
        };
        let yes = "fake-project:fake-stage";
        let find = async |objects: &[serde_json::Value], config: serde_json::Value| {
            let argocd = FakeArgoCd::with(objects);
            let selector: Option<SelectorConfig> =
                config.get("selector").map(|s| serde_json::from_value(s.clone()).unwrap());
            let target = Target {
                name: config.get("name").and_then(|n| n.as_str()),
                namespace: "",
                selector: selector.as_ref(),
            };
            find_authorized(&argocd, target, "fake-project", "fake-stage")
                .await
                .map(|apps| apps.iter().map(|a| a.name().to_owned()).collect::<Vec<_>>())
                .map_err(|e| e.message)
        };
        let prod = json!({"selector": {"matchLabels": {"env": "prod"}}});
        // steps-argocd/12-8
        assert_eq!(
            find(&[app("app1", yes), app("app2", yes)], prod.clone()).await.unwrap(),
            ["app1", "app2"]
        );
        assert_eq!(
            find(&[app("app1", yes), app("app2", "a:b")], prod.clone()).await.unwrap(),
            ["app1"]
        );
        let three = [app("1", "a:b"), app("2", "a:b"), app("3", "a:b")];
        assert!(find(&three, prod.clone()).await.unwrap_err().starts_with(
            "found 3 Application(s) matching selector in namespace \"argocd\", but none are \
             authorized for Stage fake-project:fake-stage; "
        ));
        assert_eq!(
            find(&[], prod).await.unwrap_err(),
            "no Argo CD Applications found matching selector in namespace \"argocd\""
        );
        let bare = json!({"metadata": {"name": "app1"}});
        let denied = find(&[bare], json!({"name": "app1"})).await.unwrap_err();
        assert!(
            denied.starts_with(
                "Argo CD Application \"app1\" in namespace \"argocd\" is not authorized; "
            ) && denied.contains("kargo.akuity.io/authorized-stage: \"fake-project:fake-stage\""),
            "{denied}"
        );
        assert!(
            find(&[], json!({"name": "app1"}))
                .await
                .unwrap_err()
                .starts_with("unable to find Argo CD Application \"app1\" in namespace \"argocd\"")
        );
        assert_eq!(
            find(&[], json!({"selector": {}})).await.unwrap_err(),
            "error building label selector: selector must have at least one match criterion"
        );
    }
}
