//! Where a value came from, in words that lead a person there.

use std::fmt;

/// Where a value, or a fault, came from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nobody gave it: the table's default.
    #[default]
    Default,
    /// The config file.
    File {
        /// The file's name, as it was given.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// A variable of the environment.
    Environment {
        /// The variable.
        name: String,
    },
    /// A systemd credential.
    Credential {
        /// Its name in `$CREDENTIALS_DIRECTORY`.
        name: String,
    },
    /// A file that holds only this secret.
    SecretFile {
        /// The file.
        path: String,
        /// Who named it: the config file or the environment.
        named_by: Box<Origin>,
    },
    /// AIWM's settings.
    Controller,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name} line {line}"),
            Self::Environment { name } => write!(f, "environment {name}"),
            Self::Credential { name } => write!(f, "credential {name}"),
            Self::SecretFile { path, named_by } => write!(f, "file {path}, named by {named_by}"),
            Self::Controller => f.write_str("controller"),
        }
    }
}
