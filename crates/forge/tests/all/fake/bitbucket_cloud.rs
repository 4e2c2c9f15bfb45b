//! Bitbucket Cloud's REST API 2.0: "Pullrequests" and "Commits".

use serde_json::{Value, json};

use super::{Answer, CREATED, Can, HEAD_SHA, Is, MERGE_SHA, Model, Pull, Reply, Request};

pub fn error(_: u16, message: &str) -> Value {
    json!({"type": "error", "error": {"message": message}})
}

fn show(pull: &Pull) -> Value {
    let n = pull.number;
    let side = |branch: &str, repository: &str| {
        json!({
            "branch": {"name": branch},
            // Abbreviated, as the API does.
            "commit": {"type": "commit", "hash": &HEAD_SHA[..12]},
            "repository": {"type": "repository", "full_name": repository},
        })
    };
    json!({
        "type": "pullrequest", "id": n, "title": pull.title, "description": pull.body,
        "summary": {"raw": pull.body, "markup": "markdown", "html": ""},
        "state": match pull.is { Is::Open => "OPEN", Is::Merged => "MERGED", Is::Closed => "DECLINED" },
        "draft": pull.draft,
        "source": side(&pull.head, if pull.fork { "stranger/deploy" } else { "octo/deploy" }),
        "destination": side(&pull.base, "octo/deploy"),
        "merge_commit": if pull.is == Is::Merged { json!({"type": "commit", "hash": &MERGE_SHA[..12]}) } else { Value::Null },
        "created_on": "2026-11-25T10:00:00.123456+00:00", "updated_on": CREATED,
        "links": {"html": {"href": format!("https://bitbucket.org/octo/deploy/pull-requests/{n}")}},
        "comment_count": 0, "close_source_branch": false, "reason": "",
    })
}

pub fn answer(model: &mut Model, request: &Request, path: &[&str]) -> Answer {
    let ["repositories", "octo", "deploy", rest @ ..] = path else {
        return Err("no such route".into());
    };
    let missing = || Ok(Reply::new(404, error(404, "No PullRequest matches the given query.")));
    match (request.method.as_str(), rest) {
        ("GET", ["pullrequests"]) => {
            request.only(&["state", "q", "sort", "pagelen", "page"])?;
            let states: Vec<&str> = request
                .query
                .iter()
                .filter(|(n, _)| n == "state")
                .map(|(_, v)| v.as_str())
                .collect();
            if states.iter().any(|s| !["OPEN", "MERGED", "DECLINED", "SUPERSEDED"].contains(s)) {
                return Err("unknown state".into());
            }
            // The one form of filter that we send.
            let filter = request.param("q").ok_or("no filter")?;
            let (head, base) = filter.split_once(" AND ").ok_or("unknown filter")?;
            let value = |part: &str, name: &str| {
                let text = part.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
                Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
            };
            let head = value(head, "source.branch.name").ok_or("unknown filter")?;
            let base = value(base, "destination.branch.name").ok_or("unknown filter")?;
            let (pagelen, page) =
                (request.number::<usize>("pagelen")?, request.number::<usize>("page")?);
            if pagelen > 50 || page == 0 {
                return Err("page out of range".into());
            }
            let (pulls, total) = model.page((page - 1) * pagelen, pagelen, |p| {
                let state = match p.is {
                    Is::Open => "OPEN",
                    Is::Merged => "MERGED",
                    Is::Closed => "DECLINED",
                };
                states.contains(&state) && p.head == head && p.base == base
            });
            let mut body = json!({"size": total, "page": page, "pagelen": pagelen, "values": pulls.into_iter().map(show).collect::<Vec<_>>()});
            if page * pagelen < total {
                body["next"] = json!("https://elsewhere.invalid/?page=2");
            }
            Ok(Reply::new(200, body))
        }
        ("POST", ["pullrequests"]) => {
            let body = request.fields(
                &["title", "source"],
                &[
                    "type",
                    "description",
                    "destination",
                    "reviewers",
                    "close_source_branch",
                    "draft",
                ],
            )?;
            let branch =
                |side: &str| body[side]["branch"]["name"].as_str().unwrap_or_default().to_owned();
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let (head, base) = (branch("source"), branch("destination"));
            if model.is_open_between(&head, &base).is_some() {
                return Ok(Reply::new(
                    400,
                    error(400, "There is already an open pull request for this branch"),
                ));
            }
            let (title, text) = (text("title"), text("description"));
            let pull = model.add(&head, &base, Is::Open);
            (pull.title, pull.body) = (title, text);
            let shown = show(pull);
            Ok(Reply::new(201, shown))
        }
        ("GET", ["pullrequests", number]) => {
            request.only(&[])?;
            model.look();
            match model.pull(number) {
                Some(pull) => Ok(Reply::new(200, show(pull))),
                None => missing(),
            }
        }
        ("GET", ["commit", short]) if MERGE_SHA.starts_with(short) => {
            Ok(Reply::new(200, json!({"type": "commit", "hash": MERGE_SHA})))
        }
        ("POST", ["pullrequests", number, "merge"]) => {
            request.only(&["async"])?;
            let body =
                request.fields(&["type"], &["message", "close_source_branch", "merge_strategy"])?;
            let known = [
                "merge_commit",
                "squash",
                "fast_forward",
                "squash_fast_forward",
                "rebase_fast_forward",
                "rebase_merge",
            ];
            if body["merge_strategy"].as_str().is_some_and(|s| !known.contains(&s)) {
                return Err("unknown strategy".into());
            }
            if let Some(reply) = model.merge_replies.pop_front() {
                return Ok(reply);
            }
            let Some(pull) = model.pull(number) else { return missing() };
            match pull.can {
                Can::Merge => pull.is = Is::Merged,
                _ => {
                    return Ok(Reply::new(
                        400,
                        error(400, "You can't merge until you resolve all merge conflicts."),
                    ));
                }
            }
            let shown = show(pull);
            Ok(Reply::new(200, shown))
        }
        _ => Err("no such route".into()),
    }
}
