//! What a process does: which controllers it runs, and which kinds it must
//! know for that.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Context, freight, project, promotion, stage, supervise, warehouse};

/// A set of controllers that run together (`install` 1). A small cluster runs
/// both roles in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Warehouses, Freight, Stages and Promotions of one shard.
    Controller,
    /// Projects, their namespaces and configs; one for the cluster.
    Management,
}

/// The kinds that [`Role::Management`] looks at.
const MANAGED: [&str; 5] = ["ClusterConfig", "Project", "ProjectConfig", "Stage", "Warehouse"];

impl Role {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Controller, Self::Management];

    /// The name of the role's Lease, and of its ServiceAccount in the chart:
    /// `supercargo-controller`, with the shard behind it.
    pub fn lease_name(self, shard: &str) -> String {
        match self {
            Self::Controller if shard.is_empty() => "supercargo-controller".to_owned(),
            Self::Controller => format!("supercargo-controller-{shard}"),
            Self::Management => "supercargo-management-controller".to_owned(),
        }
    }

    /// Whether the role's controllers need to know objects of `kind`.
    pub fn watches(self, kind: &str) -> bool {
        match self {
            Self::Controller => true,
            Self::Management => MANAGED.contains(&kind),
        }
    }

    /// Starts the role's controllers on `tasks`.
    pub(crate) fn start(
        self,
        tasks: &mut JoinSet<()>,
        context: &Arc<Context>,
        acting: &CancellationToken,
    ) {
        match self {
            Self::Management => supervise(tasks, "project", context, acting, project::run),
            Self::Controller => {
                supervise(tasks, "freight", context, acting, freight::run);
                supervise(tasks, "warehouse", context, acting, warehouse::run);
                supervise(tasks, "stage", context, acting, stage::run);
                supervise(tasks, "promotion", context, acting, promotion::run);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lease_a_shard_and_role() {
        let mut names: Vec<String> = Role::ALL.map(|role| role.lease_name("")).into();
        names.extend(Role::ALL.map(|role| role.lease_name("eu")));
        assert_eq!(
            names,
            [
                "supercargo-controller",
                "supercargo-management-controller",
                "supercargo-controller-eu",
                // There is one management controller, whatever the shards.
                "supercargo-management-controller",
            ]
        );
    }

    #[test]
    fn management_has_no_access_to_promotions_and_freight() {
        // `install` 6.2.
        assert!(!Role::Management.watches("Promotion"));
        assert!(!Role::Management.watches("Freight"));
        assert!(Role::Management.watches("Stage"));
        assert!(Role::Controller.watches("Promotion"));
    }
}
