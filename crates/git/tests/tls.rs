//! Git over HTTPS, where the server's certificate is from an authority of
//! one's own. A process of its own: libgit2's trust is the process's.

use std::net::SocketAddr;
use std::sync::Arc;

use git::{ErrorClass, Freshness, Git, GitError, GitOptions, Snapshot};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sandbox::git_host::{GitHost, GitHostOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;

const REPO: &str = "team/app";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// TLS in front of the host, with a certificate for 127.0.0.1 of this authority.
async fn front(host: &GitHost, authority: &Authority) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let behind = host.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(connection).await else { return };
                let Ok(mut inside) = TcpStream::connect(behind).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_trusted_by_its_authority_or_by_order() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = GitHost::start(GitHostOptions::default()).await.unwrap();
    host.create_repository(REPO, &[("a", "1")]).await.unwrap();
    host.set_auth(REPO, Some(("bot".into(), "canary-token".into())));
    let (ours, other) = (authority("Ours"), authority("Another"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, ours.pem()).unwrap();
    let mut options = GitOptions::new(dir.path().join("mirrors"));
    options.process.ca_file = Some(file);
    let git = Git::open(options).unwrap();

    let trusted = front(&host, &ours).await;
    let strange = front(&host, &other).await;
    let ask = async |at: SocketAddr, insecure: bool| -> Result<Snapshot, GitError> {
        let url = format!("https://{at}/{REPO}.git");
        let auth = git::Auth::basic("bot", "canary-token", "Secret p/repo", "uid-1");
        let remote = git.remote(&url, Some(auth), insecure).unwrap();
        git.snapshot(&remote, Freshness::Now, &CancellationToken::new()).await
    };
    ask(trusted, false).await.unwrap();

    let before = host.traffic().total();
    let error = ask(strange, false).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config, "{error}");
    let said = error.to_string();
    assert!(said.starts_with(&format!("the certificate of {strange} is not trusted: ")), "{said}");
    assert!(said.contains("insecureSkipTLSVerify"), "{said}");
    assert_eq!(host.traffic().total(), before, "nothing was sent to it");

    ask(strange, true).await.unwrap();
}
