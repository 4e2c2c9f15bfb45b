//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::mapping::{GitRewrite, RegistryMirror};

/// Runs GitOps promotion pipelines with Kargo's resources.
#[derive(Debug, Parser)]
#[command(name = "supercargo", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the controllers against the cluster of KUBECONFIG, or the one it runs in.
    Controller(Box<ControllerArgs>),
    /// A whole world on this machine: a Kubernetes API, a registry, a Git host and Argo CD.
    Sandbox(SandboxArgs),
    /// Runs the quick start in the sandbox and shows what happens.
    Demo(DemoArgs),
    /// Prints the CustomResourceDefinitions as YAML.
    Crds,
    /// Prints the JSON Schema of a step kind's config, or those of all kinds.
    Schema {
        /// The step kind, for example git-push.
        step: Option<String>,
    },
}

/// Settings of the controllers; each has an environment variable too.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// The shard that this process serves.
    #[arg(long, env = "SHARD_NAME", default_value = "")]
    pub shard_name: String,
    /// Serve objects without a shard as well as those of --shard-name.
    #[arg(long, env = "IS_DEFAULT_CONTROLLER", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub is_default_controller: bool,
    /// Make Argo CD Applications sync and watch their health.
    #[arg(long, env = "ARGOCD_INTEGRATION_ENABLED", default_value_t = true, action = clap::ArgAction::Set)]
    pub argocd_integration_enabled: bool,
    /// Where Argo CD Applications are, unless a step says otherwise.
    #[arg(long, env = "ARGOCD_NAMESPACE", default_value = "argocd")]
    pub argocd_namespace: String,
    /// Look at Applications in --argocd-namespace only.
    #[arg(long, env = "ARGOCD_WATCH_ARGOCD_NAMESPACE_ONLY", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub argocd_watch_argocd_namespace_only: bool,
    /// Where Secrets that every Project may use are.
    #[arg(long, env = "SHARED_RESOURCES_NAMESPACE", default_value = "kargo-shared-resources")]
    pub shared_resources_namespace: String,
    /// Send credentials to http:// addresses too.
    #[arg(long, env = "ALLOW_CREDENTIALS_OVER_HTTP", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub allow_credentials_over_http: bool,
    /// Where Secrets of cluster-level resources are.
    #[arg(long, env = "SYSTEM_RESOURCES_NAMESPACE", default_value = "kargo-system-resources")]
    pub system_resources_namespace: String,
    /// The address that links to the UI start with (ctx.uiBaseUrl).
    #[arg(long, env = "API_SERVER_BASE_URL", default_value = "")]
    pub api_server_base_url: String,
    /// The name that commits carry where a step gives none.
    #[arg(long, env = "GITCLIENT_NAME", default_value = "Kargo")]
    pub git_client_name: String,
    /// The e-mail address that commits carry where a step gives none.
    #[arg(long, env = "GITCLIENT_EMAIL", default_value = "no-reply@kargo.io")]
    pub git_client_email: String,
    /// Ask this address instead of a registry: docker.io=https://mirror.example.com. Repeatable.
    #[arg(
        long = "registry-mirror",
        value_name = "HOST=URL",
        env = "SUPERCARGO_REGISTRY_MIRRORS",
        value_delimiter = ','
    )]
    pub registry_mirrors: Vec<RegistryMirror>,
    /// Use this address instead of a Git URL's beginning: https://your.git/=https://mirror/. Repeatable.
    #[arg(
        long = "git-instead-of",
        value_name = "PREFIX=URL",
        env = "SUPERCARGO_GIT_INSTEAD_OF",
        value_delimiter = ','
    )]
    pub git_instead_of: Vec<GitRewrite>,
    /// Use this address instead of the beginning of a Git provider's API address: https://git.example.com/=http://mirror/. Repeatable.
    #[arg(
        long = "forge-instead-of",
        value_name = "PREFIX=URL",
        env = "SUPERCARGO_FORGE_INSTEAD_OF",
        value_delimiter = ','
    )]
    pub forge_instead_of: Vec<GitRewrite>,
    /// How many requests a second a registry gets at most.
    #[arg(long, env = "IMAGE_REGISTRY_RATE_LIMIT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub image_registry_rate_limit: u32,
    /// How many images are remembered by their digest.
    #[arg(long, env = "MAX_IMAGE_CACHE_ENTRIES", default_value_t = 100_000)]
    pub max_image_cache_entries: usize,
    /// Whether tags may be taken as never moving: Allow, Forbid, Require or Force.
    #[arg(long, env = "CACHE_BY_TAG_POLICY", default_value = "Allow")]
    pub cache_by_tag_policy: String,
    /// Warehouses are looked at no more often than this, for example 1m.
    #[arg(long, env = "MIN_WAREHOUSE_RECONCILIATION_INTERVAL", default_value = "0")]
    pub min_warehouse_interval: api::GoDuration,
    /// Where mirrors of Git repositories and Promotions' working directories are kept.
    #[arg(long, env = "SUPERCARGO_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve /metrics, /healthz and /readyz here, for example 0.0.0.0:8080.
    #[arg(long, env = "SUPERCARGO_HTTP_ADDRESS", value_name = "ADDRESS")]
    pub http_address: Option<std::net::SocketAddr>,
    /// How much to log: error, warn, info, debug, or a filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", default_value = "console", ignore_case = true)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Console,
    /// One JSON object a line.
    Json,
}

/// `supercargo sandbox`: stay up, or act on a sandbox that is up.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// What to do with a running sandbox; without one, start it and stay up.
    #[command(subcommand)]
    pub command: Option<SandboxCommand>,
    /// Where the sandbox keeps its kubeconfig and repositories.
    #[arg(long, default_value = ".sandbox", value_name = "DIR", global = true)]
    pub dir: PathBuf,
}

/// What to do with a running sandbox.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// Publishes an image: supercargo sandbox push-tag zxc204fghasd/wsp-web-server-v2:v1.2.0
    PushTag {
        /// Repository and tag.
        image: String,
    },
    /// Lists the tags of a repository.
    Tags {
        /// The repository.
        repository: String,
    },
    /// Shows the newest commits of the quick start's repository, with their changes.
    Log {
        /// How many.
        #[arg(short, long, default_value_t = 3)]
        number: usize,
    },
}

/// `supercargo demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stay up afterwards, and say how to play with it.
    #[arg(long)]
    pub serve: bool,
    /// Publish this many further tags, one after the other, and print the median.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub runs: usize,
    /// Use the Stage whose steps are a PromotionTask.
    #[arg(long)]
    pub with_task: bool,
    /// Where the sandbox keeps its kubeconfig and repositories.
    #[arg(long, default_value = ".sandbox", value_name = "DIR")]
    pub dir: PathBuf,
    /// How much to log: off, error, warn, info, debug, or a filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "off")]
    pub log_level: String,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mirrors_may_be_given_more_than_once() {
        let cli = Cli::try_parse_from([
            "supercargo",
            "controller",
            "--registry-mirror",
            "docker.io=http://127.0.0.1:5000",
            "--git-instead-of",
            "https://your.git/=http://127.0.0.1:3000/",
            "--git-instead-of",
            "https://other.git/=http://127.0.0.1:3000/",
        ])
        .unwrap();
        let Command::Controller(args) = cli.command else { panic!("not the controller") };
        assert_eq!(args.registry_mirrors[0].host, "docker.io");
        assert_eq!(args.git_instead_of.len(), 2);
        assert_eq!(args.git_instead_of[1].prefix, "https://other.git/");
    }
}
