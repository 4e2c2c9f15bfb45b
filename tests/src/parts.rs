//! The Project of `examples/warehouses`, with the registry and the Git host that
//! its artifacts come from: the sandbox's, or real ones with logins and
//! certificates of their own ([`crate::peers`]). [`crate::on_each_peer!`] runs
//! tests with both.

use ::sandbox::git_host::{FileChange, GitService};
use ::sandbox::registry::NewImage;
use api::{Freight, Warehouse};

use crate::examples::text;
use crate::peers::access_log::Asked;
use crate::peers::{self, Peers, docker_registry};
use crate::{Pipeline, await_that};

/// The Project.
pub const PROJECT: &str = "parts";
/// The image's repository at `ghcr.io`.
pub const IMAGE: &str = "example/shop-web";
/// The chart's repository at `ghcr.io`.
pub const CHART: &str = "example/charts/shop-web";
/// The Git repository at `https://git.example.com/`.
pub const REPOSITORY: &str = "shop/deploy.git";

/// The Project with its surroundings, and the controllers in this process.
pub struct Parts {
    /// The running world.
    pub pipeline: Pipeline,
    real: Option<Peers>,
}

/// Each test function twice: with the sandbox's registry and Git host, and
/// with real ones where they are installed.
#[macro_export]
macro_rules! on_each_peer {
    ($($name:ident),* $(,)?) => {
        mod sandbox {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name($crate::parts::Parts::in_the_sandbox().await).await;
            }
        )*}
        mod real_peers {$(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(parts) = $crate::parts::Parts::with_real_peers().await {
                    super::$name(parts).await;
                }
            }
        )*}
    };
}

impl Parts {
    /// With the sandbox's registry and Git host.
    pub async fn in_the_sandbox() -> Self {
        let pipeline = Pipeline::start().await;
        pipeline.apply(&text("warehouses/project.yaml")).await;
        Self { pipeline, real: None }
    }

    /// With real ones; `None` where they are not installed.
    pub async fn with_real_peers() -> Option<Self> {
        let mut pipeline = Pipeline::without_controllers().await;
        let real = Peers::start(&pipeline.world).await?;
        real.map_names(&mut pipeline.args, &pipeline.world);
        pipeline.start_controllers(supercargo::wiring::steps());
        pipeline.apply(&text("warehouses/project.yaml")).await;
        for (name, kind, url) in [
            ("image", "image", format!("ghcr.io/{IMAGE}")),
            ("git", "git", format!("https://git.example.com/{REPOSITORY}")),
            ("chart", "helm", format!("oci://ghcr.io/{CHART}")),
            ("charts", "helm", format!("{}/charts", real.web.files_url())),
        ] {
            pipeline.apply(&peers::login(PROJECT, name, kind, &url)).await;
        }
        Some(Self { pipeline, real: Some(real) })
    }

    /// Applies a manifest of Warehouses.
    pub async fn apply(&self, manifest: &str) {
        match self.real {
            Some(_) => self.pipeline.apply(&peers::unchecked(manifest)).await,
            None => self.pipeline.apply(manifest).await,
        }
    }

    /// Applies one of `examples/warehouses`.
    pub async fn apply_example(&self, name: &str) {
        self.apply(&text(&format!("warehouses/{name}.yaml"))).await;
    }

    /// Publishes an image, or what stands for a chart, that was built now.
    pub async fn push(&self, repository: &str, tag: &str) {
        let second = jiff::Timestamp::now().as_second();
        self.publish(repository, tag, second).await;
    }

    /// Publishes an image that was built at that second, counted from some time
    /// on.
    ///
    /// # Panics
    /// When the registry refuses.
    pub async fn build(&self, tag: &str, second: i64) {
        self.publish(IMAGE, tag, 1_700_000_000 + second).await;
    }

    async fn publish(&self, repository: &str, tag: &str, second: i64) {
        let created = jiff::Timestamp::from_second(second).expect("a time");
        let content = format!("{tag} {second}");
        if let Some(real) = &self.real {
            let image = docker_registry::NewImage { created, content };
            return real.registry.push(repository, tag, &image).await;
        }
        let image = NewImage { content, ..NewImage::created(created) };
        self.pipeline.world.registry.push_tag(repository, tag, &image).expect("it is published");
    }

    /// Publishes the index of a classic chart repository, whose address it
    /// returns: charts with their versions.
    pub fn publish_index(&self, charts: &[(&str, &[&str])]) -> String {
        let Some(real) = &self.real else {
            let registry = &self.pipeline.world.registry;
            registry.push_index("charts", charts);
            return format!("{}/charts", registry.url());
        };
        let mut index = "apiVersion: v1\nentries:\n".to_owned();
        for (chart, versions) in charts {
            index.push_str(&format!("  {chart}:\n"));
            for version in *versions {
                index.push_str(&format!("  - name: {chart}\n    version: {version:?}\n"));
            }
        }
        real.web.write("charts/index.yaml", &index);
        format!("{}/charts", real.web.files_url())
    }

    /// Makes the Git repository.
    ///
    /// # Panics
    /// When the host refuses.
    pub async fn repository(&self) {
        let git = &self.pipeline.world.git;
        git.create_repository(REPOSITORY, &[("README.md", "")]).await.expect("a repository");
    }

    /// Commits a change of one file; returns the commit's id.
    ///
    /// # Panics
    /// When the host refuses.
    pub async fn commit(&self, file: &str, subject: &str) -> String {
        let change = [FileChange::write(file, subject)];
        let done = self.pipeline.world.git.commit(REPOSITORY, "main", subject, &change).await;
        done.expect("the commit is made")
    }

    /// Puts a tag on what `main` names.
    ///
    /// # Panics
    /// When the host refuses.
    pub async fn tag(&self, tag: &str) {
        self.pipeline.world.git.tag(REPOSITORY, tag, "main").await.expect("a tag");
    }

    /// The Warehouse's Freight of these versions, once it is there.
    pub async fn freight(&self, warehouse: &str, wanted: &[&str]) -> Freight {
        let what = format!("Freight of {warehouse} with {wanted:?}");
        await_that::object(self.pipeline.of::<Freight>(PROJECT), &what, |f| {
            f.origin.name == warehouse && versions(f) == wanted
        })
        .await
    }

    /// How many pieces of Freight there are.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn count(&self) -> usize {
        let freight = self.pipeline.of::<Freight>(PROJECT).list(&Default::default()).await;
        freight.expect("a list").items.len()
    }

    /// The Warehouse, once it is Ready and has dealt with that refresh.
    pub async fn looked(&self, warehouse: &str, token: &str) -> Warehouse {
        self.pipeline.refresh(PROJECT, warehouse, token).await;
        let what = format!("a Ready {warehouse} after {token}");
        await_that::object(self.pipeline.of::<Warehouse>(PROJECT), &what, |w| {
            let status = w.status.clone().unwrap_or_default();
            w.metadata.name.as_deref() == Some(warehouse)
                && status.last_handled_refresh == token
                && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
        })
        .await
    }

    /// What the registry has answered so far, those requests apart that it
    /// wanted a login of first.
    pub async fn asked_registry(&self) -> Vec<Asked> {
        let asked = match &self.real {
            Some(real) => real.registry.asked().await,
            None => {
                let requests = self.pipeline.world.registry.traffic().requests();
                let asked = |r: &::sandbox::registry::RegistryRequest| Asked {
                    method: r.method.clone(),
                    path: r.path.clone(),
                    status: r.status,
                };
                requests.iter().map(asked).collect()
            }
        };
        asked.into_iter().filter(Asked::is_served).collect()
    }

    /// What the Git host has answered so far: listings of references, and
    /// requests of fetches (of which one fetch may make two).
    pub async fn asked_git(&self) -> (usize, usize) {
        let Some(real) = &self.real else {
            let traffic = self.pipeline.world.git.traffic();
            let of = |lists: bool| {
                traffic.count(|r| r.service == GitService::Fetch && r.lists_refs == lists)
            };
            return (of(true), of(false));
        };
        let asked = real.web.asked().await;
        let of = |end: &str| asked.iter().filter(|a| a.is_served() && a.path.contains(end)).count();
        (of("/info/refs?service=git-upload-pack"), of(".git/git-upload-pack"))
    }
}

/// What Freight holds, each artifact by its version.
fn versions(freight: &Freight) -> Vec<String> {
    let commits = freight.commits.iter().map(|c| match c.tag.as_str() {
        "" => c.message.clone(),
        tag => tag.to_owned(),
    });
    let images = freight.images.iter().map(|i| i.tag.clone());
    let charts = freight.charts.iter().map(|c| c.version.clone());
    commits.chain(images).chain(charts).collect()
}
