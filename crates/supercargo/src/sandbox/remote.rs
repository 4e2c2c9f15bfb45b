//! Acting on a sandbox that is up, from another process.

use std::path::Path;

use super::world::{ADDRESSES, Addresses};

/// Where the sandbox of that directory is.
fn addresses(dir: &Path) -> Result<Addresses, String> {
    let path = dir.join(ADDRESSES);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        format!("{}: {e}; start one with `supercargo sandbox`, or name its --dir", path.display())
    })?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

async fn said(request: reqwest::RequestBuilder) -> Result<String, String> {
    let response = request
        .send()
        .await
        .map_err(|e| format!("the sandbox does not answer: {e}; is it still up?"))?;
    let ok = response.status().is_success();
    let text = response.text().await.map_err(|e| e.to_string())?;
    if ok { Ok(text) } else { Err(text) }
}

/// The repository as the sandbox's registry knows it: without the name of the
/// registry that it stands in for.
fn local(repository: &str) -> &str {
    super::world::REGISTRIES
        .iter()
        .find_map(|host| repository.strip_prefix(host)?.strip_prefix('/'))
        .unwrap_or(repository)
}

/// Publishes an image under `repository:tag`.
///
/// # Errors
/// A sandbox that is not up, a name that no registry takes.
pub async fn push_tag(dir: &Path, image: &str) -> Result<(), String> {
    let Some((repository, tag)) = image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))
    else {
        return Err(format!(
            "{image:?} has no tag; write for example zxc204fghasd/wsp-web-server-v2:v1.2.0"
        ));
    };
    let at = addresses(dir)?;
    let url = format!("{}/push/{tag}/{}", at.control, local(repository));
    let digest = said(reqwest::Client::new().post(url)).await?;
    println!("pushed {repository}:{tag} ({digest})");
    println!(
        "the Warehouse looks every 5 minutes; to make it look now:\n  \
         kubectl -n develop annotate warehouse frontend-dev-image --overwrite \
         kargo.akuity.io/refresh=\"$(date)\""
    );
    Ok(())
}

/// Lists the tags of a repository.
///
/// # Errors
/// A sandbox that is not up.
pub async fn tags(dir: &Path, repository: &str) -> Result<(), String> {
    let at = addresses(dir)?;
    let url = format!("{}/tags/{}", at.control, local(repository));
    println!("{}", said(reqwest::Client::new().get(url)).await?);
    Ok(())
}

/// Shows the newest commits of the quick start's repository.
///
/// # Errors
/// A sandbox that is not up.
pub async fn log(dir: &Path, number: usize) -> Result<(), String> {
    let at = addresses(dir)?;
    let url = format!("{}/log/{number}/{}", at.control, crate::demo::quickstart::REPOSITORY);
    println!("{}", said(reqwest::Client::new().get(url)).await?.trim_end());
    Ok(())
}
