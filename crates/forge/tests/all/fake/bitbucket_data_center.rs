//! Bitbucket Data Center's REST API 1.0: "Pull requests".

use serde_json::{Value, json};

use super::{Answer, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request};

pub fn error(_: u16, message: &str) -> Value {
    failure("com.atlassian.bitbucket.AuthorisationException", message)
}

fn failure(exception: &str, message: &str) -> Value {
    json!({"errors": [{"context": Value::Null, "message": message, "exceptionName": exception}]})
}

fn show(pull: &Pull) -> Value {
    let n = pull.number;
    let side = |branch: &str, id: i64| {
        json!({
            "id": format!("refs/heads/{branch}"), "displayId": branch, "latestCommit": HEAD_SHA, "type": "BRANCH",
            "repository": {"slug": "deploy", "id": id, "project": {"key": "OCTO"}},
        })
    };
    let mut shown = json!({
        "id": n, "version": 3, "title": pull.title, "description": pull.body,
        "state": match pull.is { Is::Open => "OPEN", Is::Merged => "MERGED", Is::Closed => "DECLINED" },
        "open": pull.is == Is::Open, "closed": pull.is != Is::Open, "draft": pull.draft, "locked": false,
        "createdDate": 1_764_064_800_000i64, "updatedDate": 1_764_064_800_000i64,
        "fromRef": side(&pull.head, if pull.fork { 9 } else { 1 }), "toRef": side(&pull.base, 1),
        "author": {"user": {"name": "robot"}, "role": "AUTHOR"}, "reviewers": [], "participants": [],
        "links": {"self": [{"href": format!("https://bb.corp.example/ctx/projects/OCTO/repos/deploy/pull-requests/{n}")}]},
    });
    if pull.is == Is::Merged {
        shown["properties"] =
            json!({"mergeCommit": {"id": MERGE_SHA, "displayId": &MERGE_SHA[..11]}});
    }
    shown
}

pub fn answer(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    let ["projects", "OCTO", "repos", "deploy", "pull-requests", rest @ ..] = path else {
        return Err("no such route".into());
    };
    let missing = || {
        Ok(Reply::new(
            404,
            failure(
                "com.atlassian.bitbucket.pull.NoSuchPullRequestException",
                "Pull request does not exist.",
            ),
        ))
    };
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            request.only(&[
                "direction",
                "at",
                "state",
                "order",
                "limit",
                "start",
                "withAttributes",
                "withProperties",
            ])?;
            let all = match request.param("state") {
                Some("ALL") => true,
                Some("OPEN") | None => false,
                other => return Err(format!("state {other:?}")),
            };
            if request.param("direction") != Some("OUTGOING")
                || request.param("order") != Some("NEWEST")
            {
                return Err("at is then the target".into());
            }
            let at = request
                .param("at")
                .ok_or("no branch")?
                .strip_prefix("refs/heads/")
                .ok_or("no full name")?;
            let (limit, start) =
                (request.number::<usize>("limit")?, request.number::<usize>("start")?);
            let (pulls, total) =
                model.page(start, limit, |p| (all || p.is == Is::Open) && p.head == at);
            let is_last = start + limit >= total;
            Ok(Reply::new(
                200,
                json!({
                    "size": pulls.len(), "limit": limit, "start": start, "isLastPage": is_last,
                    "nextPageStart": if is_last { Value::Null } else { json!(start + limit) },
                    "values": pulls.into_iter().map(show).collect::<Vec<_>>(),
                }),
            ))
        }
        ("POST", []) => {
            let body = request
                .fields(&["title", "fromRef", "toRef"], &["description", "reviewers", "draft"])?;
            let side = |name: &str| -> Result<String, String> {
                let side = &body[name];
                if side["repository"]["slug"] != "deploy"
                    || side["repository"]["project"]["key"] != "OCTO"
                {
                    return Err("no repository".into());
                }
                let id = side["id"].as_str().and_then(|id| id.strip_prefix("refs/heads/"));
                id.map(str::to_owned).ok_or("no branch".into())
            };
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (side("fromRef")?, side("toRef")?);
            if let Some(number) = model.is_open_between(&head, &base) {
                let mut body = failure(
                    "com.atlassian.bitbucket.pull.DuplicatePullRequestException",
                    "Only one pull request may be open for a given source and target branch",
                );
                let pull = model.pull(&number.to_string()).ok_or("gone")?;
                body["errors"][0]["existingPullRequest"] = show(pull);
                return Ok(Reply::new(409, body));
            }
            let (title, text) = (text("title"), text("description"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body) = (title, text);
            let shown = show(pull);
            Ok(Reply::new(201, shown))
        }
        ("GET", [number]) => {
            request.only(&[])?;
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull))),
                None => missing(),
            }
        }
        ("GET", [number, "merge"]) => {
            request.only(&[])?;
            let Some(pull) = model.pull(number) else { return missing() };
            let vetoes = match pull.can {
                Can::NotYet => {
                    json!([{"summaryMessage": "Not all required builds are successful yet", "detailedMessage": "You need one."}])
                }
                _ => json!([]),
            };
            Ok(Reply::new(
                200,
                json!({
                    "canMerge": pull.can == Can::Merge, "conflicted": pull.can == Can::Conflict,
                    "outcome": if pull.can == Can::Conflict { "CONFLICTED" } else { "CLEAN" }, "vetoes": vetoes,
                }),
            ))
        }
        ("POST", [number, "merge"]) => {
            request.only(&["version"])?;
            request
                .fields(&[], &["autoSubject", "message", "strategyId", "version", "autoMerge"])?;
            if request.headers.get("x-atlassian-token").is_none_or(|v| v != "no-check") {
                return Err("taken for a browser".into());
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                return Ok(reply);
            }
            if request.number::<i64>("version")? != 3 {
                return Ok(Reply::new(
                    409,
                    failure(
                        "com.atlassian.bitbucket.pull.PullRequestOutOfDateException",
                        "You are attempting to modify a pull request based on out-of-date information.",
                    ),
                ));
            }
            let Some(pull) = model.pull(number) else { return missing() };
            pull.is = Is::Merged;
            let shown = show(pull);
            Ok(Reply::new(200, shown))
        }
        _ => Err("no such route".into()),
    }
}
