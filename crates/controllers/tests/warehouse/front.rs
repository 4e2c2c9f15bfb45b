//! A stretch of network in front of the Git host, which passes bytes on until
//! it is told to misbehave.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// It reaches the host.
    Pass,
    /// It reaches the host, and breaks once so many bytes came back.
    Cut(usize),
    /// A byte of the answer now and then.
    Drip,
    /// References without end.
    Endless,
    /// A redirect to where it came from.
    Loop,
    /// A page for people.
    Page,
    /// Nothing is ever said.
    Silent,
}

const ADVERTISED: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nConnection: close\r\n\r\n001e# service=git-upload-pack\n0000";

/// It ends when it is dropped.
pub struct Front {
    scheme: &'static str,
    address: SocketAddr,
    manner: watch::Sender<Manner>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    /// In front of the host at that address; if so wanted it speaks TLS, with a
    /// certificate that nobody knows.
    pub async fn start(host: SocketAddr, tls: bool) -> Self {
        let acceptor = tls.then(|| sandbox::tls::acceptor(&["http/1.1"]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (manner, asked) = watch::channel(Manner::Pass);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut asked = asked.clone();
                let manner = *asked.borrow_and_update();
                let acceptor = acceptor.clone();
                let served = async move {
                    match acceptor {
                        Some(acceptor) => serve(acceptor.accept(near).await?, host, manner).await,
                        None => serve(near, host, manner).await,
                    }
                };
                tokio::spawn(async move {
                    tokio::select! {
                        // Whoever breaks off ends this.
                        done = served => drop(done),
                        // A connection that is kept for later would go on.
                        _ = asked.changed() => {}
                    }
                });
            }
        });
        let scheme = if tls { "https" } else { "http" };
        Self { scheme, address, manner, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// From now on connections fare so; those that there are break.
    pub fn be(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }
}

async fn serve(
    mut near: impl AsyncRead + AsyncWrite + Unpin,
    host: SocketAddr,
    manner: Manner,
) -> std::io::Result<()> {
    match manner {
        Manner::Pass => return pass(near, host, usize::MAX).await,
        Manner::Cut(after) => return pass(near, host, after).await,
        _ => {}
    }
    let mut request = vec![0; 4096];
    if near.read(&mut request).await? == 0 {
        return Ok(());
    }
    match manner {
        Manner::Drip => {
            near.write_all(ADVERTISED.as_bytes()).await?;
            let mut tick = tokio::time::interval(Duration::from_millis(200));
            loop {
                tick.tick().await;
                // The beginning of a length that is never reached.
                near.write_all(b"f").await?;
            }
        }
        Manner::Endless => {
            near.write_all(ADVERTISED.as_bytes()).await?;
            for n in 0u64.. {
                let line = format!("{n:040x} refs/heads/b{n:016x}\n");
                near.write_all(format!("{:04x}{line}", line.len() + 4).as_bytes()).await?;
            }
        }
        Manner::Loop => {
            let text = String::from_utf8_lossy(&request).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("/").to_owned();
            let head = format!(
                "HTTP/1.1 302 Found\r\nLocation: {path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            near.write_all(head.as_bytes()).await?;
        }
        Manner::Page => {
            let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            near.write_all(page.as_bytes()).await?;
        }
        // Until the other side has enough of it.
        _ => while near.read(&mut request).await? > 0 {},
    }
    near.shutdown().await
}

/// Passes bytes on, and breaks off once the host has sent so many.
async fn pass(
    near: impl AsyncRead + AsyncWrite,
    host: SocketAddr,
    most: usize,
) -> std::io::Result<()> {
    let mut far = TcpStream::connect(host).await?;
    let (mut near_read, mut near_write) = tokio::io::split(near);
    let (mut far_read, mut far_write) = far.split();
    let up = tokio::io::copy(&mut near_read, &mut far_write);
    let down = async {
        let mut buffer = vec![0; 16 << 10];
        let mut sent = 0;
        loop {
            let n = far_read.read(&mut buffer).await?;
            sent += n;
            if n == 0 || sent > most {
                return Ok::<(), std::io::Error>(());
            }
            near_write.write_all(&buffer[..n]).await?;
        }
    };
    tokio::pin!(up, down);
    tokio::select! {
        done = &mut down => done,
        // The request may end before the answer does.
        _ = &mut up => down.await,
    }
}
