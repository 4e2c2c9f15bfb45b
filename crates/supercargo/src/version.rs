//! What this program is (`install` 1).

use serde::Serialize;

/// The version, as `supercargo version` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// The release.
    pub version: &'static str,
    /// When it was built, as the build was told (`SUPERCARGO_BUILD_DATE`).
    pub build_date: &'static str,
    /// The commit that it was built from (`SUPERCARGO_GIT_COMMIT`).
    pub git_commit: &'static str,
    /// Operating system and processor, as Go names them.
    pub platform: String,
}

/// The version of this program.
pub fn version() -> Version {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Version {
        version: env!("CARGO_PKG_VERSION"),
        build_date: option_env!("SUPERCARGO_BUILD_DATE").unwrap_or("unknown"),
        git_commit: option_env!("SUPERCARGO_GIT_COMMIT").unwrap_or("unknown"),
        platform: format!("{}/{processor}", std::env::consts::OS),
    }
}
