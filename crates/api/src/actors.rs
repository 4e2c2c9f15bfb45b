//! Who did something, as annotations and Events say it (`api` 7.15).

/// The actor where nobody is known.
pub const UNKNOWN: &str = "unknown actor";
/// The API server's own administrator.
pub const ADMIN: &str = "admin";

/// A controller as an actor; `shard` is empty where there are none.
pub fn controller(name: &str, shard: &str) -> String {
    if shard.is_empty() {
        format!("controller:{name}")
    } else {
        format!("controller:{name}-{shard}")
    }
}

/// A user of the Kubernetes API as an actor.
pub fn kubernetes(username: &str) -> String {
    format!("kubernetes:{username}")
}

/// The actor as expressions see it (`ctx.meta.promotion.actor`): without what
/// stands before the first colon; empty where nobody is known.
pub fn bare(actor: &str) -> &str {
    match actor.split_once(':') {
        Some((_, name)) => name,
        None if actor == UNKNOWN => "",
        None => actor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_with_and_without_what_they_are() {
        assert_eq!(controller("stage-controller", ""), "controller:stage-controller");
        assert_eq!(controller("stage-controller", "eu"), "controller:stage-controller-eu");
        for (actor, name) in [
            (&*kubernetes("system:serviceaccount:p:ci-bot"), "system:serviceaccount:p:ci-bot"),
            ("email:a@b", "a@b"),
            (ADMIN, "admin"),
            (UNKNOWN, ""),
            ("", ""),
        ] {
            assert_eq!(bare(actor), name, "{actor}");
        }
    }
}
