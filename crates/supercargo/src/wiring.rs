//! The controllers from their settings: which step kinds there are, what steps
//! reach, and what each controller needs.

use std::path::PathBuf;
use std::sync::Arc;

use controllers::context::Workers;
use controllers::metrics::Metrics;
use controllers::{Context, Settings};
use credentials::{CredentialStore, KubeCredentials, LookupOptions};
use prometheus_client::registry::Registry as MetricsRegistry;
use promotion::argocd::ArgoCd;
use promotion::argocd::cluster::ClusterArgoCd;
use promotion::engine::Engine;
use promotion::forge_access::ForgeAccess;
use promotion::git_access::GitAccess;
use promotion::git_user::ClusterGitUsers;
use promotion::step::Registry;
use promotion::steps::argocd_update::ArgoCdUpdate;
use promotion::steps::argocd_wait::ArgoCdWait;
use promotion::steps::git_clear::GitClear;
use promotion::steps::git_clone::GitClone;
use promotion::steps::git_commit::GitCommit;
use promotion::steps::git_merge_pr::GitMergePr;
use promotion::steps::git_open_pr::GitOpenPr;
use promotion::steps::git_push::GitPush;
use promotion::steps::git_tag::GitTag;
use promotion::steps::git_wait_for_pr::GitWaitForPr;
use promotion::steps::github_push::GitHubPush;
use promotion::steps::yaml_parse::YamlParse;
use promotion::steps::yaml_update::YamlUpdate;
use promotion::world::World;

use crate::cli::ControllerArgs;

/// All step kinds.
pub fn steps() -> Registry {
    Registry::default()
        .with(ArgoCdUpdate)
        .with(ArgoCdWait)
        .with(GitClone)
        .with(GitCommit)
        .with(GitMergePr)
        .with(GitOpenPr)
        .with(GitPush::default())
        .with(GitWaitForPr)
        .with(GitTag)
        .with(GitClear)
        .with(GitHubPush::default())
        .with(YamlParse)
        .with(YamlUpdate)
}

/// The controllers' settings as the command line gives them.
pub fn settings(args: &ControllerArgs) -> Settings {
    Settings {
        shard: args.shard_name.clone(),
        is_default_controller: args.is_default_controller,
        kargo_namespace: args.kargo_namespace.clone(),
        manage_controller_role_bindings: args.manage_controller_role_bindings,
        system_resources_namespace: args.system_resources_namespace.clone(),
        argocd_enabled: args.argocd_integration_enabled,
        argocd_namespace: args.argocd_namespace.clone(),
        argocd_namespace_only: args.argocd_watch_argocd_namespace_only,
        api_server_base_url: args.api_server_base_url.clone(),
        workers: Workers {
            project: args.workers.max_concurrent_projects,
            project_config: args.workers.max_concurrent_project_configs,
            warehouse: args.workers.max_concurrent_warehouses,
            freight: args.workers.max_concurrent_warehouses,
            stage: args.workers.max_concurrent_stages,
            control_flow: args.workers.max_concurrent_control_flow_stages,
            promotion: args.workers.max_concurrent_promotions,
        },
        ..Settings::default()
    }
}

/// Where mirrors and working directories are kept.
pub fn data_dir(args: &ControllerArgs) -> PathBuf {
    args.data_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("supercargo"))
}

/// Pull requests at Git providers.
fn forge_access(args: &ControllerArgs) -> Result<ForgeAccess, String> {
    let rewrites = args.forge_instead_of.iter().map(|rewrite| forge::AddressRewrite {
        public: rewrite.prefix.clone(),
        actual: rewrite.replacement.clone(),
    });
    let settings = forge::Settings { rewrites: rewrites.collect(), ..forge::Settings::default() };
    let forges = forge::HttpForges::new(settings).map_err(|e| e.to_string())?;
    Ok(ForgeAccess { forges: Arc::new(forges), ui_base_url: args.api_server_base_url.clone() })
}

/// Everything that the controllers work with. `steps` are the step kinds that
/// Promotions may use, normally [`steps`].
///
/// # Errors
/// Settings that cannot be used, in words for the one who gave them.
pub async fn context(
    client: kube::Client,
    args: &ControllerArgs,
    steps: Registry,
    metrics: &mut MetricsRegistry,
) -> Result<Arc<Context>, String> {
    let data = data_dir(args);
    let workdirs = data.join("promotions");
    std::fs::create_dir_all(&workdirs)
        .map_err(|e| format!("data directory {}: {e}; name one with --data-dir", data.display()))?;

    let mirrors: Vec<String> =
        args.registry_mirrors.iter().map(|m| format!("{}={}", m.host, m.url)).collect();
    let mut images = sources::Settings::default();
    images.client.mirrors = sources::registry::Mirrors::parse(mirrors.iter().map(String::as_str))
        .map_err(|e| e.to_string())?;
    images.client.requests_per_second = args.image_registry_rate_limit;
    images.cache_entries = args.max_image_cache_entries;
    images.cache_by_tag = args.cache_by_tag_policy.parse().unwrap_or_default();
    let images = sources::Images::new(images).map_err(|e| e.to_string())?;

    let mut options = git::GitOptions::new(data.join("mirrors"));
    for rewrite in &args.git_instead_of {
        options.rewrites = options.rewrites.with(&rewrite.prefix, &rewrite.replacement);
    }
    let git = git::Git::open(options).map_err(|e| e.to_string())?;
    let policy = |name: &str| std::env::var(name).ok();
    let mut git = GitAccess::from_environment(Arc::new(git), policy).map_err(|e| e.to_string())?;
    git.identity.name.clone_from(&args.git_client_name);
    git.identity.email.clone_from(&args.git_client_email);
    git.users =
        Some(Arc::new(ClusterGitUsers::new(client.clone(), &args.system_resources_namespace)));

    let credentials: Arc<dyn CredentialStore> = Arc::new(KubeCredentials::new(
        client.clone(),
        LookupOptions {
            shared_namespace: Some(args.shared_resources_namespace.clone()),
            allow_http: args.allow_credentials_over_http,
            ..LookupOptions::default()
        },
    ));
    let mut settings = settings(args);
    let argocd: Option<Arc<dyn ArgoCd>> = if settings.argocd_enabled {
        let cluster = ClusterArgoCd::new(client.clone(), &settings.argocd_namespace);
        settings.argocd_enabled = cluster.probe().await.map_err(|e| e.to_string())?;
        if !settings.argocd_enabled {
            tracing::warn!(
                "this cluster has no Argo CD Applications: the integration is off until the next start"
            );
        }
        settings.argocd_enabled.then(|| Arc::new(cluster) as Arc<dyn ArgoCd>)
    } else {
        None
    };
    let world = World {
        argocd,
        git: Some(git),
        forge: Some(forge_access(args)?),
        credentials: Some(Arc::clone(&credentials)),
    };
    let mut warehouse = controllers::warehouse::Parts::new(images, credentials);
    warehouse.min_interval = args.min_warehouse_interval.to_std();
    let functions = controllers::promotion::lookups::functions(
        client.clone(),
        args.shared_resources_namespace.clone(),
    );
    let engine = Engine::new(steps, world, functions);
    Ok(Arc::new(Context::new(
        client,
        settings,
        Metrics::new(metrics),
        warehouse,
        controllers::promotion::Parts::new(engine).with_workdirs(workdirs),
    )))
}
