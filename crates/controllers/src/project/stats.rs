//! Pure: how many Warehouses and Stages a Project has, and how many of them
//! are well (`projects` 4.6).

use std::sync::Arc;

use api::{HealthStats, KindStats, ProjectStats, Stage, Warehouse};

use crate::condition;

/// Counts. Stages without steps are not counted, but are among the healthy
/// ones should they have that condition.
pub fn collect(warehouses: &[Arc<Warehouse>], stages: &[Arc<Stage>]) -> ProjectStats {
    let well =
        |conditions: Option<&[_]>| condition::is_true(conditions.unwrap_or_default(), "Healthy");
    let healthy_warehouses = warehouses
        .iter()
        .filter(|w| well(w.status.as_ref().map(|s| s.conditions.as_slice())))
        .count();
    let healthy_stages =
        stages.iter().filter(|s| well(s.status.as_ref().map(|s| s.conditions.as_slice()))).count();
    ProjectStats {
        warehouses: KindStats {
            count: number(warehouses.len()),
            health: HealthStats { healthy: number(healthy_warehouses) },
        },
        stages: KindStats {
            count: number(stages.iter().filter(|s| !crate::stage::is_control_flow(s)).count()),
            health: HealthStats { healthy: number(healthy_stages) },
        },
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
