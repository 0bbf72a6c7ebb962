//! Tools of a server that others wrote.

use chainbot::agent::brain::setup::McpSetup;
use chainbot::agent::brain::speech::ToolResult;

use crate::stand_in::client;
use crate::world::World;

fn told(result: &ToolResult) -> (bool, &str) {
    (result.is_ok, result.text.as_str())
}

/// Started by `tests/brain/mcp`, which has the server.
#[test]
#[ignore = "needs the server at CHAINBOT_MCP_URL"]
fn a_real_server() {
    let url = std::env::var("CHAINBOT_MCP_URL").unwrap();
    let mut world = World::new();
    world.hands.set_servers(&[McpSetup { name: "real".to_owned(), url: url.clone(), headers: Vec::new() }]);
    let sum = world.run("mcp__real__add", r#"{"a":2,"b":40}"#);
    assert_eq!(told(&sum), (true, "42"));

    let schemas = world.hands.schemas(&["mcp__*".to_owned()]);
    for part in
        ["\"mcp__real__add\"", "\"Adds two numbers.\"", "\"mcp__real__notes_read_", "\"mcp__real__much\""]
    {
        assert!(schemas.contains(part), "{part} in {schemas}");
    }
    let name = schemas.split('"').find(|word| word.starts_with("mcp__real__notes_read_")).unwrap().to_owned();
    let failed = world.run(&name, r#"{"name":"a\"b"}"#);
    assert!(!failed.is_ok && failed.text.contains("Error executing tool notes.read"), "{}", failed.text);
    let wrong = world.run("mcp__real__add", r#"{"a":"x"}"#);
    assert!(!wrong.is_ok, "{}", wrong.text);
    let much = world.run("mcp__real__much", "{}");
    assert!(much.is_ok && much.text.len() < 4_100 && much.text.contains("bytes left out here"));

    let address = url.split('/').nth(2).unwrap().parse().unwrap();
    let forgot = client::get(address, "/forget").unwrap();
    assert_eq!(forgot.status, 204);
    let sum = world.run("mcp__real__add", r#"{"a":1,"b":2}"#);
    assert_eq!(told(&sum), (true, "3"));
    chainbot::shell::reactor::block_on(world.hands.goodbye());
}
