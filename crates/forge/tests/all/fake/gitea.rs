//! Gitea's REST API v1: "repository", its pull requests and labels.

use serde_json::{Value, json};

use super::{Answer, CREATED, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request};

pub fn error(_: u16, message: &str) -> Value {
    json!({"message": message, "url": "https://gitea.example/api/swagger"})
}

fn show(pull: &Pull) -> Value {
    let n = pull.number;
    let merged = pull.is == Is::Merged;
    let side = |branch: &str, repo: i64| json!({"label": branch, "ref": branch, "sha": HEAD_SHA, "repo_id": repo, "repo": {"id": repo}});
    let mut head = side(&pull.head, if pull.fork { 2 } else { 1 });
    if pull.gone {
        head["ref"] = format!("refs/pull/{n}/head").into();
    }
    json!({
        "id": 1000 + n, "number": n, "url": format!("https://gitea.example/octo/deploy/pulls/{n}"),
        "html_url": format!("https://gitea.example/octo/deploy/pulls/{n}"),
        "title": pull.title, "body": pull.body,
        "labels": pull.labels.iter().map(|name| json!({"id": 1, "name": name})).collect::<Vec<_>>(),
        "state": if pull.is == Is::Open { "open" } else { "closed" },
        "draft": pull.draft, "is_locked": false, "comments": 0,
        "mergeable": pull.is == Is::Open && pull.can == Can::Merge,
        "merged": merged, "merged_at": if merged { json!(CREATED) } else { Value::Null },
        "merge_commit_sha": if merged { json!(MERGE_SHA) } else { Value::Null },
        "merged_by": Value::Null, "allow_maintainer_edit": false,
        "base": side(&pull.base, 1), "head": head,
        "merge_base": HEAD_SHA, "due_date": Value::Null,
        "created_at": CREATED, "updated_at": CREATED, "closed_at": Value::Null,
    })
}

/// The id of a repository's first label.
const OF_REPOSITORY: usize = 100;

/// The id of the first label of its owner.
const OF_OWNER: usize = 1_000;

fn paged(request: &Request) -> Result<(usize, usize), String> {
    let (page, limit) = (request.number::<usize>("page")?, request.number::<usize>("limit")?);
    // The server's own limit.
    if page == 0 { Err("page out of range".into()) } else { Ok((page, limit.min(50))) }
}

fn labels(request: &Request, all: &[String], first: usize) -> Answer {
    request.only(&["page", "limit"])?;
    let (page, limit) = paged(request)?;
    let shown: Vec<Value> = all
        .iter()
        .enumerate()
        .skip((page - 1) * limit)
        .take(limit)
        .map(|(i, name)| json!({"id": i + first, "name": name, "color": "00aabb", "exclusive": false}))
        .collect();
    // No `Link` here, unlike with pull requests.
    Ok(Reply::new(200, shown.into()).with("x-total-count", all.len().to_string()))
}

pub fn answer(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    if let (["orgs", "octo", "labels"], "GET") = (path, request.method.as_str()) {
        if model.labels_of_owner.is_empty() {
            return Ok(Reply::new(404, error(404, "GetOrgByName")));
        }
        return labels(request, &model.labels_of_owner, OF_OWNER);
    }
    let ["repos", "octo", "deploy", rest @ ..] = path else { return Err("no such route".into()) };
    let missing = || Ok(Reply::new(404, error(404, "pull request does not exist")));
    match (request.method.as_str(), rest) {
        ("GET", ["pulls"]) => {
            request.only(&[
                "base_branch",
                "state",
                "sort",
                "milestone",
                "labels",
                "poster",
                "page",
                "limit",
            ])?;
            let all = match request.param("state") {
                Some("all") => true,
                Some("open") | None => false,
                other => return Err(format!("state {other:?}")),
            };
            let sorts = [
                "oldest",
                "recentupdate",
                "recentclose",
                "leastupdate",
                "mostcomment",
                "leastcomment",
                "priority",
            ];
            if request.param("sort").is_some_and(|s| !sorts.contains(&s)) {
                return Err("unknown sort".into());
            }
            let (page, limit) = paged(request)?;
            let (pulls, total) = model.page((page - 1) * limit, limit, |p| all || p.is == Is::Open);
            let pulls: Vec<Value> = pulls.into_iter().map(show).collect();
            let reply = Reply::new(200, pulls.into()).linked(page, limit, total);
            Ok(reply.with("x-total-count", total.to_string()))
        }
        ("GET", ["labels"]) => labels(request, &model.labels, OF_REPOSITORY),
        ("POST", ["pulls"]) => {
            let body = request.fields(
                &["title", "head", "base"],
                &["body", "labels", "assignee", "assignees", "milestone", "due_date", "reviewers"],
            )?;
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (text("head"), text("base"));
            if let Some(number) = model.is_open_between(&head, &base) {
                let message = format!(
                    "pull request already exists for these targets [id: {number}, issue_id: {number}, head_repo_id: 1, base_repo_id: 1, head_branch: {head}, base_branch: {base}]"
                );
                return Ok(Reply::new(409, error(409, &message)));
            }
            let ids: Vec<usize> = match &body["labels"] {
                Value::Null => vec![],
                ids => serde_json::from_value(ids.clone()).map_err(|e| e.to_string())?,
            };
            let named = |id: &usize| {
                let (list, first) = match *id {
                    id if id >= OF_OWNER => (&model.labels_of_owner, OF_OWNER),
                    _ => (&model.labels, OF_REPOSITORY),
                };
                list.get(id.wrapping_sub(first)).cloned().ok_or("no such label")
            };
            let labels = ids.iter().map(named);
            let labels = labels.collect::<Result<Vec<_>, _>>()?;
            let (title, text) = (text("title"), text("body"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body, pull.labels) = (title, text, labels);
            let shown = show(pull);
            Ok(Reply::new(201, shown))
        }
        ("GET", ["pulls", number]) => {
            request.only(&[])?;
            model.look();
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull))),
                None => missing(),
            }
        }
        ("POST", ["pulls", number, "merge"]) => {
            let body = request.fields(
                &["Do"],
                &[
                    "MergeCommitID",
                    "MergeMessageField",
                    "MergeTitleField",
                    "delete_branch_after_merge",
                    "force_merge",
                    "head_commit_id",
                    "merge_when_checks_succeed",
                ],
            )?;
            let known = [
                "merge",
                "rebase",
                "rebase-merge",
                "squash",
                "fast-forward-only",
                "manually-merged",
            ];
            if !known.contains(&body["Do"].as_str().unwrap_or_default()) {
                return Err("unknown Do".into());
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                if let Some(pull) = model.pull(number) {
                    pull.is = pull.races.unwrap_or(pull.is);
                }
                return Ok(reply);
            }
            let Some(pull) = model.pull(number) else { return missing() };
            if pull.is != Is::Open || pull.can != Can::Merge {
                return Ok(Reply::new(405, error(405, "Please try again later")));
            }
            pull.is = Is::Merged;
            Ok(Reply::new(200, Value::Null))
        }
        _ => Err("no such route".into()),
    }
}
