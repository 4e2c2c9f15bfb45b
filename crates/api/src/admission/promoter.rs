//! Who may promote to a Stage, and what is told of who did (`admission` 3.8).

use super::identity::Requester;

/// What the API server is asked, in a SubjectAccessReview, before somebody
/// makes, changes or deletes a Promotion: whether they may promote to its Stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromoteReview<'a> {
    /// The user.
    pub user: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// The API group of the resource.
    pub group: &'static str,
    /// The resource: the Stage's, as it is the Stage that is promoted to.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// The Stage's namespace.
    pub namespace: &'a str,
    /// The Stage.
    pub name: &'a str,
}

/// The review that a request needs; none from the server of external webhooks,
/// which acts for nobody. `external_server` is its user name, empty where there
/// is none.
pub fn promote_review<'a>(
    user: &'a str,
    groups: &'a [String],
    external_server: &str,
    namespace: &'a str,
    stage: &'a str,
) -> Option<PromoteReview<'a>> {
    let exempt = !external_server.is_empty() && user == external_server;
    (!exempt).then_some(PromoteReview {
        user,
        groups,
        group: crate::GROUP,
        resource: "stages",
        verb: "promote",
        namespace,
        name: stage,
    })
}

/// The Event about a new Promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromotionCreated {
    /// Its reason.
    pub reason: &'static str,
    /// What it says.
    pub message: String,
    /// Who made the Promotion.
    pub actor: String,
}

/// What is told of a Promotion that somebody made. Nothing of those that the
/// control plane makes: it tells itself.
pub fn promotion_created(stage: &str, who: Requester<'_>) -> Option<PromotionCreated> {
    (!who.control_plane).then(|| {
        let actor = who.actor();
        let message = format!("Promotion created for Stage {stage:?} by {actor:?}");
        PromotionCreated { reason: "PromotionCreated", message, actor }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::ControlPlane;

    #[test]
    fn the_server_of_external_webhooks_needs_no_review() {
        let server = "system:serviceaccount:kargo:kargo-external-webhooks-server";
        let groups = ["system:serviceaccounts".to_owned()];
        for case in ["promotions/admission-32", "admission/A136"] {
            assert_eq!(promote_review(server, &groups, server, "p", "s"), None, "{case}");
        }
        let asked = PromoteReview {
            user: "real-user",
            groups: &groups,
            group: "kargo.akuity.io",
            resource: "stages",
            verb: "promote",
            namespace: "p",
            name: "s",
        };
        assert_eq!(promote_review("real-user", &groups, server, "p", "s"), Some(asked));
        // Without such a server nobody is it, not even a user without a name.
        assert!(promote_review("", &groups, "", "p", "s").is_some());
    }

    #[test]
    fn people_are_named_and_the_control_plane_is_not() {
        let plane = ControlPlane::new("^system:serviceaccount:kargo:[a-z0-9-]+$").unwrap();
        for case in ["promotions/admission-29", "admission/A138"] {
            let created = promotion_created("s", plane.requester("fake-user")).unwrap();
            assert_eq!(created.reason, "PromotionCreated", "{case}");
            let message = "Promotion created for Stage \"s\" by \"kubernetes:fake-user\"";
            assert_eq!(created.message, message, "{case}");
            assert_eq!(created.actor, "kubernetes:fake-user", "{case}");
            let account = "system:serviceaccount:kargo:kargo-api";
            assert_eq!(promotion_created("s", plane.requester(account)), None, "{case}");
        }
    }
}
