//! What is counted of requests to other people's servers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];

/// Hosts that have a series of their own; users name hosts, and a series is
/// never given back. All others are counted together.
const HOSTS: usize = 100;

/// Counts of requests by system, host and outcome. Clones count together.
#[derive(Clone, Default)]
pub struct RemoteMetrics {
    requests: Family<Labels<3>, Counter>,
    hosts: Arc<Mutex<HashSet<String>>>,
}

impl RemoteMetrics {
    /// Lets `registry` expose them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "supercargo_remote_requests",
            "Requests by system (git, registry), host and outcome (2xx to 5xx, 429, none: unanswered)",
            self.requests.clone(),
        );
    }

    /// A request was answered with that status, or not at all.
    pub fn asked(&self, system: &'static str, host: &str, status: Option<u16>) {
        let outcome = match status {
            None => "none",
            Some(429) => "429",
            Some(..300) => "2xx",
            Some(300..400) => "3xx",
            Some(400..500) => "4xx",
            Some(_) => "5xx",
        };
        let labels = [
            ("system", system.to_owned()),
            ("host", self.known(host)),
            ("outcome", outcome.to_owned()),
        ];
        self.requests.get_or_create(&labels).inc();
    }

    fn known(&self, host: &str) -> String {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < HOSTS && !hosts.contains(host) {
            hosts.insert(host.to_owned());
        }
        if hosts.contains(host) { host.to_owned() } else { "others".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_bounded() {
        let metrics = RemoteMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        for n in 0..HOSTS + 50 {
            metrics.asked("git", &format!("host{n}"), Some(200));
        }
        for status in [Some(429), Some(404), Some(302), Some(503), None] {
            metrics.asked("registry", "host0", status);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"{system="git",host="host99",outcome="2xx"} 1"#,
            r#"{system="git",host="others",outcome="2xx"} 50"#,
            r#"{system="registry",host="host0",outcome="429"} 1"#,
            r#"{system="registry",host="host0",outcome="4xx"} 1"#,
            r#"{system="registry",host="host0",outcome="3xx"} 1"#,
            r#"{system="registry",host="host0",outcome="5xx"} 1"#,
            r#"{system="registry",host="host0",outcome="none"} 1"#,
        ] {
            assert!(text.contains(&format!("supercargo_remote_requests_total{line}")), "{line}");
        }
        assert!(!text.contains("host100"), "{text}");
    }
}
