//! Which Stages may change an Application: the annotation
//! `kargo.akuity.io/authorized-stage` (`steps-argocd` 3.3).

use super::application::{AUTHORIZED_STAGE, Application};

/// A Stage as the annotation names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorizedStage {
    /// The Project, which is the Stage's namespace.
    pub project: String,
    /// The Stage's name.
    pub stage: String,
}

/// Why the annotation's value cannot be read. One bad entry spoils all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// No colon, or nothing on one side of it.
    #[error("invalid authorized Stage {0:?}: expected format \"<project>:<stage>\"")]
    Format(String),
    /// A `*`, which old versions took as a pattern.
    #[error("invalid authorized Stage {0:?}: deprecated glob expressions are no longer supported")]
    Glob(String),
    /// Nothing but commas and blanks.
    #[error("no authorized Stages found in {0:?}")]
    Empty(String),
}

/// Reads the annotation's value: entries `<project>:<stage>`, separated by
/// commas, blanks around them ignored.
///
/// # Errors
/// See [`AnnotationError`].
pub fn parse(value: &str) -> Result<Vec<AuthorizedStage>, AnnotationError> {
    let mut stages = Vec::new();
    for entry in value.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (project, stage) =
            entry.split_once(':').ok_or_else(|| AnnotationError::Format(entry.to_owned()))?;
        let (project, stage) = (project.trim(), stage.trim());
        if project.is_empty() || stage.is_empty() {
            return Err(AnnotationError::Format(entry.to_owned()));
        }
        if entry.contains('*') {
            return Err(AnnotationError::Glob(entry.to_owned()));
        }
        stages.push(AuthorizedStage { project: project.to_owned(), stage: stage.to_owned() });
    }
    if stages.is_empty() {
        return Err(AnnotationError::Empty(value.to_owned()));
    }
    Ok(stages)
}

/// Why an Application may not be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It has no such annotation.
    Absent,
    /// Its annotation names other Stages: the value as written.
    Others(String),
    /// Its annotation cannot be read.
    Unreadable(AnnotationError),
}

/// Whether the Stage may change the Application.
///
/// # Errors
/// Why not.
pub fn authorize(app: &Application, project: &str, stage: &str) -> Result<(), Denied> {
    let Some(value) = app.annotation(AUTHORIZED_STAGE) else { return Err(Denied::Absent) };
    let stages = parse(value).map_err(Denied::Unreadable)?;
    if stages.iter().any(|s| s.project == project && s.stage == stage) {
        Ok(())
    } else {
        Err(Denied::Others(value.to_owned()))
    }
}

/// What to do about a denial, with the annotation ready to paste.
pub fn hint(app: &Application, denied: &Denied, project: &str, stage: &str) -> String {
    let ours = format!("{project}:{stage}");
    let (why, value) = match denied {
        Denied::Absent => ("it has no such annotation yet".to_owned(), ours),
        Denied::Others(old) => {
            let old = old.trim().trim_end_matches(',').trim_end();
            (format!("it names only {old:?}"), format!("{old},{ours}"))
        }
        Denied::Unreadable(e) => (format!("its present value cannot be read: {e}"), ours),
    };
    format!(
        "to let this Stage change it, give it the annotation {AUTHORIZED_STAGE}: {value:?} \
         ({why}); for example: kubectl annotate application {} -n {} --overwrite \
         {AUTHORIZED_STAGE}='{value}'",
        app.name(),
        app.namespace(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argocd::samples;

    fn app(value: Option<&str>) -> Application {
        let mut app = samples::application("argocd", "one");
        app.metadata.annotations =
            value.map(|v| [(AUTHORIZED_STAGE.to_owned(), v.to_owned())].into());
        app
    }

    #[test]
    fn the_annotation_names_the_stages_that_may() {
        let ok = |v| assert_eq!(authorize(&app(Some(v)), "ns-yep", "name-yep"), Ok(()), "{v:?}");
        ok("ns-yep:name-yep");
        ok("ns-nope:name-nope,ns-yep:name-yep");
        ok(" ns-yep : name-yep , other:stage ");

        assert_eq!(parse(" proj : stage-a , , other:stage-b ,").unwrap().len(), 2);
        for other in ["ns-nope:name-nope", " proj : stage-a , , other:stage-b ,"] {
            assert_eq!(
                authorize(&app(Some(other)), "ns-yep", "name-yep"),
                Err(Denied::Others(other.to_owned()))
            );
        }
        assert_eq!(authorize(&app(None), "ns-yep", "name-yep"), Err(Denied::Absent));
        assert_eq!(
            parse("a:b:c").unwrap(),
            [AuthorizedStage { project: "a".into(), stage: "b:c".into() }]
        );
    }

    #[test]
    fn one_bad_entry_spoils_the_value() {
        // (value, error)
        let cases = [
            ("bogus", "invalid authorized Stage \"bogus\": expected format \"<project>:<stage>\""),
            ("proj:", "invalid authorized Stage \"proj:\": expected format \"<project>:<stage>\""),
            (
                ":stage",
                "invalid authorized Stage \":stage\": expected format \"<project>:<stage>\"",
            ),
            (
                "ns-yep:name-yep,bogus",
                "invalid authorized Stage \"bogus\": expected format \"<project>:<stage>\"",
            ),
            ("", "no authorized Stages found in \"\""),
            (",, ,", "no authorized Stages found in \",, ,\""),
            (
                "*:name-yep",
                "invalid authorized Stage \"*:name-yep\": deprecated glob expressions are no longer supported",
            ),
            (
                "ns-yep:*",
                "invalid authorized Stage \"ns-yep:*\": deprecated glob expressions are no longer supported",
            ),
            (
                "ns-yep:name-yep,proj:*",
                "invalid authorized Stage \"proj:*\": deprecated glob expressions are no longer supported",
            ),
        ];
        for (value, error) in cases {
            assert_eq!(parse(value).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_denial_says_what_to_paste() {
        let cases = [
            (None, "kargo.akuity.io/authorized-stage: \"develop:dev\""),
            (
                Some("develop:test"),
                "kargo.akuity.io/authorized-stage: \"develop:test,develop:dev\"",
            ),
            (Some("develop"), "kargo.akuity.io/authorized-stage: \"develop:dev\""),
        ];
        for (value, paste) in cases {
            let app = app(value);
            let denied = authorize(&app, "develop", "dev").unwrap_err();
            let hint = hint(&app, &denied, "develop", "dev");
            assert!(hint.contains(paste), "{hint}");
        }
    }
}
