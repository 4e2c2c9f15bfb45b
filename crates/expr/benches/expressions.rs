//! Costs of compiling and evaluating: a fixed sample of 1,000 expressions of
//! the corpus, and the ten expressions of a Stage's template.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use expr::template::{Template, evaluate_json};
use expr::{Env, Program};
use serde_json::json;

/// Every 19th row that has a result, 1,000 at most; some of our own where
/// the corpus is not at hand.
fn sample() -> (Vec<String>, Env) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/expr");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let (Some(corpus), Some(env)) = (read("corpus.jsonl"), read("env.json")) else {
        eprintln!("no corpus in {}: a small sample instead", folder.display());
        let sources = ["1 + i", "map(list, # * 2)", "s contains 'a' ? 1 : 2"];
        let env = Env::from(json!({"i": 1, "list": [1, 2, 3], "s": "abc"}));
        return (sources.iter().map(|s| (*s).to_owned()).collect(), env);
    };
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let sources = corpus
        .lines()
        .step_by(19)
        .filter_map(row)
        .filter(|row| row.get("error").is_none())
        .filter_map(|row| Some(row.get("expr")?.as_str()?.to_owned()))
        .take(1_000)
        .collect();
    let env = serde_json::from_str::<serde_json::Value>(&env).unwrap_or_default();
    (sources, Env::from(env))
}

fn corpus(c: &mut Criterion) {
    let (sources, env) = sample();
    let programs: Vec<Program> = sources.iter().filter_map(|s| Program::compile(s).ok()).collect();
    let mut group = c.benchmark_group(format!("corpus/{}", sources.len()));
    group.bench_function("compile", |b| {
        b.iter(|| sources.iter().filter_map(|s| black_box(Program::compile(s)).ok()).count());
    });
    group.bench_function("evaluate", |b| {
        b.iter(|| programs.iter().filter_map(|p| black_box(p.run(&env)).ok()).count());
    });
    group.bench_function("both", |b| {
        b.iter(|| {
            let run = |s: &String| black_box(Program::compile(s).and_then(|p| p.run(&env))).ok();
            sources.iter().filter_map(run).count()
        });
    });
    group.bench_function("cached", |b| {
        b.iter(|| sources.iter().filter_map(|s| black_box(expr::eval(s, &env)).ok()).count());
    });
    group.finish();
}

fn stage(c: &mut Criterion) {
    let mut env = Env::new();
    let decoded = expr::Value::from_decoded_json;
    env.set(
        "ctx",
        decoded(json!({"project": "shop", "stage": "prod", "promotion": "p",
        "targetFreight": {"name": "f1", "origin": {"name": "w"}}})),
    );
    env.set(
        "vars",
        decoded(json!({"repo": "https://git.example.com/shop.git", "replicas": 3,
        "image": "registry.example.com/shop", "branch": "stage/prod"})),
    );
    env.set(
        "outputs",
        decoded(json!({"update": {"commitMessage": "bump"}, "commit": {"commit": "abc"},
        "image": {"tag": "1.2.3"}})),
    );
    let texts = [
        "${{ vars.repo }}",
        "${{ vars.branch }}",
        "${{ vars.image }}:${{ outputs.image.tag }}",
        "${{ quote(outputs.image.tag) }}",
        "${{ vars.replicas * 2 }}",
        "${{ ctx.stage == 'prod' ? 'HIGH' : 'LOW' }}",
        "${{ outputs.update.commitMessage }}",
        "stage/${{ ctx.stage }}",
        "${{ outputs.commit?.commit ?? 'none' }}",
    ];
    let templates: Vec<Template> = texts.iter().filter_map(|t| Template::compile(t).ok()).collect();
    c.bench_function("stage template/10 expressions", |b| {
        b.iter(|| templates.iter().filter_map(|t| black_box(t.run(&env)).ok()).count());
    });
    let config = json!({"repo": texts[0], "list": texts});
    c.bench_function("stage config/11 expressions, through the cache", |b| {
        b.iter(|| black_box(evaluate_json(&config, &env)).is_ok());
    });
}

criterion_group!(benches, corpus, stage);
criterion_main!(benches);
