//! Which credential serves a URL, and secret values that cannot be printed.
