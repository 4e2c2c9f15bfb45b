//! What the pipeline costs, with the controllers in a process of their own:
//! `cargo bench -p e2e`. Prints figures; asserts nothing about time.

use std::time::{Duration, Instant};

use e2e::controller_process::ControllerProcess;
use e2e::examples::text;
use e2e::{Pipeline, await_that};

const BINARY: &str = env!("CARGO_BIN_EXE_controller-under-test");
const IMAGE: &str = "zxc204fghasd/wsp-web-server-v2";
const RUNS: usize = 20;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure());
}

async fn measure() {
    let pipeline = Pipeline::without_controllers().await;
    pipeline.repository("repo.git", "quickstart/repository").await;
    pipeline.push_tag(IMAGE, "v1.0.0");
    let process = ControllerProcess::start(BINARY, &pipeline, None);
    for manifest in ["project", "application", "promotion-task", "stage", "warehouse"] {
        pipeline.apply(&text(&format!("quickstart/{manifest}.yaml"))).await;
    }
    deployed(&pipeline, "v1.0.0").await;
    println!("memory with the quick start applied: {:.1} MiB", process.resident_mib());

    let (before, cpu) =
        (pipeline.world.cluster.requests().expect("requests can be told"), process.cpu_seconds());
    let mut took = Vec::new();
    for n in 1..=RUNS {
        let tag = format!("v1.{n}.0");
        let began = Instant::now();
        pipeline.push_tag(IMAGE, &tag);
        pipeline.refresh("develop", "frontend-dev-image", &tag).await;
        deployed(&pipeline, &tag).await;
        took.push(began.elapsed());
        settled(&pipeline).await;
    }
    let since = pipeline.world.cluster.requests().expect("requests can be told").since(&before);
    took.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "tag pushed with refresh -> Application synced, {RUNS} runs: median {:.0} ms, worst {:.0} ms",
        ms(took[RUNS / 2]),
        ms(took[RUNS - 1])
    );
    println!(
        "CPU of the controllers a promotion: {:.3} s",
        (process.cpu_seconds() - cpu) / RUNS as f64
    );
    println!("API requests in {RUNS} promotions, Argo CD's and this program's among them:");
    for (verb, resource, count) in since.iter() {
        println!("  {verb:<7} {resource:<24} {:.2} a promotion", count as f64 / RUNS as f64);
    }
    println!("memory after {RUNS} promotions: {:.1} MiB", process.resident_mib());
}

/// Waits until the Application is at the newest commit, which has the tag.
async fn deployed(pipeline: &Pipeline, tag: &str) {
    let wanted = format!("deployment.tag: {tag}");
    await_that::answer(tag, || async {
        let commits = pipeline.commits("repo.git").await;
        let newest = commits.first().filter(|c| c.message.contains(&wanted))?.id.clone();
        let application = pipeline.application("wsp-web").await;
        let text = |path: &str| application.data.pointer(path).and_then(|v| v.as_str());
        let is_there = text("/status/sync/revision") == Some(newest.as_str())
            && text("/status/sync/status") == Some("Synced");
        is_there.then_some(())
    })
    .await;
}

/// Waits until the Stage has taken the Promotion in.
async fn settled(pipeline: &Pipeline) {
    await_that::object(pipeline.of::<api::Stage>("develop"), "a Ready Stage", |s| {
        let status = s.status.clone().unwrap_or_default();
        status.current_promotion.is_none()
            && status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
}
