//! The access logs of real peers, in the format that Apache's httpd made
//! common: what they were asked, told apart from what the test itself asked.

/// How the test's own requests call themselves.
pub const OWN_AGENT: &str = "the-test-itself";

/// A request that a peer has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// For example `GET`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

impl Asked {
    /// Whether it was answered as it was meant; a request that is told to log
    /// in first was not.
    pub fn is_served(&self) -> bool {
        (200..400).contains(&self.status)
    }
}

/// The requests of a log that others than the test made, oldest first.
pub fn read(log: &str) -> Vec<Asked> {
    log.lines().filter(|line| !line.contains(OWN_AGENT)).filter_map(line).collect()
}

/// `address - user [time] "GET /path HTTP/1.1" 200 12 "referer" "agent"`
fn line(line: &str) -> Option<Asked> {
    let (_, request) = line.split_once('"')?;
    let (request, rest) = request.split_once('"')?;
    let mut words = request.split(' ');
    let (method, path, version) = (words.next()?, words.next()?, words.next()?);
    let status = rest.split_whitespace().next()?.parse().ok()?;
    version.starts_with("HTTP/").then(|| Asked {
        method: method.to_owned(),
        path: path.to_owned(),
        status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_requests_are_told_from_others() {
        let log = format!(
            "2026-01-01 00:00:00: (server.c.1) server started\n\
             127.0.0.1 - robot [01/Jan/2026:00:00:00 +0000] \"GET /v2/a/tags/list?n=1 HTTP/2.0\" 401 2 \"\" \"supercargo\"\n\
             time=\"2026-01-01\" level=info msg=\"a \\\"quoted\\\" word\"\n\
             127.0.0.1 - - [01/Jan/2026:00:00:01 +0000] \"HEAD /v2/a/manifests/1 HTTP/1.1\" 200 0 \"-\" \"-\"\n\
             127.0.0.1 - - [01/Jan/2026:00:00:02 +0000] \"PUT /v2/a/manifests/1 HTTP/1.1\" 201 0 \"-\" \"{OWN_AGENT}\"\n"
        );
        let read = read(&log);
        let all: Vec<(&str, &str, bool)> =
            read.iter().map(|a| (a.method.as_str(), a.path.as_str(), a.is_served())).collect();
        assert_eq!(
            all,
            [("GET", "/v2/a/tags/list?n=1", false), ("HEAD", "/v2/a/manifests/1", true)]
        );
    }
}
