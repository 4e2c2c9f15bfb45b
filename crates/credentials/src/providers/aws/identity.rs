//! Whose the pod is: EKS Pod Identity, or an IAM role for its service account.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::transport::{TokenRequest, Transport};

use super::sts::Sts;
use super::{Keys, Refused, is_region, refused, silence};

/// The largest token file, in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// The hosts that may be asked for a container's keys without TLS: this
/// machine, ECS and EKS.
const LINK_LOCAL: [&str; 5] =
    ["localhost", "127.0.0.1", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// What the environment says about the pod's identity, by Amazon's own
/// variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct Settings {
    region: Option<String>,
    sts: Option<String>,
    origin: KeyOrigin,
}

/// Where the pod's keys come from; the first that is there, as in Amazon's
/// own libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyOrigin {
    Environment(Keys),
    WebIdentity { role: String, session: String, token: PathBuf },
    Container { url: String, token: Option<Secret>, token_file: Option<PathBuf> },
}

impl Settings {
    /// `None` where neither Pod Identity nor a role for the service account is
    /// set up (`credentials` 6.3).
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub(in crate::providers) fn from_environment(
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, String> {
        let container = read("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let web = read("AWS_ROLE_ARN").zip(read("AWS_WEB_IDENTITY_TOKEN_FILE"));
        let keys = read("AWS_ACCESS_KEY_ID").zip(read("AWS_SECRET_ACCESS_KEY"));
        let origin = match (keys, web, container) {
            (_, None, None) => return Ok(None),
            (Some((id, secret)), _, _) => KeyOrigin::Environment(Keys {
                id,
                secret: Secret::new(secret),
                session: read("AWS_SESSION_TOKEN").map(Secret::new),
            }),
            (None, Some((role, token)), _) => KeyOrigin::WebIdentity {
                role,
                session: read("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "supercargo".to_owned()),
                token: token.into(),
            },
            (None, None, Some(url)) => KeyOrigin::Container {
                url: local_or_https("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)?,
                token: read("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
                token_file: read("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
            },
        };
        let region = read("AWS_REGION").or_else(|| read("AWS_DEFAULT_REGION"));
        if let Some(region) = &region
            && !is_region(region)
        {
            return Err(format!(
                "AWS_REGION: {region:?} is no region; write one such as eu-west-1"
            ));
        }
        let sts = read("AWS_ENDPOINT_URL_STS")
            .map(|url| local_or_https("AWS_ENDPOINT_URL_STS", url))
            .transpose()?;
        Ok(Some(Self { region, sts, origin }))
    }

    /// STS as this pod asks it.
    pub(in crate::providers) fn sts<'a>(
        &'a self,
        http: &'a dyn Transport,
        url: &'a mut String,
        now: Timestamp,
    ) -> Sts<'a> {
        *url = match (&self.sts, &self.region) {
            (Some(url), _) => url.clone(),
            (None, Some(region)) if region.starts_with("cn-") => {
                format!("https://sts.{region}.amazonaws.com.cn/")
            }
            (None, Some(region)) => format!("https://sts.{region}.amazonaws.com/"),
            (None, None) => "https://sts.amazonaws.com/".to_owned(),
        };
        Sts { http, url, region: self.region.as_deref().unwrap_or("us-east-1"), now }
    }

    /// The pod's own keys.
    pub(in crate::providers) async fn keys(
        &self,
        http: &dyn Transport,
        now: Timestamp,
    ) -> Result<Keys, Refused> {
        match &self.origin {
            KeyOrigin::Environment(keys) => Ok(keys.clone()),
            KeyOrigin::WebIdentity { role, session, token } => {
                let token = token_in(token).await?;
                let mut url = String::new();
                let sts = self.sts(http, &mut url, now);
                sts.assume_role_with_web_identity(role, session, &token).await
            }
            KeyOrigin::Container { url, token, token_file } => {
                let token = match token_file {
                    Some(file) => Some(token_in(file).await?),
                    None => token.clone(),
                };
                container_keys(http, url, token).await
            }
        }
    }
}

/// An address that secrets may be sent to: by TLS, or on this machine's link.
pub(in crate::providers) fn local_or_https(name: &str, url: String) -> Result<String, String> {
    let parsed = url::Url::parse(&url).ok();
    let host = parsed.as_ref().and_then(|url| url.host_str().map(str::to_owned));
    match parsed.as_ref().map(url::Url::scheme) {
        Some("https") if host.is_some() => Ok(url),
        Some("http") if host.is_some_and(|host| LINK_LOCAL.contains(&host.as_str())) => Ok(url),
        _ => Err(format!("{name}: {url:?} is no address to send credentials to; write https://…")),
    }
}

/// The token that is mounted into the pod; it changes from time to time.
pub(in crate::providers) async fn token_in(file: &Path) -> Result<Secret, Refused> {
    let failed = |reason: String| {
        let message = format!("cannot read the pod's token {}: {reason}", file.display());
        Refused::Failed(Unusable::new(ErrorClass::Transient, message))
    };
    let open = tokio::fs::File::open(file).await.map_err(|e| failed(e.to_string()))?;
    let mut text = String::new();
    open.take(MAX_TOKEN).read_to_string(&mut text).await.map_err(|e| failed(e.to_string()))?;
    match text.trim() {
        "" => Err(failed("it is empty".to_owned())),
        token => Ok(Secret::new(token)),
    }
}

async fn container_keys(
    http: &dyn Transport,
    url: &str,
    token: Option<Secret>,
) -> Result<Keys, Refused> {
    const SERVICE: &str = "the pod's credentials agent";
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        access_key_id: String,
        secret_access_key: String,
        token: String,
    }
    let mut request = TokenRequest::get(url).direct();
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let answer = http.send(request).await.map_err(|e| silence(SERVICE, &e))?;
    if !answer.is_success() {
        return Err(refused(SERVICE, &answer, "", ""));
    }
    let body: Body = serde_json::from_slice(&answer.body)
        .map_err(|_| silence(SERVICE, "it answered with something else"))?;
    Ok(Keys {
        id: body.access_key_id,
        secret: Secret::new(body.secret_access_key),
        session: Some(Secret::new(body.token)),
    })
}
