//! The Security Token Service: roles assumed, and who the caller is.

use jiff::Timestamp;

use crate::error::{ErrorClass, Unusable};
use crate::secret::Secret;
use crate::transport::{TokenAnswer, TokenRequest, Transport};

use super::sigv4::Signing;
use super::{Keys, Refused, refused, silence};

const VERSION: (&str, &str) = ("Version", "2011-06-15");

/// A role to be assumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::providers) struct Role {
    pub(in crate::providers) arn: String,
    pub(in crate::providers) session: String,
    pub(in crate::providers) external_id: String,
}

/// The service at one address.
pub(in crate::providers) struct Sts<'a> {
    pub(in crate::providers) http: &'a dyn Transport,
    pub(in crate::providers) url: &'a str,
    pub(in crate::providers) region: &'a str,
    pub(in crate::providers) now: Timestamp,
}

impl Sts<'_> {
    async fn ask(&self, keys: Option<&Keys>, fields: &[(&str, &str)]) -> Result<Document, Refused> {
        let mut request = TokenRequest::form(self.url, fields);
        if let Some(keys) = keys {
            let signing = Signing { service: "sts", region: self.region, now: self.now };
            request = signing
                .sign(keys, request)
                .ok_or_else(|| silence("STS", "its address has no host"))?;
        }
        let answer = self.http.send(request).await.map_err(|e| silence("STS", &e))?;
        let document = Document::new(&answer);
        if !answer.is_success() {
            return Err(refused("STS", &answer, document.text("Code"), document.text("Message")));
        }
        Ok(document)
    }

    /// The keys of a role, assumed with a pod's token.
    pub(in crate::providers) async fn assume_role_with_web_identity(
        &self,
        arn: &str,
        session: &str,
        token: &Secret,
    ) -> Result<Keys, Refused> {
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            VERSION,
            ("RoleArn", arn),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.expose()),
        ];
        self.ask(None, &fields).await?.keys()
    }

    /// The keys of a role, assumed with keys that one has.
    pub(in crate::providers) async fn assume_role(
        &self,
        keys: &Keys,
        role: &Role,
    ) -> Result<Keys, Refused> {
        let fields = [
            ("Action", "AssumeRole"),
            VERSION,
            ("RoleArn", role.arn.as_str()),
            ("RoleSessionName", role.session.as_str()),
            ("ExternalId", role.external_id.as_str()),
        ];
        self.ask(Some(keys), &fields).await?.keys()
    }

    /// The account that the keys belong to.
    pub(in crate::providers) async fn account(&self, keys: &Keys) -> Result<String, Refused> {
        let document = self.ask(Some(keys), &[("Action", "GetCallerIdentity"), VERSION]).await?;
        match document.text("Account") {
            "" => Err(odd("Account")),
            account => Ok(account.to_owned()),
        }
    }
}

fn odd(missing: &str) -> Refused {
    Refused::Failed(Unusable::new(ErrorClass::Transient, format!("STS answered without {missing}")))
}

/// An answer in XML: the text of its elements by name, the first of each.
struct Document(Vec<(String, String)>);

impl Document {
    fn new(answer: &TokenAnswer) -> Self {
        let text = String::from_utf8_lossy(&answer.body);
        let Ok(parsed) = roxmltree::Document::parse(&text) else { return Self(Vec::new()) };
        let texts = parsed.descendants().filter(roxmltree::Node::is_element).filter_map(|node| {
            Some((node.tag_name().name().to_owned(), node.text()?.trim().to_owned()))
        });
        Self(texts.collect())
    }

    fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, text)| text)
    }

    fn keys(&self) -> Result<Keys, Refused> {
        let part = |name| match self.text(name) {
            "" => Err(odd(name)),
            text => Ok(text.to_owned()),
        };
        Ok(Keys {
            id: part("AccessKeyId")?,
            secret: Secret::new(part("SecretAccessKey")?),
            session: Some(Secret::new(part("SessionToken")?)),
        })
    }
}
