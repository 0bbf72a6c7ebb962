use super::*;

fn fields(kind: WebhookKind, body: &str) -> Vec<&'static str> {
    match decode(kind, body.as_bytes()) {
        Err(BodyFault::Fields(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{body}: {other:?}"),
    }
}

#[test]
fn the_documents_samples_become_events() {
    use WebhookKind as K;
    let workflow = r#"{"workflow_id":"w-1","workflow_name":"Sample Workflow","status":"STATUS","user_id":"u",
        "timestamp":"2024-01-01T00:00:00Z","error":null,"duration":120,"steps_completed":5,"total_steps":10}"#;
    let agent = r#"{"agent_id":"a","agent_name":"Sample Agent","agent_type":"assistant","status":"STATUS",
        "user_id":"u","timestamp":"2024-01-01T00:00:00Z","reason":"done"}"#;
    let health = r#"{"agent_name":"chainbot","agent_version":"1.0.0","timestamp":"2024-01-01T00:00:00Z",
        "status_id":"degraded","workflow_state":"running","active_workflows":2,"workflow_blockers":[],
        "log_excerpt":"Recent","requires_attention":true,"attention_reason":"disk full",
        "gpt_integration_status":"healthy","websocket_connections":5,"active_agents":3,"system_resources":
        {"cpu_usage":25.5,"memory_usage":45.2,"disk_usage":30.1,"network_usage":1.2}}"#;
    let table = [
        (
            K::WorkflowStarted,
            workflow,
            "workflow_started",
            Severity::Info,
            "workflow \"Sample Workflow\" started",
        ),
        (
            K::WorkflowCompleted,
            workflow,
            "workflow_completed",
            Severity::Info,
            "workflow \"Sample Workflow\" completed",
        ),
        (
            K::WorkflowFailed,
            workflow,
            "workflow_failed",
            Severity::Error,
            "workflow \"Sample Workflow\" failed",
        ),
        (K::AgentSpawned, agent, "agent_spawned", Severity::Info, "agent \"Sample Agent\" spawned: done"),
        (
            K::AgentTerminated,
            agent,
            "agent_terminated",
            Severity::Info,
            "agent \"Sample Agent\" terminated: done",
        ),
        (
            K::EntanglementCreated,
            r#"{"entanglement_id":"e1"}"#,
            "entanglement_created",
            Severity::Info,
            "entanglement \"e1\" created",
        ),
        (K::EntanglementDestroyed, "{}", "entanglement_destroyed", Severity::Info, "entanglement destroyed"),
        (
            K::Health,
            health,
            "health_report",
            Severity::Warning,
            "health of \"chainbot\": degraded (disk full)",
        ),
        (K::Status, "{\"status_id\":\"healthy\"}", "status_update", Severity::Info, "status: healthy"),
        (K::Event, r#"{"event_type":"x.y-z_1"}"#, "x.y-z_1", Severity::Info, "event x.y-z_1"),
    ];
    for (kind, body, event_type, severity, message) in table {
        let body = body.replace("STATUS", kind.noun_and_status().1);
        let draft = decode(kind, body.as_bytes()).unwrap();
        assert_eq!((&*draft.kind, draft.severity, &*draft.message), (event_type, severity, message));
        assert_eq!(draft.source, Source::Chainbot);
        assert_eq!(draft.metadata.0, Json::parse(body.as_bytes()).unwrap().compact());
        assert_eq!(WebhookKind::from_path(kind.path()), Some(kind));
    }
}

#[test]
fn a_generic_event_says_its_own_severity_source_and_message() {
    let body =
        br#"{"event_type":"boot","severity":"critical","source":"watchtower","message":"up\nagain","x":1}"#;
    let draft = decode(WebhookKind::Event, body).unwrap();
    assert_eq!((draft.severity, draft.source), (Severity::Critical, Source::Watchtower));
    assert_eq!(draft.message, "up again");
    let warned = decode(WebhookKind::Event, br#"{"event_type":"a","requires_attention":true}"#).unwrap();
    assert_eq!(warned.severity, Severity::Warning);
}

#[test]
fn unknown_fields_and_number_texts_are_kept_and_null_is_missing() {
    let body = br#"{ "zeta": 1.50, "workflow_id": null, "alpha": [1e2], "status": null, "duration": null }"#;
    let draft = decode(WebhookKind::WorkflowStarted, body).unwrap();
    assert_eq!(
        draft.metadata.0,
        r#"{"zeta":1.50,"workflow_id":null,"alpha":[1e2],"status":null,"duration":null}"#
    );
}

#[test]
fn wrong_types_are_named_field_by_field() {
    use WebhookKind as K;
    let table: [(K, &str, &[&str]); 25] = [
        (K::WorkflowStarted, r#"{"workflow_id":5}"#, &["/workflow_id"]),
        (K::WorkflowStarted, r#"{"workflow_name":["a"]}"#, &["/workflow_name"]),
        (K::WorkflowStarted, r#"{"status":"completed"}"#, &["/status"]),
        (K::WorkflowCompleted, r#"{"status":"started"}"#, &["/status"]),
        (K::WorkflowFailed, r#"{"status":true,"error":{}}"#, &["/status", "/error"]),
        (K::WorkflowStarted, r#"{"duration":-1}"#, &["/duration"]),
        (K::WorkflowStarted, r#"{"duration":"120"}"#, &["/duration"]),
        (
            K::WorkflowStarted,
            r#"{"steps_completed":1.5,"total_steps":-3}"#,
            &["/steps_completed", "/total_steps"],
        ),
        (K::WorkflowStarted, r#"{"timestamp":1700000000}"#, &["/timestamp"]),
        (K::WorkflowStarted, r#"{"user_id":{"id":1}}"#, &["/user_id"]),
        (K::AgentSpawned, r#"{"status":"terminated"}"#, &["/status"]),
        (
            K::AgentSpawned,
            r#"{"agent_id":1,"agent_name":2,"agent_type":3}"#,
            &["/agent_id", "/agent_name", "/agent_type"],
        ),
        (K::AgentTerminated, r#"{"reason":5}"#, &["/reason"]),
        (K::EntanglementCreated, r#"{"entanglement_id":5}"#, &["/entanglement_id"]),
        (K::Health, r#"{"status_id":"ok"}"#, &["/status_id"]),
        (K::Health, r#"{"workflow_state":"busy"}"#, &["/workflow_state"]),
        (K::Health, r#"{"workflow_blockers":"none"}"#, &["/workflow_blockers"]),
        (K::Health, r#"{"workflow_blockers":["a",1]}"#, &["/workflow_blockers"]),
        (K::Health, r#"{"requires_attention":"yes"}"#, &["/requires_attention"]),
        (K::Status, r#"{"system_resources":[1]}"#, &["/system_resources"]),
        (K::Status, r#"{"system_resources":{"cpu_usage":"1"}}"#, &["/system_resources/cpu_usage"]),
        (K::Event, r#"{}"#, &["/event_type"]),
        (
            K::Event,
            r#"{"event_type":null,"severity":"fatal","source":"me"}"#,
            &["/event_type", "/severity", "/source"],
        ),
        (K::Event, r#"{"event_type":"a/b"}"#, &["/event_type"]),
        (K::Event, r#"{"event_type":"..","message":1}"#, &["/event_type", "/message"]),
    ];
    for (kind, body, pointers) in table {
        assert_eq!(fields(kind, body), pointers, "{body}");
    }
    let long = format!("{{\"event_type\":\"{}\"}}", "a".repeat(EVENT_TYPE_BYTES_MAX + 1));
    assert_eq!(fields(WebhookKind::Event, &long), ["/event_type"]);
}

#[test]
fn a_complaint_says_what_is_wanted_and_never_the_value() {
    let Err(fault) = decode(WebhookKind::WorkflowStarted, br#"{"status":"sesame","duration":-2}"#) else {
        panic!("taken")
    };
    let BodyFault::Fields(faults) = fault else { panic!("{fault:?}") };
    assert_eq!(faults[0].detail, "must be started, is another word");
    assert_eq!(faults[1].detail, "must be a number of 0 or more, is negative");
}

#[test]
fn bodies_that_are_no_object_are_refused() {
    for body in ["[]", "1", "null", "\"a\"", "[{\"event_type\":\"a\"}]"] {
        assert_eq!(decode(WebhookKind::Event, body.as_bytes()), Err(BodyFault::NotAnObject), "{body}");
    }
    for (body, fault) in [
        (&b""[..], TextFault::NotJson),
        (b"{", TextFault::NotJson),
        (b"a=b&c=d", TextFault::NotJson),
        (b"{\"a\":\"\xff\"}", TextFault::NotUtf8),
        (b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", TextFault::TooDeep),
    ] {
        assert_eq!(decode(WebhookKind::Event, body), Err(BodyFault::Text(fault)));
    }
}

#[test]
fn messages_stay_within_their_bound() {
    let body = format!(r#"{{"workflow_name":"{0}","error":"{0}"}}"#, "é\\n".repeat(3_000));
    let draft = decode(WebhookKind::WorkflowFailed, body.as_bytes()).unwrap();
    assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX && draft.message.contains("failed: é"));
}

#[test]
fn answers_are_worded_as_the_python_service_does() {
    assert_eq!(WebhookKind::WorkflowStarted.success_message("x"), "Workflow started event processed");
    assert_eq!(WebhookKind::Status.success_message("x"), "Health status updated");
    assert_eq!(WebhookKind::Event.success_message("boot"), "Event boot processed");
}

#[test]
fn a_body_with_many_members_is_read_like_one_with_few() {
    for more in [0, MEMBERS_MAX - 4, MEMBERS_MAX, 1_000] {
        let filler: String = (0..more).map(|n| format!("\"f{n}\":{n},")).collect();
        let body =
            format!(r#"{{{filler}"workflow_id":"a","workflow_id":"w","error":null,"status":"failed"}}"#);
        let draft = decode(WebhookKind::WorkflowFailed, body.as_bytes()).unwrap();
        assert_eq!(draft.message, "workflow \"w\" failed", "{more}");
        let wrong = body.replace("\"w\"", "7");
        assert!(
            matches!(decode(WebhookKind::WorkflowFailed, wrong.as_bytes()), Err(BodyFault::Fields(_))),
            "{more}"
        );
    }
}
