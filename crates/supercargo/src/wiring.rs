//! The controllers from their settings: which step kinds there are, what steps
//! reach, and what each controller needs.

use std::path::PathBuf;
use std::sync::Arc;

use controllers::context::{Applications, Workers};
use controllers::metrics::Metrics;
use controllers::{Context, Settings};
use credentials::{
    AmbientSettings, CredentialStore, HttpTransport, KubeCredentials, LookupOptions, Minting,
    system_clock,
};
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

/// Where credentials come from. `read` looks an environment variable up: those
/// of the clouds (`AmbientSettings::from_environment`) and `KUBECONFIG`.
///
/// # Errors
/// Settings that cannot be used, with their names.
pub async fn credentials(
    client: kube::Client,
    args: &ControllerArgs,
    read: impl Fn(&str) -> Option<String>,
) -> Result<KubeCredentials, String> {
    if !args.credential_providers_enabled {
        return Err("credential providers are not enabled; set CREDENTIAL_PROVIDERS_ENABLED=true"
            .to_owned());
    }
    let options = LookupOptions {
        shared_namespace: Some(args.shared_resources_namespace.clone()),
        allow_http: args.allow_credentials_over_http,
        ..LookupOptions::default()
    };
    let ambient = AmbientSettings::from_environment(|name| match name {
        "SHARD_NAME" => Some(args.shard_name.clone()),
        name => read(name),
    })?;
    let http = Arc::new(HttpTransport::new()?);
    let minting = Arc::new(Minting::new(http, system_clock(), ambient));
    let store = KubeCredentials::new(client, options).with_minting(minting);
    let by_kubeconfig = read("KUBECONFIG").is_some_and(|path| !path.is_empty());
    if args.local_cluster_creds_fallback != "true" || !by_kubeconfig {
        return Ok(store);
    }
    let local = kube::Config::incluster().map_err(|e| {
        format!("LOCAL_CLUSTER_CREDS_FALLBACK=true, but this is no pod of a cluster: {e}")
    })?;
    let local = kube::Client::try_from(local)
        .map_err(|e| format!("LOCAL_CLUSTER_CREDS_FALLBACK=true: no client: {e}"))?;
    Ok(store.with_local_cluster(local))
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

    let metrics = Metrics::new(metrics);
    let told = |system: &'static str| {
        let remotes = metrics.remotes.clone();
        move |host: &str, status: Option<u16>| remotes.asked(system, host, status)
    };
    let mirrors: Vec<String> =
        args.registry_mirrors.iter().map(|m| format!("{}={}", m.host, m.url)).collect();
    let mut images = sources::Settings::default();
    images.client.mirrors = sources::registry::Mirrors::parse(mirrors.iter().map(String::as_str))
        .map_err(|e| e.to_string())?;
    images.client.on_request = git::OnRequest::new(told("registry"));
    images.client.requests_per_second = args.image_registry_rate_limit;
    images.cache_entries = args.max_image_cache_entries;
    images.cache_folder = Some(data.join("images"));
    images.cache_by_tag = args.cache_by_tag_policy.parse().unwrap_or_default();
    let images = sources::Images::new(images).map_err(|e| e.to_string())?;

    let mut options = git::GitOptions::new(data.join("mirrors"));
    for rewrite in &args.git_instead_of {
        options.rewrites = options.rewrites.with(&rewrite.prefix, &rewrite.replacement);
    }
    options.max_mirror_bytes = args.max_mirror_bytes;
    options.max_history_bytes = usize::try_from(args.max_history_bytes).unwrap_or(usize::MAX);
    options.max_walks = args.max_git_walks.unwrap_or(options.max_walks);
    options.on_request = git::OnRequest::new(told("git"));
    // Discovery and promotions share the mirrors.
    let git = Arc::new(git::Git::open(options).map_err(|e| e.to_string())?);
    let commits = sources::git::Commits::new(Arc::clone(&git), sources::git::Settings::default());
    let policy = |name: &str| std::env::var(name).ok();
    let mut git = GitAccess::from_environment(git, policy).map_err(|e| e.to_string())?;
    git.identity.name.clone_from(&args.git_client_name);
    git.identity.email.clone_from(&args.git_client_email);
    git.users =
        Some(Arc::new(ClusterGitUsers::new(client.clone(), &args.system_resources_namespace)));

    let read = |name: &str| std::env::var(name).ok();
    let credentials: Arc<dyn CredentialStore> =
        Arc::new(credentials(client.clone(), args, read).await?);
    let settings = settings(args);
    let applications = Applications::new(&settings);
    let argocd_client = argocd_client(args, &client).await?;
    let argocd: Option<Arc<dyn ArgoCd>> = if settings.argocd_enabled {
        let cluster = ClusterArgoCd::new(argocd_client.clone(), &settings.argocd_namespace)
            .with_known(Arc::new(applications.clone()));
        let found = cluster.probe().await.map_err(|e| {
            format!(
                "cannot list Argo CD Applications: {e}; let the controller's ServiceAccount list them, or set ARGOCD_INTEGRATION_ENABLED=false"
            )
        })?;
        if !found {
            tracing::warn!(
                "this cluster has no Argo CD Applications yet; steps that need them wait for them"
            );
        }
        Some(Arc::new(cluster))
    } else {
        None
    };
    let world = World {
        argocd,
        git: Some(git),
        forge: Some(forge_access(args)?),
        credentials: Some(Arc::clone(&credentials)),
    };
    let mut warehouse =
        controllers::warehouse::Parts::new(images, credentials).with_commits(commits);
    warehouse.min_interval = args.min_warehouse_interval.to_std();
    let functions = controllers::promotion::lookups::functions(
        client.clone(),
        args.shared_resources_namespace.clone(),
    );
    let steps = steps.observed_by(metrics.promotion.clone());
    let engine = Engine::new(steps, world, functions);
    let context = Context::new(
        client,
        settings,
        metrics,
        warehouse,
        controllers::promotion::Parts::new(engine).with_workdirs(workdirs),
    );
    Ok(Arc::new(context.with_applications(argocd_client, &applications)))
}

/// The API of the cluster that has Argo CD: that of `ARGOCD_KUBECONFIG`, or
/// the one at hand.
async fn argocd_client(args: &ControllerArgs, own: &kube::Client) -> Result<kube::Client, String> {
    let Some(path) = args.argocd_kubeconfig.as_ref().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(own.clone());
    };
    let wrong = |e: &dyn std::fmt::Display| {
        format!(
            "ARGOCD_KUBECONFIG {}: {e}; it must be a kubeconfig of Argo CD's cluster",
            path.display()
        )
    };
    let kubeconfig = kube::config::Kubeconfig::read_from(path).map_err(|e| wrong(&e))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|e| wrong(&e))?;
    kube::Client::try_from(config).map_err(|e| wrong(&e))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(more: &[&str]) -> ControllerArgs {
        let words = ["supercargo", "controller"].iter().chain(more);
        let Command::Controller(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not the controller")
        };
        *args
    }

    #[tokio::test]
    async fn a_setting_of_credentials_that_cannot_be_used_is_named() {
        let client = || sandbox::kubernetes::Api::new().client();
        let with = async |more: &[&str], set: &'static [(&str, &str)]| {
            let read = |name: &str| {
                set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            credentials(client(), &args(more), read).await.err()
        };
        // install/I40: kept from Kargo is that "no" is refused; where nothing is
        // said, it is on (docs/differences.md).
        assert_eq!(with(&[], &[]).await, None);
        // install/I40, but that they are enabled unless somebody says otherwise.
        assert_eq!(
            with(&["--credential-providers-enabled=false"], &[]).await.as_deref(),
            Some("credential providers are not enabled; set CREDENTIAL_PROVIDERS_ENABLED=true")
        );
        for set in [
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example.com")][..],
            &[("GCE_METADATA_HOST", "a/b")],
            &[("AWS_ENDPOINT_URL_ECR", "ecr")],
        ] {
            let wrong = with(&[], set).await.unwrap();
            assert!(wrong.starts_with(&format!("{}: ", set[0].0)), "{wrong}");
        }
        // install/I49: only exactly `true`, and only with a kubeconfig (there is no pod here).
        for (flag, set, fails) in [
            ("1", &[("KUBECONFIG", "x")][..], false),
            ("true", &[], false),
            ("true", &[("KUBECONFIG", "x")], true),
        ] {
            let wrong = with(&["--local-cluster-creds-fallback", flag], set).await;
            assert_eq!(wrong.is_some(), fails, "{flag} {set:?}");
            assert!(
                wrong.is_none_or(|said| said.starts_with("LOCAL_CLUSTER_CREDS_FALLBACK=true, "))
            );
        }
    }

    /// A cluster whose every answer is that status.
    fn cluster_that_answers(code: u16, reason: &'static str) -> kube::Client {
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
            let body = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "message": "said by the server", "reason": reason, "code": code,
            });
            http::Response::builder()
                .status(code)
                .header("content-type", "application/json")
                .body(kube::client::Body::from(body.to_string().into_bytes()))
                .map_err(std::io::Error::other)
        });
        kube::Client::new(service, "default")
    }

    #[tokio::test]
    async fn argo_cd_that_is_not_there_or_not_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let place = format!("--data-dir={}", dir.path().display());
        let start = async |code, reason, more: &[&str]| {
            let words: Vec<&str> = [place.as_str()].iter().chain(more).copied().collect();
            let mut metrics = MetricsRegistry::default();
            let client = cluster_that_answers(code, reason);
            context(client, &args(&words), steps(), &mut metrics).await.err()
        };
        // install/I43
        assert_eq!(start(404, "NotFound", &[]).await, None);
        // install/I44
        let said = start(403, "Forbidden", &[]).await.unwrap_or_default();
        assert!(said.starts_with("cannot list Argo CD Applications: "), "{said}");
        assert!(said.contains("said by the server"), "{said}");
        let off = &["--argocd-integration-enabled=false"];
        assert_eq!(start(403, "Forbidden", off).await, None);
    }
}
