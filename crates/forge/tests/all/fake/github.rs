//! GitHub's REST API, version 2022-11-28: "Pulls" and "Labels of issues".

use serde_json::{Value, json};

use super::{Answer, CREATED, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request, Words};

pub fn error(status: u16, message: &str) -> Value {
    json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest/pulls/pulls",
        "status": status.to_string(),
    })
}

fn show(pull: &Pull, words: &Words) -> Value {
    let n = pull.number;
    let owner = if pull.fork { "stranger" } else { "octo" };
    let merged = pull.is == Is::Merged;
    let state = match (pull.draft, pull.can) {
        (true, _) => "draft",
        (_, Can::Merge) => "clean",
        (_, Can::NotYet) => "unknown",
        (_, Can::Conflict) => "dirty",
    };
    json!({
        "id": 1000 + n, "number": n, "node_id": "x", "locked": false,
        "url": format!("https://api.github.com/repos/octo/deploy/pulls/{n}"),
        "html_url": format!("https://github.com/octo/deploy/pull/{n}"),
        "state": if pull.is == Is::Open { "open" } else { "closed" },
        "title": pull.title,
        "body": if pull.body.is_empty() { Value::Null } else { json!(pull.body.replace('\n', "\r\n")) },
        "created_at": CREATED, "updated_at": CREATED,
        "closed_at": if pull.is == Is::Open { Value::Null } else { json!(CREATED) },
        "merged_at": if merged { json!(CREATED) } else { Value::Null },
        // A trial merge while it is open.
        "merge_commit_sha": if merged { MERGE_SHA } else { "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee" },
        "labels": pull.labels.iter().map(|name| json!({"id": 1, "name": name, "color": "f29513"})).collect::<Vec<_>>(),
        "draft": pull.draft,
        "head": {"label": format!("{owner}:{}", pull.head), "ref": pull.head, "sha": HEAD_SHA, "repo": {"id": if pull.fork { 2 } else { 1 }}},
        "base": {"label": format!("octo:{}", pull.base), "ref": pull.base, "sha": HEAD_SHA, "repo": {"id": 1}},
        "user": {"login": "robot", "id": 1},
        "merged": merged,
        "mergeable": match pull.can { Can::Merge => json!(true), Can::NotYet => Value::Null, Can::Conflict => json!(false) },
        "mergeable_state": words.mergeable_state.unwrap_or(state),
    })
}

pub fn answer(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    if request.headers.get("x-github-api-version").is_none_or(|v| v != "2022-11-28") {
        return Err("no API version".into());
    }
    let words = model.words.clone();
    let ["repos", "octo", "deploy", rest @ ..] = path else { return Err("no such route".into()) };
    match (request.method.as_str(), rest) {
        ("GET", ["pulls"]) => {
            request.only(&["state", "head", "base", "sort", "direction", "per_page", "page"])?;
            let all = match request.param("state") {
                Some("all") => true,
                Some("open") | None => false,
                other => return Err(format!("state {other:?}")),
            };
            if request.param("head").is_some() {
                return Err("the filter knows no branch that was deleted".into());
            }
            let base = request.param("base");
            let (per_page, page) = (request.number("per_page")?, request.number::<usize>("page")?);
            if per_page > 100 || page == 0 {
                return Err("page out of range".into());
            }
            let (pulls, total) = model.page((page - 1) * per_page, per_page, |p| {
                (all || p.is == Is::Open) && base.is_none_or(|b| b == p.base)
            });
            let pulls: Vec<Value> = pulls.into_iter().map(|p| show(p, &words)).collect();
            Ok(Reply::new(200, pulls.into()).linked(page, per_page, total))
        }
        ("POST", ["pulls"]) => {
            let body = request.fields(
                &["title", "head", "base"],
                &["body", "maintainer_can_modify", "draft", "issue", "head_repo"],
            )?;
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (text("head"), text("base"));
            if body["maintainer_can_modify"] != json!(false) {
                return Err("maintainers may modify".into());
            }
            if model.is_open_between(&head, &base).is_some() {
                return Ok(Reply::new(
                    422,
                    json!({
                        "message": "Validation Failed",
                        "errors": [{"resource": "PullRequest", "code": "custom", "message": format!("A pull request already exists for octo:{head}.")}],
                        "documentation_url": "https://docs.github.com/rest/pulls/pulls#create-a-pull-request",
                        "status": "422",
                    }),
                ));
            }
            let (title, text) = (text("title"), text("body"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body) = (title, text);
            let shown = show(pull, &words);
            Ok(Reply::new(201, shown))
        }
        ("POST", ["issues", number, "labels"]) => {
            let body = request.fields(&["labels"], &[])?;
            let names: Vec<String> =
                serde_json::from_value(body["labels"].clone()).map_err(|e| e.to_string())?;
            let Some(pull) = model.pull(number) else {
                return Ok(Reply::new(404, error(404, "Not Found")));
            };
            for name in names {
                if !pull.labels.contains(&name) {
                    pull.labels.push(name);
                }
            }
            let labels: Vec<Value> = pull.labels.iter().map(|name| json!({"name": name})).collect();
            Ok(Reply::new(200, labels.into()))
        }
        ("GET", ["pulls", number]) => {
            request.only(&[])?;
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull, &words))),
                None => Ok(Reply::new(404, error(404, "Not Found"))),
            }
        }
        ("PUT", ["pulls", number, "merge"]) => {
            let body =
                request.fields(&[], &["commit_title", "commit_message", "sha", "merge_method"])?;
            if !matches!(body["merge_method"].as_str(), None | Some("merge" | "squash" | "rebase"))
            {
                return Ok(Reply::new(422, error(422, "Validation Failed")));
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                return Ok(reply);
            }
            let Some(pull) = model.pull(number) else {
                return Ok(Reply::new(404, error(404, "Not Found")));
            };
            if pull.is != Is::Open || pull.can != Can::Merge {
                return Ok(Reply::new(405, error(405, "Pull Request is not mergeable")));
            }
            pull.is = Is::Merged;
            Ok(Reply::new(
                200,
                json!({"sha": MERGE_SHA, "merged": true, "message": "Pull Request successfully merged"}),
            ))
        }
        _ => Err("no such route".into()),
    }
}
