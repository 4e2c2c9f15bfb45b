//! What discovery from one large Git repository costs, against plain
//! `git clone --bare`, over HTTP on loopback:
//!
//! ```text
//! cargo run --release -p sources --example git_discovery [commits] [bytes a commit]
//! ```
//!
//! Prints one line of JSON a scenario. Needs `git`.

use std::io::{BufWriter, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{GitDiscoveryResult, GitSubscription};
use git::{Freshness, Git, GitOptions};
use sandbox::git_host::{GitHost, GitHostOptions, GitService};
use sources::git::{Commits, Settings};
use tokio_util::sync::CancellationToken;

const REPO: &str = "team/large";
const FOLDERS: usize = 30;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn git_command(dir: &std::path::Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// Commits that write one file of one of the folders each, with contents that
/// do not compress.
fn generate(dir: &std::path::Path, commits: usize, bytes: usize) -> Result<(), Failure> {
    let mut child = git_command(dir)
        .args(["fast-import", "--quiet", "--date-format=raw"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut out = BufWriter::new(child.stdin.take().ok_or("no standard input")?);
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()
    };
    for n in 0..commits {
        let at = 1_600_000_000 + n * 60;
        let message = format!("change {n}");
        let content: Vec<u8> =
            std::iter::repeat_with(&mut next).take(bytes.div_ceil(8)).flatten().collect();
        write!(
            out,
            "commit refs/heads/main\ncommitter D <d@example.com> {at} +0000\ndata {}\n{message}\nM 100644 inline apps/app{}/file{}\ndata {}\n",
            message.len(),
            n % FOLDERS,
            n / FOLDERS % 20,
            content.len()
        )?;
        out.write_all(&content)?;
        writeln!(out)?;
    }
    drop(out);
    child.wait()?;
    git_command(dir).args(["gc", "--quiet"]).status()?;
    Ok(())
}

fn subscription(url: &str, folder: usize) -> GitSubscription {
    GitSubscription {
        repo_url: url.to_owned(),
        include_paths: vec![format!("apps/app{folder}")],
        discovery_limit: 20,
        ..GitSubscription::default()
    }
}

/// Discovers all at once; the results, and how long it took.
async fn discover(
    commits: &Commits,
    all: Vec<(GitSubscription, Option<GitDiscoveryResult>)>,
) -> Result<(Vec<GitDiscoveryResult>, Duration), Failure> {
    let begun = Instant::now();
    let running: Vec<_> = all
        .into_iter()
        .map(|(subscription, previous)| {
            let commits = commits.clone();
            tokio::spawn(async move {
                let never = CancellationToken::new();
                commits.discover(&subscription, None, previous.as_ref(), &never).await
            })
        })
        .collect();
    let mut results = Vec::new();
    for one in running {
        results.push(one.await??.result);
    }
    Ok((results, begun.elapsed()))
}

/// The process's resident memory and its peak, in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).filter_map(|a| a.parse().ok());
    let commits = arguments.next().unwrap_or(15_000);
    let bytes = arguments.next().unwrap_or(3000);
    let host = GitHost::start(GitHostOptions::default()).await?;
    host.create_repository(REPO, &[]).await?;
    let bare = host.root().join(format!("{REPO}.git"));
    generate(&bare, commits, bytes)?;
    let url = host.repository_url(REPO);
    let dir = tempfile::tempdir()?;
    let fetches = || host.traffic().count(|r| r.service == GitService::Fetch && !r.lists_refs);
    let listings = || host.traffic().count(|r| r.lists_refs);

    let begun = Instant::now();
    let plain =
        git_command(dir.path()).args(["clone", "--quiet", "--bare", &url, "plain"]).status()?;
    let plain = (plain.success(), begun.elapsed());
    println!(
        "{{\"scenario\":\"git clone --bare\",\"ok\":{},\"seconds\":{:.2}}}",
        plain.0,
        plain.1.as_secs_f64()
    );

    let git = Git::open(GitOptions::new(dir.path().join("first")))?;
    let begun = Instant::now();
    let remote = git.remote(&url, None, false)?;
    git.snapshot(&remote, Freshness::Now, &CancellationToken::new()).await?;
    let first = begun.elapsed();
    println!(
        "{{\"scenario\":\"first mirror\",\"seconds\":{:.2},\"times_clone\":{:.2}}}",
        first.as_secs_f64(),
        first.as_secs_f64() / plain.1.as_secs_f64()
    );
    drop(git);

    let git = Arc::new(Git::open(GitOptions::new(dir.path().join("tip")))?);
    let tip = Commits::new(git, Settings::default());
    let unfiltered = GitSubscription { include_paths: Vec::new(), ..subscription(&url, 0) };
    let (_, took) = discover(&tip, vec![(unfiltered, None)]).await?;
    println!("{{\"scenario\":\"first look, no filter\",\"seconds\":{:.2}}}", took.as_secs_f64());

    let git = Arc::new(Git::open(GitOptions::new(dir.path().join("mirrors")))?);
    let discovery = Commits::new(git, Settings::default());
    let before = fetches();
    let wanted = (0..FOLDERS).map(|folder| (subscription(&url, folder), None)).collect();
    let (results, took) = discover(&discovery, wanted).await?;
    println!(
        "{{\"scenario\":\"{FOLDERS} path filters, first time\",\"seconds\":{:.2},\"times_clone\":{:.2},\"fetches\":{},\"found\":{},\"rss_peak_mib\":{}}}",
        took.as_secs_f64(),
        took.as_secs_f64() / plain.1.as_secs_f64(),
        fetches() - before,
        results.iter().map(|r| r.commits.len()).sum::<usize>(),
        memory().1
    );

    // One that matches nothing walks to the beginning.
    let (_, took) = discover(&discovery, vec![(subscription(&url, FOLDERS), None)]).await?;
    println!(
        "{{\"scenario\":\"a filter that matches nothing, first time\",\"seconds\":{:.2}}}",
        took.as_secs_f64()
    );
    let (_, took) = discover(&discovery, vec![(subscription(&url, FOLDERS), None)]).await?;
    println!("{{\"scenario\":\"the same again\",\"seconds\":{:.2}}}", took.as_secs_f64());

    let resident = memory().0;
    host.commit_file(REPO, "main", "apps/app7/file0", "pushed", "pushed").await?;
    let (fetched, listed) = (fetches(), listings());
    let wanted = (0..1000)
        .map(|n| {
            let folder = n % FOLDERS;
            (subscription(&url, folder), results.get(folder).cloned())
        })
        .collect();
    let (results, took) = discover(&discovery, wanted).await?;
    println!(
        "{{\"scenario\":\"1000 subscriptions, one push\",\"seconds\":{:.2},\"fetches\":{},\"listings\":{},\"moved\":{},\"rss_growth_mib\":{}}}",
        took.as_secs_f64(),
        fetches() - fetched,
        listings() - listed,
        results.iter().filter(|r| r.commits.first().is_some_and(|c| c.subject == "pushed")).count(),
        memory().0.saturating_sub(resident)
    );
    Ok(())
}
