//! Who may do what, over every row of the table and every way to show a credential.

use super::access::tokens::{Proof, Token, new_key};
use super::routes::{Endpoint, ROUTES, Role, Route, Takes};
use super::schema_tests::ask_of;
use super::table_tests::{get, shown_answer};
use super::testing::{Ask, CANARY, World};
use super::*;
use crate::agent::time::{Trust, Wall};
use crate::wire::json::Json;
use crate::wire::jwt::{self, Claims, Key};

/// What the clock of these worlds says, in seconds.
const NOW_S: i64 = 1_795_221_371;
const ROLES: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

fn key() -> Key {
    Key::new(&[5; 32])
}

fn token(n: u8, name: &str, role: Role) -> (String, Token) {
    let (id, key, proof) = new_key(&[n; 38]);
    let name = name.to_owned();
    (key, Token { id, name, role, proof, created_s: 1, expires_s: None, revoked_s: None })
}

fn claims(role: Role, id: Option<&str>) -> Claims {
    Claims {
        name: "fleet".to_owned(),
        role: role.as_str().to_owned(),
        id: id.map(str::to_owned),
        issued_s: Some(NOW_S),
        not_before_s: None,
        expires_s: NOW_S + 3_600,
    }
}

/// A world with a token of each role, under a clock that may judge.
fn world() -> World {
    let mut world = World::thoughtful();
    world.status.passed = world.status.at;
    world.security.keys = vec![key(), Key::new(&[6; 32])];
    for (n, role) in (1..).zip(ROLES) {
        world.security.tokens.add(token(n, role.as_str(), role).1, NOW_S).unwrap();
    }
    world
}

/// Every way to have a role from afar: header and value.
fn credentials(world: &World, role: Role) -> Vec<(&'static str, String)> {
    let made = world.security.tokens.list().iter().find(|token| token.role == role).unwrap();
    let n = u8::try_from(role as usize).unwrap();
    let (made_key, _) = token(n, "", role);
    assert_eq!(world.security.tokens.find_key(&made_key), Some(made));
    let of_fleet = jwt::encode(&claims(role, None), &key());
    let of_old_key = jwt::encode(&claims(role, None), &Key::new(&[6; 32]));
    let of_made = jwt::encode(&claims(Role::Admin, Some(&made.id)), &key());
    let mut all = vec![
        ("x-api-key", made_key.clone()),
        ("authorization", format!("Bearer {made_key}")),
        ("authorization", format!("bearer {of_fleet}")),
        ("x-api-key", of_old_key),
        ("authorization", format!("Bearer {of_made}")),
    ];
    if role == Role::Admin {
        all.push(("authorization", format!("Bearer {CANARY}")));
    }
    if role == Role::Viewer {
        all.push(("x-api-key", "second-key".to_owned()));
    }
    all
}

fn ask(route: &Route) -> Ask<'static> {
    let body = match route.takes {
        Takes::Webhook(shape) | Takes::Body(shape) => schemas::example(shape),
        Takes::Broadcast => "{}",
        _ => "",
    };
    let ask = ask_of(route.method, route.path, body).afar();
    let is_socket = matches!(route.endpoint, Endpoint::Socket(_));
    if !is_socket {
        return ask;
    }
    ask.with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// 401, 403, or 0 for whatever comes behind the door.
fn door(world: &World, ask: &Ask<'_>) -> u16 {
    match world.ask(ask) {
        Decision::Answer(response) if [401, 403, 429].contains(&response.status) => response.status,
        _ => 0,
    }
}

#[test]
fn every_route_opens_to_its_role_and_to_no_lesser_one_whatever_is_shown() {
    let world = world();
    let mut doors = 0;
    for route in ROUTES.iter().filter(|route| route.endpoint != Endpoint::Login) {
        let may_wait = matches!(route.endpoint, Endpoint::Socket(_));
        let wanted = if route.role == Role::Open || may_wait { 0 } else { 401 };
        assert_eq!(door(&world, &ask(route)), wanted, "nobody at {}", route.path);
        assert_eq!(
            door(&world, &ask(route).with("x-api-key", "wrong")),
            if route.role == Role::Open { 0 } else { 401 }
        );
        for role in ROLES {
            for (name, value) in credentials(&world, role) {
                let wanted = if role >= route.role { 0 } else { 403 };
                let found = door(&world, &ask(route).with(name, &value));
                assert_eq!(found, wanted, "{} with {name} at {}", role.as_str(), route.path);
                doors += 1;
            }
        }
    }
    assert!(doors > 900, "{doors}");
}

#[test]
fn what_changes_something_asks_for_more_than_looking() {
    for route in ROUTES {
        let (least, why) = match route.endpoint {
            Endpoint::Health | Endpoint::Login | Endpoint::Socket(SocketKind::Health) => {
                (Role::Open, "open to all")
            }
            Endpoint::Config => (Role::Admin, "it shows how the board is set up"),
            Endpoint::Brain(BrainAsk::Decide) => (Role::Admin, "it lets a tool run"),
            Endpoint::Brain(BrainAsk::Show) => (Role::Viewer, "it looks"),
            Endpoint::Brain(_) | Endpoint::Webhook(_) | Endpoint::Broadcast => {
                (Role::Operator, "it brings something")
            }
            _ => (Role::Viewer, "it looks"),
        };
        assert_eq!(route.role, least, "{}: {why}", route.path);
    }
}

/// What a socket of this role says to a message.
fn said(role: Role, path: &str, message: &str) -> String {
    let world = world();
    let (name, value) = credentials(&world, role).swap_remove(0);
    let route = ROUTES.iter().find(|route| route.path == path).unwrap();
    let target = path.replace("{window}", "chat").replace("{user_id}", "ann");
    let ask = Ask::new("GET", &target).afar().with(name, &value);
    let ask = ask
        .with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert!(matches!(route.endpoint, Endpoint::Socket(_)));
    let Decision::Socket(plan) = world.ask(&ask) else { panic!("{path}") };
    let mut talk = Conversation::new(1, &plan);
    world.with_view(|view| {
        let scene = Scene { status: view.status, setup: view.setup, security: view.security };
        format!("{:?}", talk.on_text(scene, message))
    })
}

#[test]
fn a_message_that_changes_something_asks_for_more_than_looking() {
    let id = "000000000009-deadbeef";
    let decide = format!(
        r#"{{"type":"command_approval","terminal_session_id":"{id}","approved":true,"user_id":"ann"}}"#
    );
    let allow =
        format!(r#"{{"type":"workflow_approval","payload":{{"workflow_id":"{id}","approved":true}}}}"#);
    let cancel = r#"{"type":"workflow_cancel","payload":{"workflow_id":"w"}}"#;
    let window = "/api/ws/{window}/{user_id}";
    for (path, message, least) in [
        ("/ws", r#"{"type":"ping"}"#, Role::Viewer),
        ("/ws", r#"{"action":"subscribe","channels":["events"]}"#, Role::Viewer),
        ("/ws", r#"{"type":"user_message","payload":{"message":"hi"}}"#, Role::Operator),
        ("/ws", cancel, Role::Operator),
        ("/ws", &allow, Role::Admin),
        ("/ws", &decide, Role::Admin),
        (window, r#"{"type":"ping"}"#, Role::Viewer),
        (window, r#"{"type":"window_focus","data":{}}"#, Role::Viewer),
        (window, r#"{"type":"chat_message","data":{"message":"hi"}}"#, Role::Operator),
        (window, r#"{"type":"chat_message","data":{"message":"/kill porch"}}"#, Role::Operator),
        (window, r#"{"type":"slash_command","data":{"command":"/clear","args":[]}}"#, Role::Operator),
    ] {
        for role in ROLES {
            let said = said(role, path, message);
            assert_eq!(said.contains("FORBIDDEN"), role < least, "{} {message}: {said}", role.as_str());
        }
    }
}

#[test]
fn a_message_to_other_windows_is_no_mere_look() {
    let message = r#"{"type":"hot_swap","data":{"target_window":"watchtower","swap_data":{}}}"#;
    for role in ROLES {
        let said = said(role, "/api/ws/{window}/{user_id}", message);
        assert_eq!(said.contains("FORBIDDEN"), role < Role::Operator, "{said}");
    }
}

#[test]
fn this_machine_has_the_role_that_the_config_gives_it_and_what_a_proxy_passes_on_has_none() {
    let mut world = world();
    let approve = || Ask::post("/api/approvals/000000000009-deadbeef", r#"{"approved":true}"#);
    assert_eq!((door(&world, &get("/config")), door(&world, &approve())), (0, 0));
    for name in ["forwarded", "x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"] {
        assert_eq!(door(&world, &get("/status").with(name, "127.0.0.1")), 401, "{name}");
        assert_eq!(door(&world, &get("/status").with(name, "x").with("x-api-key", CANARY)), 0, "{name}");
    }
    for (role, config, chat, status) in
        [(Role::Operator, 403, 0, 0), (Role::Viewer, 403, 403, 0), (Role::Open, 401, 401, 401)]
    {
        world.security.loopback_role = role;
        assert_eq!(door(&world, &get("/config")), config);
        assert_eq!(door(&world, &Ask::post("/api/chat", r#"{"message":"a"}"#)), chat);
        assert_eq!(door(&world, &get("/status")), status);
        assert_eq!(door(&world, &get("/config").with("x-api-key", CANARY)), 0);
    }
    world.security.loopback_role = Role::Operator;
    let both = world.decided(&get("/status").with("x-api-key", "second-key")).who;
    assert_eq!((both.role, &*both.name), (Role::Operator, "security.api_key"), "the mightier role");
}

fn who(world: &World, credential: &str) -> Who {
    world.decided(&get("/status").afar().with("x-api-key", credential)).who
}

#[test]
fn who_calls_has_a_name_and_no_secret() {
    let world = world();
    let viewer = token(1, "", Role::Viewer).0;
    for (credential, name, kind) in [
        (CANARY, "security.token", WhoKind::Token),
        ("second-key", "security.api_key", WhoKind::ApiKey),
        (&viewer, "token viewer", WhoKind::Made),
        (&jwt::encode(&claims(Role::Admin, None), &key()), "token fleet", WhoKind::Jwt),
        ("guess", "nobody", WhoKind::Nobody),
    ] {
        let who = who(&world, credential);
        assert_eq!((&*who.name, who.kind), (name, kind));
        assert!(!format!("{who:?}").contains(credential));
    }
    assert_eq!(world.decided(&get("/status")).who.name, "loopback");
}

#[test]
fn what_is_revoked_or_over_opens_nothing_and_a_role_is_no_greater_than_its_tokens() {
    let mut world = world();
    let (viewer, Token { id, .. }) = token(1, "", Role::Viewer);
    let of_viewer = jwt::encode(&claims(Role::Admin, Some(&id)), &key());
    assert_eq!(who(&world, &of_viewer).role, Role::Viewer, "the registry says viewer");
    assert_eq!(
        who(&world, &jwt::encode(&claims(Role::Admin, Some("0123456789ab")), &key())).role,
        Role::Open
    );
    let odd = Claims { role: "open".to_owned(), ..claims(Role::Admin, None) };
    assert_eq!(who(&world, &jwt::encode(&odd, &key())).role, Role::Open);
    let held = who(&world, &of_viewer);
    let holds =
        |world: &World, who: &Who| world.with_view(|view| who.still_holds(view.security, view.status));
    assert!(holds(&world, &held) && holds(&world, &who(&world, CANARY)));
    world.security.tokens.revoke(&id, NOW_S);
    assert_eq!((who(&world, &viewer).role, who(&world, &of_viewer).role), (Role::Open, Role::Open));
    assert!(!holds(&world, &held));
    let of_token = who(&world, CANARY);
    world.security.token = Some(crate::agent::setup::Secret("another".to_owned()));
    assert!(!holds(&world, &of_token), "what was open under the old one closes");
}

#[test]
fn an_expired_token_is_refused_as_far_as_the_time_is_known() {
    let mut world = world();
    let (late, token) = token(9, "late", Role::Admin);
    world.security.tokens.add(Token { expires_s: Some(NOW_S - 100), ..token }, NOW_S - 200).unwrap();
    let over = jwt::encode(&Claims { expires_s: NOW_S - 100, ..claims(Role::Admin, None) }, &key());
    let early = jwt::encode(&Claims { issued_s: Some(NOW_S + 90), ..claims(Role::Admin, None) }, &key());
    let roles = |world: &World| [&late, &over, &early].map(|credential| who(world, credential).role);
    assert_eq!(roles(&world), [Role::Open; 3]);
    // A clock that nobody vouches for is no verdict, a time that has surely passed is one.
    world.status.trust = Trust::Floor;
    world.status.passed = Wall((NOW_S - 500) * 1_000);
    assert_eq!(roles(&world), [Role::Admin; 3]);
    world.status.passed = Wall(NOW_S * 1_000);
    assert_eq!(roles(&world), [Role::Open, Role::Open, Role::Admin]);
}

fn login(world: &World, username: &str, password: &str) -> (u16, String) {
    let body = format!(r#"{{"username":"{username}","password":"{password}","email":"a@b.c"}}"#);
    shown_answer(&world.ask(&Ask::post("/api/auth/login", &body).afar()))
}

/// The token of a login that went well.
fn logged_in(world: &World, username: &str, password: &str) -> String {
    let (status, body) = login(world, username, password);
    assert_eq!(status, 200, "{body}");
    let json = Json::parse(body.as_bytes()).unwrap();
    assert_eq!(json.get("token_type").and_then(Json::text).as_deref(), Some("bearer"));
    json.get("access_token").and_then(Json::text).unwrap().into_owned()
}

#[test]
fn a_login_gives_a_token_of_an_hour_with_the_same_right_and_the_same_end() {
    let mut world = world();
    let operator = token(2, "", Role::Operator).0;
    for (username, password, role, name) in [
        ("admin", CANARY, Role::Admin, "security.token"),
        ("api_key", "second-key", Role::Viewer, "security.api_key"),
        ("operator", &operator, Role::Operator, "token operator"),
        ("fleet", &jwt::encode(&claims(Role::Operator, None), &key()), Role::Operator, "token fleet"),
    ] {
        let given = logged_in(&world, username, password);
        let found = who(&world, &given);
        assert_eq!((found.role, &*found.name, found.kind), (role, name, WhoKind::Jwt));
        let claims = jwt::verify(&given, &world.security.keys).unwrap();
        assert_eq!((claims.expires_s, claims.issued_s), (NOW_S + 3_600, Some(NOW_S)));
        let user = get("/api/auth/me").afar().with("x-api-key", &given);
        let (_, me) = shown_answer(&world.ask(&user));
        assert!(me.contains(&format!(r#""username":"{username}","role":"{}""#, role.as_str())), "{me}");
    }
    let short = Claims { expires_s: NOW_S + 50, ..claims(Role::Admin, None) };
    let given = logged_in(&world, "fleet", &jwt::encode(&short, &key()));
    assert_eq!(
        jwt::verify(&given, &world.security.keys).unwrap().expires_s,
        NOW_S + 50,
        "no longer than before"
    );
    let (of_admin, of_operator) =
        (logged_in(&world, "admin", CANARY), logged_in(&world, "operator", &operator));
    world.security.token = Some(crate::agent::setup::Secret("another".to_owned()));
    world.security.tokens.revoke("operator", NOW_S);
    assert_eq!([who(&world, &of_admin).role, who(&world, &of_operator).role], [Role::Open; 2]);
}

#[test]
fn a_wrong_login_is_refused_without_saying_why() {
    let world = world();
    for (username, password) in
        [("admin", "wrong"), ("root", CANARY), ("Admin", CANARY), ("admin", "second-key")]
    {
        let (status, body) = login(&world, username, password);
        assert_eq!(status, 401);
        assert!(body.contains("incorrect username or password") && !body.contains(CANARY), "{body}");
    }
    let post = |body| shown_answer(&world.ask(&Ask::post("/auth/login", body).afar()));
    assert_eq!(post("{").0, 400);
    let (status, body) = post(r#"{"username":7}"#);
    assert!(status == 422 && body.contains("#/username") && body.contains("#/password"), "{body}");
    let from_afar = Ask::post("/auth/login", "{}").with("origin", "http://evil.example");
    assert_eq!(shown_answer(&world.ask(&from_afar)).0, 403);
    assert_eq!(door(&world, &get("/api/auth/me").afar()), 401);
}

#[test]
fn what_a_request_showed_is_told_for_the_count() {
    let mut world = world();
    let far = |target| get(target).afar();
    let shown = |world: &World, ask: &Ask<'_>| world.decided(ask).shown;
    let wrong = r#"{"username":"admin","password":"x"}"#;
    for (ask, wanted) in [
        (far("/status"), Shown::Nothing),
        (far("/status").with("x-api-key", "x"), Shown::Wrong),
        (far("/health").with("x-api-key", "x"), Shown::Wrong),
        (far("/status").with("x-api-key", CANARY), Shown::Right),
        (far("/config").with("x-api-key", "second-key"), Shown::Right),
        (far("/status").with("authorization", "Basic x"), Shown::Nothing),
        (far("/nowhere").with("x-api-key", "x"), Shown::Nothing),
        (Ask::post("/auth/login", wrong).afar(), Shown::Wrong),
        (Ask::post("/auth/login", "{").afar(), Shown::Nothing),
    ] {
        assert_eq!(shown(&world, &ask), wanted);
    }
    world.hold = Hold { rate: None, guesses: Some(17) };
    for ask in [far("/status").with("x-api-key", CANARY), Ask::post("/auth/login", wrong).afar()] {
        let decided = world.decided(&ask);
        assert_eq!((decided.shown, decided.who), (Shown::Held, Who::nobody()));
        let Decision::Answer(response) = decided.decision else { panic!() };
        assert_eq!((response.status, &response.headers[0]), (429, &("retry-after", "17".to_owned())));
    }
    assert_eq!(shown_answer(&world.ask(&far("/health"))).0, 200, "what shows nothing is not held");
    world.hold = Hold { rate: Some(3), guesses: None };
    let (status, body) = shown_answer(&world.ask(&far("/health")));
    assert!(status == 429 && body.contains("try again in 3 s"), "{body}");
    assert_eq!(shown(&world, &far("/health")), Shown::OverRate);
}

#[test]
fn the_kinds_of_proof_are_not_mixed() {
    let mut world = world();
    let (key_text, token) = token(7, "half", Role::Admin);
    world.security.tokens.add(Token { proof: Proof::Jwt("0".repeat(16)), ..token }, NOW_S).unwrap();
    assert_eq!(who(&world, &key_text).role, Role::Open, "a key is no key where a JWT was made");
    world.security.keys = Vec::new();
    assert_eq!(who(&world, &jwt::encode(&claims(Role::Admin, None), &key())).role, Role::Open);
}
