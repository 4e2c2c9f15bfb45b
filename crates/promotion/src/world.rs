//! What steps reach outside of their working directory, as traits, so that
//! the controller, tests and a rehearsal each bring their own.

use std::sync::Arc;

/// Everything outside that a step may use. `World::default()` has nothing.
#[derive(Clone, Default)]
pub struct World {
    /// The Argo CD cluster; absent where the integration is switched off.
    pub argocd: Option<Arc<dyn crate::world::ArgoCd>>,
}

/// Argo CD's Applications, as far as promotions use them
/// (`steps-argocd` 2 and 3).
pub trait ArgoCd: Send + Sync {}
