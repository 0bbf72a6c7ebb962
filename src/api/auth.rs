//! `/auth/login` and `/auth/me`: a credential for a token of an hour, and who somebody is.

use super::access::{self, Who};
use super::json::Json;
use super::problem::{InputFault, Kind, Place, Problem};
use super::{Request, Response, View, intake};
use crate::agent::limits::LOGIN_TIME_MAX_S;
use crate::wire::json::{self, Json as Body};
use crate::wire::jwt::{self, Claims};

/// Answers a login: with the token and who it is for, or with why there is none.
///
/// # Errors
/// The body cannot be read (`None`), or the password is not that user's (`Some`).
pub(super) fn login(view: &View<'_>, request: &Request<'_>) -> Result<(Response, Who), (Response, bool)> {
    let (username, password) = read(request).map_err(|response| (response, false))?;
    let who = access::who_shows(view.security, view.status, &password).filter(|who| who.user() == username);
    let Some(who) = who else {
        let detail = "incorrect username or password";
        let problem = Problem::new(Kind::Unauthorized, detail).response();
        return Err((problem.with("www-authenticate", "Bearer realm=\"chainbot\""), true));
    };
    let Some(key) = view.security.keys.first() else {
        let problem = Problem::new(Kind::Busy, "there is no key that signs tokens");
        return Err((intake::with_retry(problem, 60), false));
    };
    let at_s = view.status.at.0.div_euclid(1_000);
    let longest_s = at_s.saturating_add(i64::try_from(LOGIN_TIME_MAX_S).unwrap_or(i64::MAX));
    let expires_s = who.expires_s.map_or(longest_s, |expires| expires.min(longest_s));
    let claims = Claims {
        name: who.user().to_owned(),
        role: who.role.as_str().to_owned(),
        id: who.root.clone(),
        issued_s: Some(at_s),
        not_before_s: None,
        expires_s,
    };
    let mut json = Json::object();
    json.key("access_token").text(&jwt::encode(&claims, key));
    json.key("token_type").text("bearer");
    json.key("expires_in").number(u64::try_from(expires_s.saturating_sub(at_s)).unwrap_or(0));
    json.key("username").text(&username);
    json.key("role").text(who.role.as_str());
    let response = Response::text(200, "application/json", json.end_object());
    Ok((response.with("cache-control", "no-store"), who))
}

fn read(request: &Request<'_>) -> Result<(String, String), Response> {
    intake::check_media(request)?;
    let body = Body::parse(request.body)
        .map_err(|fault| Problem::new(Kind::NotJson, fault.to_string()).response())?;
    let mut faults = Vec::new();
    let mut text = |name: &str| {
        let found = body.get(name).and_then(json::Json::text).filter(|text| !text.is_empty());
        if found.is_none() {
            let detail = format!("{name} is missing or no text");
            faults.push(InputFault { place: Place::Body(format!("#/{name}")), detail });
        }
        found.unwrap_or_default().into_owned()
    };
    let (username, password) = (text("username"), text("password"));
    if faults.is_empty() {
        return Ok((username, password));
    }
    Err(Problem::of_faults(Kind::InvalidFields, faults).into())
}

/// Who asks, and what they may do.
pub(super) fn me(view: &View<'_>, who: &Who) -> String {
    let mut json = Json::object();
    json.key("username").text(who.user());
    json.key("role").text(who.role.as_str());
    json.key("credential").text(who.kind.as_str());
    let left_s = who.expires_s.map(|expires| expires.saturating_sub(view.status.at.0.div_euclid(1_000)));
    if let Some(left_s) = left_s {
        json.key("expires_in").number(u64::try_from(left_s).unwrap_or(0));
    }
    json.end_object()
}
