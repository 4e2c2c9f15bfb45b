//! For tests: a token service that answers from a function and remembers what
//! it was asked, a clock that follows tokio's, and Secrets.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::providers::AmbientSettings;
use crate::token_cache::Now;
use crate::{
    CRED_TYPE_LABEL, Credential, CredentialError, CredentialKind, CredentialStore,
    FixedCredentials, LookupOptions, Minting, Secret, SecretRef, StoredSecret, TokenAnswer,
    TokenRequest, Transport,
};

/// One key in PKCS #1 and PKCS #8.
pub(crate) const PKCS1: &str = include_str!("../tests/data/rsa-pkcs1.pem");
pub(crate) const PKCS8: &str = include_str!("../tests/data/rsa-pkcs8.pem");

/// When tests begin.
pub(crate) const START: &str = "2026-03-01T12:00:00Z";

pub(crate) fn start() -> Timestamp {
    START.parse().unwrap()
}

/// A clock that shows [`START`] now and goes on with tokio's.
pub(crate) fn clock() -> Now {
    let (start, since) = (start(), tokio::time::Instant::now());
    Arc::new(move || start.checked_add(since.elapsed()).unwrap())
}

type Answering = Pin<Box<dyn Future<Output = Result<TokenAnswer, String>> + Send>>;

/// A token service.
pub(crate) struct Service {
    answer: Box<dyn Fn(TokenRequest) -> Answering + Send + Sync>,
    asked: Mutex<Vec<TokenRequest>>,
}

impl Service {
    /// Answers with a status and a body.
    pub(crate) fn new(
        answer: impl Fn(&TokenRequest) -> (u16, String) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::slow(move |request| {
            let (status, body) = answer(&request);
            async move { Ok(TokenAnswer { status, body: body.into_bytes(), headers: Vec::new() }) }
        })
    }

    /// Answers as the future says.
    pub(crate) fn slow<F>(answer: impl Fn(TokenRequest) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<TokenAnswer, String>> + Send + 'static,
    {
        Arc::new(Self {
            answer: Box::new(move |request| Box::pin(answer(request))),
            asked: Mutex::default(),
        })
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<TokenRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// How often an address that contains this was asked.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|request| request.url.contains(part)).count()
    }
}

#[async_trait]
impl Transport for Service {
    async fn send(&self, request: TokenRequest) -> Result<TokenAnswer, String> {
        self.asked.lock().unwrap().push(request.clone());
        (self.answer)(request).await
    }
}

/// Who mints, with this environment.
pub(crate) fn minting(service: &Arc<Service>, environment: &[(&str, &str)]) -> Arc<Minting> {
    let read = |name: &str| {
        environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    };
    let ambient = AmbientSettings::from_environment(read).unwrap();
    Arc::new(Minting::new(service.clone(), clock(), ambient))
}

/// A Secret of Project `p`.
pub(crate) fn secret(name: &str, kind: &str, data: &[(&str, &str)]) -> StoredSecret {
    StoredSecret {
        reference: SecretRef {
            namespace: "p".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
        },
        labels: [(CRED_TYPE_LABEL.to_owned(), kind.to_owned())].into(),
        annotations: Default::default(),
        data: data.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v))).collect(),
    }
}

/// A look-up for Project `p` among these Secrets.
pub(crate) async fn get(
    secrets: &[StoredSecret],
    minting: &Arc<Minting>,
    kind: CredentialKind,
    url: &str,
) -> Result<Option<Credential>, CredentialError> {
    FixedCredentials::new(secrets.to_vec(), LookupOptions::default())
        .with_minting(Arc::clone(minting))
        .get("p", kind, url)
        .await
}

/// User name and password of what was found.
pub(crate) fn shown(found: &Option<Credential>) -> Option<(String, String)> {
    let found = found.as_ref()?;
    Some((found.username().to_owned(), found.password()?.expose().to_owned()))
}

/// The claims of a token, after a check of its signature with the tests' key.
pub(crate) fn claims(token: &str) -> (Value, Value) {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use rustls_pki_types::pem::PemObject;

    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(PKCS8.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .expect("the signature is the key's");
    let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    (part(header), part(payload))
}

/// The fields of a form.
pub(crate) fn form(request: &TokenRequest) -> Vec<(String, String)> {
    url::form_urlencoded::parse(request.body.expose().as_bytes()).into_owned().collect()
}

/// A field of a form.
pub(crate) fn field(request: &TokenRequest, name: &str) -> String {
    form(request).into_iter().find(|(n, _)| n == name).map(|(_, v)| v).unwrap_or_default()
}
