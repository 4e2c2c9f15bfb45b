//! Whether a Stage promotes by itself (`api` 7.8): the first policy that fits
//! counts, even one that says no.

use kube::core::{Expression, Selector};

use crate::project_config::{PromotionPolicy, PromotionPolicySelector};
use crate::stage::Stage;

/// A policy whose selector cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The name's pattern.
    #[error("invalid name pattern {pattern:?}: {problem}; write a name, or glob:… or regex:…")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// The labels' requirements.
    #[error("invalid stageSelector: {0}")]
    Labels(String),
}

/// What the first policy that fits the Stage says; none where none fits.
///
/// # Errors
/// When a policy before that cannot be read.
pub fn first_match(
    policies: &[PromotionPolicy],
    stage: &Stage,
) -> Result<Option<bool>, PolicyError> {
    for policy in policies {
        if fits(policy, stage)? {
            return Ok(Some(policy.auto_promotion_enabled));
        }
    }
    Ok(None)
}

fn fits(policy: &PromotionPolicy, stage: &Stage) -> Result<bool, PolicyError> {
    let name = stage.metadata.name.as_deref().unwrap_or_default();
    match &policy.stage_selector {
        Some(selector) => Ok(name_fits(&selector.name, name)? && labels_fit(selector, stage)?),
        None => Ok(!policy.stage.is_empty() && policy.stage == name),
    }
}

/// Whether a name fits a pattern: exact, `glob:`, or `regex:` (`regexp:`),
/// which may match anywhere in it. An empty pattern fits all.
///
/// # Errors
/// When the pattern cannot be read.
pub fn name_fits(pattern: &str, name: &str) -> Result<bool, PolicyError> {
    let wrong = |problem: String| PolicyError::Pattern { pattern: pattern.to_owned(), problem };
    let regex = |text: &str| {
        regex::RegexBuilder::new(text)
            .size_limit(1 << 20)
            .build()
            .map(|r| r.is_match(name))
            .map_err(|e| wrong(e.to_string()))
    };
    match pattern.split_once(':') {
        None => Ok(pattern.is_empty() || pattern == name),
        Some(("glob", glob)) => regex(&glob_as_regex(glob).map_err(|e| wrong(e.to_owned()))?),
        Some(("regex" | "regexp", text)) => regex(text),
        Some((prefix, _)) => Err(wrong(format!("unknown prefix {prefix:?}"))),
    }
}

/// A glob as a regular expression over the whole name: `*`, `**`, `?`,
/// `[…]`, `{a,b}` and `\`. Names have no `/`, so `*` and `**` are alike.
fn glob_as_regex(glob: &str) -> Result<String, &'static str> {
    let mut out = String::from("^");
    let mut depth = 0;
    let mut chars = glob.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => {
                out.push('[');
                if matches!(chars.peek(), Some('!' | '^')) {
                    chars.next();
                    out.push('^');
                }
                let mut closed = false;
                for c in chars.by_ref() {
                    match c {
                        ']' => {
                            closed = true;
                            break;
                        }
                        '\\' | '[' | '&' | '~' => {
                            out.push('\\');
                            out.push(c);
                        }
                        c => out.push(c),
                    }
                }
                if !closed {
                    return Err("[ without ]");
                }
                out.push(']');
            }
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '\\' => match chars.next() {
                Some(c) => out.push_str(&regex::escape(&c.to_string())),
                None => return Err("a backslash at the end"),
            },
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    if depth > 0 {
        return Err("{ without }");
    }
    out.push('$');
    Ok(out)
}

fn labels_fit(selector: &PromotionPolicySelector, stage: &Stage) -> Result<bool, PolicyError> {
    let mut wanted: Selector = selector
        .match_labels
        .iter()
        .map(|(k, v)| Expression::Equal(k.clone(), v.clone()))
        .collect();
    for requirement in &selector.match_expressions {
        let values = || requirement.values.clone().unwrap_or_default().into_iter().collect();
        let key = requirement.key.clone();
        let expression = match requirement.operator.as_str() {
            "In" => Expression::In(key, values()),
            "NotIn" => Expression::NotIn(key, values()),
            "Exists" => Expression::Exists(key),
            "DoesNotExist" => Expression::DoesNotExist(key),
            other => {
                return Err(PolicyError::Labels(format!(
                    "{other:?} is not an operator; use In, NotIn, Exists or DoesNotExist"
                )));
            }
        };
        wanted.extend(Selector::from(expression));
    }
    let labels = stage.metadata.labels.clone().unwrap_or_default();
    use kube::core::SelectorExt;
    Ok(wanted.matches(&labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str) -> Stage {
        Stage::new(name, Default::default())
    }

    fn by_name(name: &str, enabled: bool) -> PromotionPolicy {
        PromotionPolicy {
            stage_selector: Some(PromotionPolicySelector {
                name: name.into(),
                ..Default::default()
            }),
            auto_promotion_enabled: enabled,
            ..Default::default()
        }
    }

    #[test]
    fn the_first_policy_that_fits_counts() {
        let old = PromotionPolicy {
            stage: "s".into(),
            auto_promotion_enabled: true,
            ..Default::default()
        };
        let cases = [
            ("api/candidates-P1", vec![], "s", None),
            ("api/candidates-P2", vec![by_name("s", false), by_name("s", true)], "s", Some(false)),
            ("api/candidates-P3", vec![old], "s", Some(true)),
            ("api/candidates-P4", vec![by_name("", true)], "anything", Some(true)),
            ("api/candidates-P5", vec![by_name("glob:prod-*", true)], "prod-eu", Some(true)),
            ("api/candidates-P5", vec![by_name("glob:prod-*", true)], "staging", None),
            ("api/candidates-P6", vec![by_name("regex:od", true)], "prod", Some(true)),
        ];
        for (case, policies, name, says) in cases {
            assert_eq!(first_match(&policies, &stage(name)), Ok(says), "{case}");
        }
        // spec: api/candidates-P7
        assert!(first_match(&[by_name("foo:bar", true)], &stage("s")).is_err());
    }

    #[test]
    fn labels_are_asked_for_too() {
        let mut policy = by_name("", true);
        if let Some(selector) = &mut policy.stage_selector {
            selector.match_labels.insert("tier".into(), "web".into());
        }
        let mut web = stage("s");
        assert_eq!(first_match(std::slice::from_ref(&policy), &web), Ok(None));
        web.metadata.labels.get_or_insert_default().insert("tier".into(), "web".into());
        assert_eq!(first_match(&[policy], &web), Ok(Some(true)));
    }
}
