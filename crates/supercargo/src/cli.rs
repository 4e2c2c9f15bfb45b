//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// Runs the controllers of Projects alone, beside others that run --with-management=false.
    ManagementController(Box<ControllerArgs>),
    /// A whole world on this machine: a Kubernetes API, a registry, a Git host and Argo CD.
    Sandbox(SandboxArgs),
    /// Runs the quick start in the sandbox and shows what happens.
    Demo(DemoArgs),
    /// Which Secret serves a repository, and why.
    Credentials(CredentialsArgs),
    /// Prints the CustomResourceDefinitions as YAML.
    Crds,
    /// Prints the JSON Schema of a step kind's config, or those of all kinds.
    Schema {
        /// The step kind, for example git-push.
        step: Option<String>,
    },
    /// Prints the version as JSON.
    Version,
}

/// Settings of the controllers; each has an environment variable too.
#[derive(Clone, Debug, Args)]
pub struct ControllerArgs {
    /// The shard that this process serves.
    #[arg(long, env = "SHARD_NAME", default_value = "")]
    pub shard_name: String,
    /// Serve objects without a shard as well as those of --shard-name.
    #[arg(long, env = "IS_DEFAULT_CONTROLLER", default_value = "false", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub is_default_controller: bool,
    /// Run the controllers of Projects in this process too.
    #[arg(long, env = "SUPERCARGO_WITH_MANAGEMENT", default_value = "true", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub with_management: bool,
    /// Of several replicas let one act: the one that holds a Lease in --kargo-namespace.
    #[arg(long, env = "SUPERCARGO_LEADER_ELECTION", default_value = "false", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub leader_election: bool,
    /// What this replica is called in the Lease; the machine's name where it is not given.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "")]
    pub replica_name: String,
    /// The namespace that the controllers run in.
    #[arg(long, env = "KARGO_NAMESPACE", default_value = "kargo")]
    pub kargo_namespace: String,
    /// Seconds for which a heartbeat counts (only with --leader-election).
    #[arg(long, env = "HEARTBEAT_TTL_SECONDS", default_value = "120", value_parser = heartbeat_ttl)]
    pub heartbeat_ttl_seconds: u32,
    /// Give the controllers' ServiceAccounts access to each Project's Secrets.
    #[arg(long, env = "MANAGE_CONTROLLER_ROLE_BINDINGS", default_value = "true", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub manage_controller_role_bindings: bool,
    /// Passes over objects of one kind at a time.
    #[command(flatten)]
    pub workers: WorkerArgs,
    /// Make Argo CD Applications sync and watch their health.
    #[arg(long, env = "ARGOCD_INTEGRATION_ENABLED", default_value = "true", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub argocd_integration_enabled: bool,
    /// A kubeconfig of the cluster that has Argo CD's Applications; by default the same cluster.
    #[arg(long, env = "ARGOCD_KUBECONFIG", value_name = "FILE")]
    pub argocd_kubeconfig: Option<PathBuf>,
    /// Where Argo CD Applications are, unless a step says otherwise.
    #[arg(long, env = "ARGOCD_NAMESPACE", default_value = "argocd")]
    pub argocd_namespace: String,
    /// Look at Applications in --argocd-namespace only.
    #[arg(long, env = "ARGOCD_WATCH_ARGOCD_NAMESPACE_ONLY", default_value = "false", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub argocd_watch_argocd_namespace_only: bool,
    /// Where Secrets that every Project may use are.
    #[arg(long, env = "SHARED_RESOURCES_NAMESPACE", default_value = "kargo-shared-resources")]
    pub shared_resources_namespace: String,
    /// Send credentials to http:// addresses too.
    #[arg(long, env = "ALLOW_CREDENTIALS_OVER_HTTP", default_value = "false", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub allow_credentials_over_http: bool,
    /// Let GitHub Apps and clouds mint tokens; the controllers do not start without.
    #[arg(long, env = "CREDENTIAL_PROVIDERS_ENABLED", default_value = "true", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub credential_providers_enabled: bool,
    /// With KUBECONFIG: look for Secrets also in the cluster that the process runs in, if exactly `true`.
    #[arg(long, env = "LOCAL_CLUSTER_CREDS_FALLBACK", default_value = "")]
    pub local_cluster_creds_fallback: String,
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
    #[arg(long, env = "MAX_IMAGE_CACHE_ENTRIES", default_value_t = 100_000, value_parser = at_least_one)]
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
    /// How large the mirrors of Git repositories may be together; those that were not used for longest go first.
    #[arg(long, env = "SUPERCARGO_MAX_MIRROR_BYTES", value_name = "BYTES", default_value = "32Gi", value_parser = bytes)]
    pub max_mirror_bytes: u64,
    /// How much is remembered of commits and the paths that they touch.
    #[arg(long, env = "SUPERCARGO_MAX_HISTORY_BYTES", value_name = "BYTES", default_value = "32Mi", value_parser = bytes)]
    pub max_history_bytes: u64,
    /// How many walks through the history of Git repositories run at once; by default one a processor.
    #[arg(long, env = "SUPERCARGO_MAX_GIT_WALKS", value_name = "NUMBER", value_parser = at_least_one)]
    pub max_git_walks: Option<usize>,
    /// Serve /metrics, /healthz and /readyz here, for example 0.0.0.0:8080.
    #[arg(long, env = "SUPERCARGO_HTTP_ADDRESS", value_name = "ADDRESS")]
    pub http_address: Option<std::net::SocketAddr>,
    /// Serve the same here too: `:9090`, an address with its port, or 0 for nowhere.
    #[arg(long, env = "METRICS_BIND_ADDRESS", value_name = "ADDRESS", default_value = "0", value_parser = bind_address)]
    pub metrics_bind_address: BindAddress,
    /// How much to log: error, warn, info, debug, or a filter.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = log_level)]
    pub log_level: String,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", default_value = "console", ignore_case = true)]
    pub log_format: LogFormat,
}

/// How many objects of a kind are worked on at a time.
#[derive(Clone, Copy, Debug, Args)]
pub struct WorkerArgs {
    /// Projects at a time.
    #[arg(long, env = "MAX_CONCURRENT_PROJECT_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_projects: usize,
    /// ProjectConfigs at a time.
    #[arg(long, env = "MAX_CONCURRENT_PROJECT_CONFIG_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_project_configs: usize,
    /// Warehouses at a time.
    #[arg(long, env = "MAX_CONCURRENT_WAREHOUSE_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_warehouses: usize,
    /// Stages at a time.
    #[arg(long, env = "MAX_CONCURRENT_STAGE_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_stages: usize,
    /// Stages without steps at a time.
    #[arg(long, env = "MAX_CONCURRENT_CONTROL_FLOW_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_control_flow_stages: usize,
    /// Promotions at a time.
    #[arg(long, env = "MAX_CONCURRENT_PROMOTION_RECONCILES", default_value_t = 4, value_parser = at_least_one)]
    pub max_concurrent_promotions: usize,
}

/// A yes or no as Go's `strconv.ParseBool` reads it, and nothing else
/// (`install` 2.1).
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("give true or false".to_owned()),
    }
}

/// A level or a filter for logs.
fn log_level(text: &str) -> Result<String, String> {
    crate::telemetry::filter(text).map(|_| text.to_owned())
}

/// Where to listen, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress(pub Option<std::net::SocketAddr>);

/// An address as Go's listeners take it: a port with a colon before it listens
/// everywhere. `0` and nothing stand for nowhere.
fn bind_address(text: &str) -> Result<BindAddress, String> {
    let text = text.trim();
    if text.is_empty() || text == "0" {
        return Ok(BindAddress(None));
    }
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    let address = whole.parse().map_err(|_| "give :PORT, ADDRESS:PORT or 0".to_owned())?;
    Ok(BindAddress(Some(address)))
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("give a number of 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A number of bytes as Kubernetes writes it: `1073741824`, `1Gi`, `500M`.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let unit = UNITS.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1));
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(size));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "give a number of bytes, for example 500Mi or 8Gi".to_owned())
}

fn heartbeat_ttl(text: &str) -> Result<u32, String> {
    controllers::leadership::heartbeat::ttl_seconds(Some(text))
}

/// The command line as the program was called.
///
/// # Errors
/// A text that clap made, with the environment variable that a refused value
/// may have come from.
pub fn parse() -> Result<Cli, clap::Error> {
    let command = without_empty(Cli::command(), |name| std::env::var_os(name));
    let matches = command.try_get_matches().map_err(with_variable)?;
    Cli::from_arg_matches(&matches).map_err(with_variable)
}

/// Whether a variable that is set to nothing counts as absent: those of images
/// (`warehouses` 2.1), and those that only this program has. Of the others the
/// reference wants a value that it can read, once they are there.
fn may_be_empty(name: &str) -> bool {
    const IMAGES: [&str; 3] =
        ["IMAGE_REGISTRY_RATE_LIMIT", "MAX_IMAGE_CACHE_ENTRIES", "CACHE_BY_TAG_POLICY"];
    name.starts_with("SUPERCARGO_") || IMAGES.contains(&name)
}

/// The command, which takes no note of variables that are set to nothing and
/// [may be](may_be_empty).
fn without_empty(
    command: clap::Command,
    read: impl Fn(&OsStr) -> Option<OsString> + Copy,
) -> clap::Command {
    command.mut_subcommands(|sub| {
        let sub = sub.mut_args(|arg| {
            let is_empty = arg.get_env().is_some_and(|name| {
                name.to_str().is_some_and(may_be_empty)
                    && read(name).is_some_and(|value| value.is_empty())
            });
            if is_empty { arg.env(clap::builder::Resettable::Reset) } else { arg }
        });
        without_empty(sub, read)
    })
}

/// `error`, with the environment variable beside the option's name.
fn with_variable(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let name = option.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default();
    let command = Cli::command();
    let variable = command
        .get_subcommands()
        .flat_map(|c| c.get_arguments())
        .find(|a| a.get_long() == Some(name))
        .and_then(|a| a.get_env())
        .map(|v| v.to_string_lossy().into_owned());
    if let Some(variable) = variable {
        let both = format!("{option} (environment variable {variable})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(both));
    }
    error
}

/// `supercargo credentials`.
#[derive(Debug, Args)]
pub struct CredentialsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CredentialsCommand,
}

/// What to do with credentials.
#[derive(Debug, Subcommand)]
pub enum CredentialsCommand {
    /// Says which Secret serves a repository, why, and why others do not. Shows no secret value.
    Explain(ExplainArgs),
}

/// `supercargo credentials explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The Project.
    pub project: String,
    /// The repository's URL as a Warehouse or a step has it.
    pub url: String,
    /// For these uses only. Repeatable.
    #[arg(long = "type", value_name = "TYPE")]
    pub kinds: Vec<RepositoryKind>,
    /// Where Secrets that every Project may use are.
    #[arg(long, env = "SHARED_RESOURCES_NAMESPACE", default_value = "kargo-shared-resources")]
    pub shared_resources_namespace: String,
    /// As where the controller has this setting.
    #[arg(long, env = "ALLOW_CREDENTIALS_OVER_HTTP", default_value = "false", value_parser = go_bool, num_args = 0..=1, default_missing_value = "true")]
    pub allow_credentials_over_http: bool,
}

/// What a repository is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RepositoryKind {
    /// Git.
    Git,
    /// Container images.
    Image,
    /// Charts, from OCI registries and classic repositories.
    Helm,
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
    #[arg(long, env = "LOG_LEVEL", default_value = "off", value_parser = log_level)]
    pub log_level: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn yes_and_no_as_go_reads_them() {
        for (text, value) in
            [("1", true), ("T", true), ("True", true), ("0", false), ("f", false), ("FALSE", false)]
        {
            assert_eq!(go_bool(text), Ok(value), "{text}");
        }
        for wrong in ["yes", "tRUE", "", "2"] {
            assert!(go_bool(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn addresses_as_go_takes_them() {
        for (text, address) in [
            ("0", None),
            ("", None),
            (":9090", Some("0.0.0.0:9090")),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("[::1]:80", Some("[::1]:80")),
        ] {
            let wanted = BindAddress(address.map(|a| a.parse().unwrap()));
            assert_eq!(bind_address(text), Ok(wanted), "{text}");
        }
        assert!(bind_address("9090").is_err());
    }

    /// install/I41 and install/I42
    #[test]
    fn a_refused_value_names_its_environment_variable() {
        for (option, value, variable) in [
            ("--max-concurrent-stages", "many", "MAX_CONCURRENT_STAGE_RECONCILES"),
            ("--max-concurrent-promotions", "0", "MAX_CONCURRENT_PROMOTION_RECONCILES"),
            ("--is-default-controller", "yes", "IS_DEFAULT_CONTROLLER"),
            ("--heartbeat-ttl-seconds", "0", "HEARTBEAT_TTL_SECONDS"),
            ("--log-format", "xml", "LOG_FORMAT"),
            ("--log-level", "foo", "LOG_LEVEL"),
            ("--allow-credentials-over-http", "yes", "ALLOW_CREDENTIALS_OVER_HTTP"),
            ("--credential-providers-enabled", "2", "CREDENTIAL_PROVIDERS_ENABLED"),
            ("--image-registry-rate-limit", "0", "IMAGE_REGISTRY_RATE_LIMIT"),
            ("--max-image-cache-entries", "0", "MAX_IMAGE_CACHE_ENTRIES"),
            ("--max-mirror-bytes", "8GB", "SUPERCARGO_MAX_MIRROR_BYTES"),
            ("--max-git-walks", "0", "SUPERCARGO_MAX_GIT_WALKS"),
        ] {
            let given = format!("{option}={value}");
            let error = Cli::try_parse_from(["supercargo", "controller", &given]).unwrap_err();
            let text = with_variable(error).to_string();
            assert!(text.contains(variable) && text.contains(option), "{text}");
        }
        for (option, value) in [("--log-level", "DEBUG"), ("--log-format", "JSON")] {
            let given = format!("{option}={value}");
            assert!(Cli::try_parse_from(["supercargo", "controller", &given]).is_ok(), "{given}");
        }
    }

    #[test]
    fn numbers_of_bytes_as_kubernetes_writes_them() {
        for (text, value) in [
            ("1", 1),
            ("1024", 1024),
            ("2Ki", 2048),
            ("3Mi", 3 << 20),
            ("10Gi", 10 << 30),
            ("1Ti", 1 << 40),
            ("5k", 5000),
            ("7M", 7_000_000),
        ] {
            assert_eq!(bytes(text), Ok(value), "{text}");
        }
        for wrong in ["", "0", "Gi", "-1", "1.5Gi", "8GB", "1 Gi", "99999999999Ti"] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn some_variables_may_be_set_to_nothing() {
        let variables = |command: &clap::Command| -> Vec<String> {
            let controller = command.find_subcommand("controller").unwrap();
            let names = controller.get_arguments().filter_map(|a| a.get_env());
            names.map(|name| name.to_string_lossy().into_owned()).collect()
        };
        let all = variables(&Cli::command());
        let nothing = |_: &OsStr| Some(OsString::new());
        let kept = variables(&without_empty(Cli::command(), nothing));
        let ignored: Vec<&String> = all.iter().filter(|name| !kept.contains(name)).collect();
        assert!(ignored.iter().all(|name| may_be_empty(name)), "{ignored:?}");
        for name in ["IMAGE_REGISTRY_RATE_LIMIT", "CACHE_BY_TAG_POLICY", "SUPERCARGO_DATA_DIR"] {
            assert!(ignored.iter().any(|ignored| *ignored == name), "{name}");
        }
        assert!(kept.contains(&"MAX_CONCURRENT_STAGE_RECONCILES".to_owned()));
        for absent in [None, Some(OsString::from("1"))] {
            let command = without_empty(Cli::command(), |_| absent.clone());
            assert_eq!(variables(&command), all, "what says something stays");
        }
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
