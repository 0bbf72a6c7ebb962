//! What went wrong, as `application/problem+json` (RFC 9457). `detail` is the string that clients of the
//! Python services read; `errors` names each bad field.

use super::Response;
use super::json::Json;

/// The problems there are. Each is a row of `Kind::row` and an anchor on `/docs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A header is malformed or doubled.
    BadHeader,
    /// The body is not JSON.
    NotJson,
    /// No credential, or a wrong one.
    Unauthorized,
    /// A signature is missing or wrong.
    BadSignature,
    /// The role does not allow it.
    Forbidden,
    /// A browser sent it from another site.
    CrossOrigin,
    /// No such path.
    NotFound,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The body is larger than `limits::BODY_BYTES_MAX`.
    TooLarge,
    /// The body's type is not JSON.
    UnsupportedMediaType,
    /// `Host` names another machine.
    WrongHost,
    /// The path is a WebSocket, the request is not.
    UpgradeRequired,
    /// The body is JSON, its fields are not right.
    InvalidFields,
    /// A query parameter is not right.
    InvalidParameters,
    /// A model upstream refused the question.
    ModelRefused,
    /// The caller's budget is spent.
    BudgetSpent,
    /// Too many requests, or wrong credentials, from this address.
    Throttled,
    /// No model upstream is configured.
    NoModel,
    /// No model upstream answers.
    ModelsDown,
    /// Too much waits already.
    Busy,
    /// The ledger cannot be written.
    LedgerFault,
    /// The disk is full.
    DiskFull,
    /// The agent is stopping.
    Stopping,
}

impl Kind {
    /// Every kind, by status.
    pub const ALL: [Self; 23] = [
        Self::BadHeader,
        Self::NotJson,
        Self::Unauthorized,
        Self::BadSignature,
        Self::Forbidden,
        Self::CrossOrigin,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::WrongHost,
        Self::InvalidFields,
        Self::InvalidParameters,
        Self::ModelRefused,
        Self::UpgradeRequired,
        Self::BudgetSpent,
        Self::Throttled,
        Self::NoModel,
        Self::ModelsDown,
        Self::Busy,
        Self::LedgerFault,
        Self::Stopping,
        Self::DiskFull,
    ];

    /// Status, anchor on `/docs`, title.
    #[must_use]
    pub fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::BadHeader => (400, "bad-header", "Bad request header"),
            Self::NotJson => (400, "not-json", "Body is not JSON"),
            Self::Unauthorized => (401, "unauthorized", "Credential needed"),
            Self::BadSignature => (401, "bad-signature", "Signature not accepted"),
            Self::Forbidden => (403, "forbidden", "Not allowed for this credential"),
            Self::CrossOrigin => (403, "cross-origin", "Request from another site"),
            Self::NotFound => (404, "not-found", "No such path"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed"),
            Self::TooLarge => (413, "too-large", "Body too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Body type not supported"),
            Self::WrongHost => (421, "wrong-host", "Host is not this machine"),
            Self::InvalidFields => (422, "invalid-fields", "Fields not valid"),
            Self::InvalidParameters => (422, "invalid-parameters", "Query parameters not valid"),
            Self::UpgradeRequired => (426, "upgrade-required", "WebSocket wanted"),
            Self::ModelRefused => (422, "model-refused", "Model refused the question"),
            Self::BudgetSpent => (429, "budget-spent", "Budget spent"),
            Self::Throttled => (429, "throttled", "Too many at once"),
            Self::NoModel => (503, "no-model", "No model configured"),
            Self::ModelsDown => (503, "models-down", "No model answers"),
            Self::Busy => (503, "busy", "Too much waits already"),
            Self::LedgerFault => (503, "ledger-fault", "Ledger cannot be written"),
            Self::Stopping => (503, "stopping", "Agent is stopping"),
            Self::DiskFull => (507, "disk-full", "Disk is full"),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().0
    }
}

/// Where one fault of the input is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A JSON Pointer into the body as a URI fragment: `#/workflow_id`.
    Body(String),
    /// The name of a query parameter.
    Query(String),
}

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFault {
    /// Where.
    pub place: Place,
    /// What, with value and limit.
    pub detail: String,
}

/// A problem on its way to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub kind: Kind,
    /// This time, for people. Never a secret.
    pub detail: String,
    /// Each bad field or parameter.
    pub faults: Vec<InputFault>,
}

impl Problem {
    /// A problem without a list of faults.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), faults: Vec::new() }
    }

    /// A problem made of faults; its detail joins them, so that a reader of `detail` alone misses nothing.
    #[must_use]
    pub fn of_faults(kind: Kind, faults: Vec<InputFault>) -> Self {
        let mut detail = String::new();
        for fault in &faults {
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(&fault.detail);
        }
        Self { kind, detail, faults }
    }

    /// The response.
    #[must_use]
    pub fn response(&self) -> Response {
        let (status, _, _) = self.kind.row();
        Response::text(status, "application/problem+json", self.json())
    }

    fn json(&self) -> String {
        let (status, anchor, title) = self.kind.row();
        let mut json = Json::object();
        json.key("type").text(&format!("/docs#{anchor}"));
        json.key("title").text(title);
        json.key("status").number(status.into());
        json.key("detail").text(&self.detail);
        if !self.faults.is_empty() {
            json.key("errors").open('[');
            for fault in &self.faults {
                json.open('{');
                match &fault.place {
                    Place::Body(pointer) => json.key("pointer").text(pointer),
                    Place::Query(name) => json.key("parameter").text(name),
                }
                json.key("detail").text(&fault.detail);
                json.close('}');
            }
            json.close(']');
        }
        json.end_object()
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        problem.response()
    }
}
