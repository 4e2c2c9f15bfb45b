//! The step kinds, one file each. A file's doc comment is the user's
//! reference: what the step does, its config, outputs, errors, an example.

mod argocd_config;
pub mod argocd_update;
pub mod argocd_wait;
mod commit_url;
pub mod git_clear;
pub mod git_clone;
pub mod git_commit;
pub mod git_merge_pr;
pub mod git_open_pr;
pub mod git_push;
pub mod git_tag;
pub mod git_wait_for_pr;
pub mod github_push;
mod github_push_replay;
mod push_intents;
mod push_target;
pub mod yaml_parse;
pub mod yaml_update;

#[cfg(test)]
mod argocd_sandbox_tests;
#[cfg(test)]
mod argocd_testing;

#[cfg(test)]
mod git_durability_tests;
#[cfg(test)]
mod git_fault_tests;
#[cfg(test)]
mod git_pr_crash_tests;
#[cfg(test)]
mod git_pr_testing;
#[cfg(test)]
mod git_pr_tests;
#[cfg(test)]
mod git_tests;
#[cfg(test)]
mod git_tree_tests;
#[cfg(test)]
mod git_user_tests;
#[cfg(test)]
mod github_push_fake;
#[cfg(test)]
mod github_push_tests;
