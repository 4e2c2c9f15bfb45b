//! Signature Version 4 of Amazon's API requests ("Create a signed AWS API
//! request" of the IAM User Guide), as far as ECR and STS need it.

use std::fmt::Write;

use jiff::Timestamp;
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::transport::TokenRequest;

use super::{Keys, stamp};

/// What is signed: the request, and for which service in which region.
pub(in crate::providers) struct Signing<'a> {
    pub(in crate::providers) service: &'a str,
    pub(in crate::providers) region: &'a str,
    pub(in crate::providers) now: Timestamp,
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

impl Signing<'_> {
    /// The request with the headers `host`, `x-amz-date`, where needed
    /// `x-amz-security-token`, and `authorization` over all its headers.
    /// `None` where its URL has no host.
    pub(in crate::providers) fn sign(
        &self,
        keys: &Keys,
        mut request: TokenRequest,
    ) -> Option<TokenRequest> {
        let url = url::Url::parse(&request.url).ok()?;
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        let stamp = stamp(self.now);
        request = request.header("host", host).header("x-amz-date", stamp.clone());
        if let Some(session) = &keys.session {
            request = request.header("x-amz-security-token", session.clone());
        }
        let mut headers: Vec<(&str, &str)> =
            request.headers.iter().map(|(name, value)| (*name, value.expose().trim())).collect();
        headers.sort_unstable();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical =
            format!("{}\n{}\n{}\n", request.method, url.path(), url.query().unwrap_or_default());
        for (name, value) in &headers {
            let _ = writeln!(canonical, "{name}:{value}");
        }
        let body = hex::encode(Sha256::digest(request.body.expose().as_bytes()));
        let _ = write!(canonical, "\n{names}\n{body}");

        let day = stamp.get(..8).unwrap_or_default().to_owned();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let digest = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", keys.secret.expose()).into_bytes();
        for part in [day.as_str(), self.region, self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let signature = hex::encode(hmac(&key, &to_sign));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            keys.id
        );
        Some(request.header("authorization", Secret::new(authorization)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the IAM User Guide, and `post-vanilla` of the published
    /// test suite.
    #[test]
    fn signatures_are_those_that_amazon_publishes() {
        let keys = Keys {
            id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let list_users =
            TokenRequest::get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08")
                .header(
                    "content-type",
                    "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
                );
        let vanilla =
            TokenRequest { method: "POST", ..TokenRequest::get("https://example.amazonaws.com/") };
        let cases = [
            (
                "iam",
                list_users,
                "content-type;host;x-amz-date",
                "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            ),
            (
                "service",
                vanilla,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ];
        for (service, request, headers, signature) in cases {
            let signing = Signing { service, region: "us-east-1", now };
            let signed = signing.sign(&keys, request).unwrap();
            assert_eq!(
                signed.header_value("authorization").unwrap(),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders={headers}, Signature={signature}"
                )
            );
        }
    }
}
