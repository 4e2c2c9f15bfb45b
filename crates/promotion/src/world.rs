//! What steps reach outside of their working directory, as traits, so that
//! the controller, tests and a rehearsal each bring their own.

use std::sync::Arc;

pub use crate::argocd::ArgoCd;

/// Everything outside that a step may use. `World::default()` has nothing.
#[derive(Clone, Default)]
pub struct World {
    /// The Argo CD cluster; absent where the integration is switched off.
    pub argocd: Option<Arc<dyn ArgoCd>>,
    /// Git; absent where no step may use it.
    pub git: Option<crate::git_access::GitAccess>,
    /// Pull requests at Git providers; absent where no step may use them.
    pub forge: Option<crate::forge_access::ForgeAccess>,
    /// Where credentials are looked up; without it access is anonymous.
    pub credentials: Option<Arc<dyn credentials::CredentialStore>>,
}
