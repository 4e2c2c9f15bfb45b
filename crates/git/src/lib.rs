//! Repositories on disk: mirrors, worktrees, commits and pushes.
