//! Where a config file is looked for.

use std::path::{Path, PathBuf};

/// The variable that names the config file.
pub const CONFIG_VARIABLE: &str = "CHAINBOT_CONFIG";
/// The places tried when nobody names a file, in this order.
pub const PLACES: [&str; 2] = ["./config.toml", "/etc/chainbot/config.toml"];

/// A place where the config file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// Whether its absence is an error: somebody named it.
    pub must_exist: bool,
}

/// The places to try in order; the first file that exists is the config file. None existing is an error only where
/// `must_exist` says so. `flag` is the argument of `--config`, `variable` the value of `CHAINBOT_CONFIG`.
#[must_use]
pub fn candidates(flag: Option<&Path>, variable: Option<&str>) -> Vec<Candidate> {
    let named =
        flag.map(Path::to_owned).or_else(|| variable.filter(|name| !name.is_empty()).map(PathBuf::from));
    match named {
        Some(path) => vec![Candidate { path, must_exist: true }],
        None => PLACES.map(|path| Candidate { path: path.into(), must_exist: false }).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_must_exist_and_the_flag_wins() {
        let named = |path: &str| vec![Candidate { path: path.into(), must_exist: true }];
        assert_eq!(candidates(Some(Path::new("a.toml")), Some("b.toml")), named("a.toml"));
        assert_eq!(candidates(None, Some("b.toml")), named("b.toml"));
        let found = candidates(None, Some(""));
        assert!(found.iter().all(|candidate| !candidate.must_exist));
        let paths: Vec<_> = found.iter().map(|candidate| candidate.path.to_string_lossy()).collect();
        assert_eq!(paths, PLACES);
    }
}
