//! What exists outside: image registries, chart repositories and git history.
