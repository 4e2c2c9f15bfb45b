//! GitLab's REST API v4: "Merge requests".

use serde_json::{Value, json};

use super::{Answer, CREATED, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request, Words};

pub fn error(status: u16, message: &str) -> Value {
    json!({"message": format!("{status} {message}")})
}

fn show(pull: &Pull, words: &Words) -> Value {
    let n = pull.number;
    let merged = pull.is == Is::Merged;
    let status = match (pull.draft, pull.can) {
        (true, _) => "draft_status",
        (_, Can::Merge) => "mergeable",
        (_, Can::NotYet) => "checking",
        (_, Can::Conflict) => "conflict",
    };
    let state = match pull.is {
        Is::Open => "opened",
        Is::Merged => "merged",
        Is::Closed => "closed",
    };
    json!({
        "id": 1000 + n, "iid": n, "project_id": 3, "title": pull.title, "description": pull.body,
        "state": words.state.unwrap_or(state),
        "created_at": CREATED, "updated_at": CREATED,
        "target_branch": pull.base, "source_branch": pull.head,
        "source_project_id": if pull.fork { 4 } else { 3 }, "target_project_id": 3,
        "labels": pull.labels, "draft": pull.draft, "work_in_progress": pull.draft,
        "merge_status": "can_be_merged", "detailed_merge_status": words.mergeable_state.unwrap_or(status),
        "sha": HEAD_SHA,
        "merge_commit_sha": if merged { json!(MERGE_SHA) } else { Value::Null },
        "squash_commit_sha": Value::Null,
        "web_url": format!("https://gitlab.com/octo/group/deploy/-/merge_requests/{n}"),
        "has_conflicts": pull.can == Can::Conflict,
    })
}

pub fn answer(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    let words = model.words.clone();
    // The project is one segment of the path, encoded.
    let ["projects", "octo%2Fgroup%2Fdeploy", "merge_requests", rest @ ..] = path else {
        return Err("no such route".into());
    };
    let missing = || Ok(Reply::new(404, error(404, "Not found")));
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            request.only(&[
                "source_branch",
                "target_branch",
                "state",
                "per_page",
                "page",
                "order_by",
                "sort",
            ])?;
            let state = request.param("state").unwrap_or("all").to_owned();
            if !["opened", "closed", "locked", "merged", "all"].contains(&state.as_str()) {
                return Err(format!("state {state}"));
            }
            let (per_page, page) =
                (request.number::<usize>("per_page")?, request.number::<usize>("page")?);
            if per_page > 100 || page == 0 {
                return Err("page out of range".into());
            }
            let (pulls, total) = model.page((page - 1) * per_page, per_page, |p| {
                (state == "all" || p.is == Is::Open)
                    && request.param("source_branch").is_none_or(|b| b == p.head)
                    && request.param("target_branch").is_none_or(|b| b == p.base)
            });
            let pulls: Vec<Value> = pulls.into_iter().map(|p| show(p, &words)).collect();
            let next = if page * per_page < total { (page + 1).to_string() } else { String::new() };
            Ok(Reply::new(200, pulls.into())
                .linked(page, per_page, total)
                .with("x-next-page", next))
        }
        ("POST", []) => {
            let body = request.fields(
                &["title", "source_branch", "target_branch"],
                &[
                    "description",
                    "labels",
                    "squash",
                    "remove_source_branch",
                    "target_project_id",
                    "assignee_id",
                ],
            )?;
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (text("source_branch"), text("target_branch"));
            if let Some(number) = model.is_open_between(&head, &base) {
                return Ok(Reply::new(
                    409,
                    json!({
                        "message": [format!("Another open merge request already exists for this source branch: !{number}")],
                    }),
                ));
            }
            let (title, description, labels) = (text("title"), text("description"), text("labels"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body) = (title, description);
            pull.labels = labels.split(',').filter(|l| !l.is_empty()).map(str::to_owned).collect();
            let shown = show(pull, &words);
            Ok(Reply::new(201, shown))
        }
        ("GET", [number]) => {
            request.only(&[])?;
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull, &words))),
                None => missing(),
            }
        }
        ("PUT", [number, "merge"]) => {
            let body = request.fields(
                &[],
                &[
                    "merge_commit_message",
                    "squash_commit_message",
                    "squash",
                    "should_remove_source_branch",
                    "sha",
                ],
            )?;
            if !(body["squash"].is_null() || body["squash"].is_boolean()) {
                return Err("squash is no boolean".into());
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                return Ok(reply);
            }
            let Some(pull) = model.pull(number) else { return missing() };
            if pull.is != Is::Open || pull.can != Can::Merge || pull.draft {
                return Ok(Reply::new(405, json!({"message": "405 Method Not Allowed"})));
            }
            pull.is = Is::Merged;
            let shown = show(pull, &words);
            Ok(Reply::new(200, shown))
        }
        _ => Err("no such route".into()),
    }
}
