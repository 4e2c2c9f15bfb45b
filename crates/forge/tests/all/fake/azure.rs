//! Azure DevOps' REST API 7.1: "Pull Requests".

use serde_json::{Value, json};

use super::{Answer, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request};

pub fn error(_: u16, message: &str) -> Value {
    failure("GitRepositoryNotFoundException", message)
}

fn failure(key: &str, message: &str) -> Value {
    json!({
        "$id": "1", "innerException": Value::Null, "message": message,
        "typeName": format!("Microsoft.TeamFoundation.Git.Server.{key}, Microsoft.TeamFoundation.Git.Server"),
        "typeKey": key, "errorCode": 0, "eventId": 3000,
    })
}

fn show(pull: &Pull, listed: bool) -> Value {
    let n = pull.number;
    let body: String =
        if listed { pull.body.chars().take(400).collect() } else { pull.body.clone() };
    let mut shown = json!({
        "pullRequestId": n, "codeReviewId": n, "title": pull.title, "description": body,
        "status": match pull.is { Is::Open => "active", Is::Merged => "completed", Is::Closed => "abandoned" },
        "creationDate": "2026-11-25T10:00:00.1234567Z",
        "sourceRefName": format!("refs/heads/{}", pull.head), "targetRefName": format!("refs/heads/{}", pull.base),
        "mergeStatus": match pull.can { Can::Merge => "succeeded", Can::NotYet => "queued", Can::Conflict => "conflicts" },
        "isDraft": pull.draft, "supportsIterations": true,
        "lastMergeSourceCommit": {"commitId": HEAD_SHA}, "lastMergeTargetCommit": {"commitId": HEAD_SHA},
        "lastMergeCommit": {"commitId": MERGE_SHA},
        "labels": pull.labels.iter().map(|name| json!({"id": "x", "name": name, "active": true})).collect::<Vec<_>>(),
        "repository": {
            "id": "r-1", "name": "deploy", "project": {"id": "p-1", "name": "My Project"},
            "remoteUrl": "https://octo@dev.azure.com/octo/My%20Project/_git/Deploy",
        },
        "url": format!("https://dev.azure.com/octo/_apis/git/repositories/r-1/pullRequests/{n}"),
    });
    if pull.fork {
        shown["forkSource"] = json!({"name": "refs/heads/x"});
    }
    shown
}

pub fn cloud(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    answer(model, request, path, "7.1-preview.1")
}

pub fn server(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    answer(model, request, path, "7.0")
}

fn answer(model: &mut Model, request: &Request, path: &[&str], version: &str) -> Answer {
    if request.param("api-version") != Some(version) {
        return Err("no API version".into());
    }
    let ["my%20project", "_apis", "git", "repositories", "deploy", "pullrequests", rest @ ..] =
        path
    else {
        return Err("no such route".into());
    };
    let missing = || {
        Ok(Reply::new(
            404,
            failure(
                "GitPullRequestNotFoundException",
                "TF401180: The requested pull request was not found.",
            ),
        ))
    };
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            request.only(&[
                "searchCriteria.sourceRefName",
                "searchCriteria.targetRefName",
                "searchCriteria.status",
                "$top",
                "$skip",
                "api-version",
            ])?;
            let all = match request.param("searchCriteria.status") {
                Some("all") => true,
                Some("active") | None => false,
                other => return Err(format!("status {other:?}")),
            };
            let full = |name: &str| {
                request
                    .param(name)
                    .and_then(|b| b.strip_prefix("refs/heads/"))
                    .ok_or(format!("{name} is no full name"))
            };
            let head = full("searchCriteria.sourceRefName")?;
            let base = full("searchCriteria.targetRefName")?;
            let (top, skip) = (request.number::<usize>("$top")?, request.number::<usize>("$skip")?);
            let (pulls, _) = model
                .page(skip, top, |p| (all || p.is == Is::Open) && p.head == head && p.base == base);
            let value: Vec<Value> = pulls.into_iter().map(|p| show(p, true)).collect();
            Ok(Reply::new(200, json!({"count": value.len(), "value": value})))
        }
        ("POST", []) => {
            let body = request.fields(
                &["sourceRefName", "targetRefName", "title"],
                &["description", "labels", "reviewers", "isDraft", "workItemRefs"],
            )?;
            let full = |name: &str| {
                body[name]
                    .as_str()
                    .and_then(|b| b.strip_prefix("refs/heads/"))
                    .map(str::to_owned)
                    .ok_or(format!("{name} is no full name"))
            };
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (full("sourceRefName")?, full("targetRefName")?);
            if text("description").chars().count() > 4000 {
                return Ok(Reply::new(
                    400,
                    failure(
                        "InvalidArgumentValueException",
                        "Invalid argument value. Parameter name: description",
                    ),
                ));
            }
            if model.is_open_between(&head, &base).is_some() {
                return Ok(Reply::new(
                    409,
                    failure(
                        "GitPullRequestExistsException",
                        "TF401179: An active pull request for the source and target branch already exists.",
                    ),
                ));
            }
            let labels = body["labels"].as_array().into_iter().flatten();
            let labels =
                labels.map(|l| l["name"].as_str().map(str::to_owned).ok_or("no name".to_owned()));
            let labels = labels.collect::<Result<Vec<_>, _>>()?;
            let (title, text) = (text("title"), text("description"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body, pull.labels) = (title, text, labels);
            let shown = show(pull, false);
            Ok(Reply::new(201, shown))
        }
        ("GET", [number]) => {
            request.only(&["api-version"])?;
            model.look();
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull, false))),
                None => missing(),
            }
        }
        ("PATCH", [number]) => {
            let body =
                request.fields(&["status"], &["lastMergeSourceCommit", "completionOptions"])?;
            if body["status"] != "completed"
                || body["lastMergeSourceCommit"]["commitId"] != HEAD_SHA
            {
                return Err("no completion of what was seen".into());
            }
            let known = ["noFastForward", "rebase", "rebaseMerge", "squash"];
            if body["completionOptions"]["mergeStrategy"]
                .as_str()
                .is_some_and(|s| !known.contains(&s))
            {
                return Err("unknown strategy".into());
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                return Ok(reply);
            }
            let later = model.merges_after.is_some();
            let Some(pull) = model.pull(number) else { return missing() };
            if !later {
                pull.is = Is::Merged;
            }
            let shown = show(pull, false);
            Ok(Reply::new(200, shown))
        }
        _ => Err("no such route".into()),
    }
}
