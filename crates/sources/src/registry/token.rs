//! Tokens of the distribution protocol: got once a scope, and used until they
//! end.

use credentials::Secret;
use reqwest::header::AUTHORIZATION;
use tokio::time::Instant;
use url::Url;

use super::auth::{Slot, Token, TokenAnswer};
use super::line::{Attempts, retry_after};
use super::repository::Repository;
use super::request::{LARGEST_SMALL, basic, is_inside, read};
use super::words::Subject;
use crate::error::{Error, Refusal};

impl Repository {
    /// The scope's token, got if need be.
    pub(super) async fn token(
        &self,
        base: &Url,
        realm: &str,
        service: Option<&str>,
        slot: &Slot,
    ) -> Result<Secret, Error> {
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|t| t.is_good(Instant::now())) {
            return Ok(token.value.clone());
        }
        let token = self.get_token(base, realm, service).await?;
        let value = token.value.clone();
        *slot = Some(token);
        Ok(value)
    }

    async fn get_token(
        &self,
        base: &Url,
        realm: &str,
        service: Option<&str>,
    ) -> Result<Token, Error> {
        let wrong = || Error::Unexpected(format!("{realm:?} is no address of a token server"));
        let mut url = Url::parse(realm).map_err(|_| wrong())?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", &self.scope());
            if let Some(service) = service {
                query.append_pair("service", service);
            }
        }
        let asked = Instant::now();
        let authorization = basic(self.session.login.as_ref());
        let answered = self
            .line
            .send(&mut Attempts::default(), |http| {
                let request = http.get(url.clone());
                match &authorization {
                    Some(header) => request.header(AUTHORIZATION, header.clone()),
                    None => request,
                }
            })
            .await;
        let shown = self.shown_realm(&url, base);
        let response = answered.map_err(|e| self.unanswered("GET", shown.clone(), e))?;
        if response.status().is_success() {
            let body = read(response, LARGEST_SMALL).await.unwrap_or_default();
            let answer: Option<TokenAnswer> = serde_json::from_slice(&body).ok();
            let (value, lifetime) = answer.and_then(TokenAnswer::token).ok_or_else(|| {
                Error::Unexpected(format!(
                    "GET {shown}: the answer holds no token; check what runs at {}",
                    self.address.registry()
                ))
            })?;
            return Ok(Token::new(value, lifetime, asked));
        }
        let (status, wait) = (response.status(), retry_after(&response));
        let said = Subject::said(response, self.session.login.as_ref()).await;
        let refusal: Refusal = self.subject().refusal("GET", shown, status, said, wait);
        Err(Error::Answer(Box::new(refusal)))
    }

    /// Tokens are fetched over HTTPS, or over HTTP where the registry itself
    /// is; and not from other hosts inside the network (`warehouses` 6.8 P3).
    pub(super) fn checked_realm(&self, realm: &str, base: &Url) -> Result<String, Error> {
        let registry = self.address.registry();
        let wrong = || {
            Error::Unexpected(format!(
                "{registry} names {realm:?} as its token server, which is not trusted: it must use https, and no private address of another host"
            ))
        };
        let url = Url::parse(realm).map_err(|_| wrong())?;
        let plain_is_fine = base.scheme() == "http";
        if url.scheme() != "https" && !(url.scheme() == "http" && plain_is_fine) {
            return Err(wrong());
        }
        if is_inside(&url) && url.host_str() != base.host_str() {
            return Err(wrong());
        }
        Ok(realm.to_owned())
    }

    /// A token server's address for people: of a mirror, the public registry's.
    fn shown_realm(&self, realm: &Url, base: &Url) -> String {
        if realm.host_str() == base.host_str() && realm.port() == base.port() {
            format!("https://{}{}", self.address.registry(), realm.path())
        } else {
            format!("{}{}", realm.origin().ascii_serialization(), realm.path())
        }
    }
}
