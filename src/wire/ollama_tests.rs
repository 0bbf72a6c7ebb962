use super::*;
use crate::agent::brain::speech::{Message, ThoughtFault};
use crate::agent::time::Wall;

fn json(text: &str) -> Json<'_> {
    Json::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[test]
fn a_question_in_openais_form_becomes_one_of_ollamas() {
    let body = concat!(
        r#"{"model":"x","temperature":0.1,"max_tokens":9,"stop":["a"],"response_format":{"type":"json_object"},"tools":[{"type":"function"}],"#,
        r#""messages":[{"role":"developer","content":"be kind"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"image_url","image_url":{"url":"http://a/b"}}]},"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":1}"}},{"function":{"name":"g","arguments":"broken"}}]},"#,
        r#"{"role":"tool","tool_call_id":"c","content":"ok"}]}"#
    );
    let made = from_question(json(body), "llama3");
    assert_eq!(
        made,
        concat!(
            r#"{"model":"llama3","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"look","images":["AAAA"]},"#,
            r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}},{"function":{"name":"g","arguments":{}}}]},"#,
            r#"{"role":"tool","content":"ok"}],"tools":[{"type":"function"}],"format":"json","#,
            r#""options":{"temperature":0.1,"stop":["a"],"num_predict":9},"stream":true}"#
        )
    );
    let schema = r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}}"#;
    assert!(from_question(json(schema), "m").contains(r#""format":{"type":"object"}"#));
}

#[test]
fn a_conversation_names_the_tool_of_each_result() {
    let message = |role, text: &str, calls, call_id: &str| Message {
        role,
        text: text.to_owned(),
        at: Wall(0),
        calls,
        call_id: call_id.to_owned(),
        is_partial: false,
    };
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "list-dir".to_owned(),
        arguments: "{}".to_owned(),
        subject: String::new(),
    };
    let messages = [
        (1, message(Role::User, "go", Vec::new(), "")),
        (2, message(Role::Assistant, "", vec![call], "")),
        (3, message(Role::Tool, "a", Vec::new(), "c1")),
    ];
    let (model, instruction, tools) = ("m", "i", "");
    let made = from_messages(&Prompted {
        model,
        instruction,
        messages: &messages,
        tools,
        max_tokens: 7,
        temperature_milli: 500,
    });
    assert_eq!(
        made,
        concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"i"},{"role":"user","content":"go"},"#,
            r#"{"role":"assistant","content":"","tool_calls":[{"function":{"name":"list-dir","arguments":{}}}]},"#,
            r#"{"role":"tool","content":"a","tool_name":"list-dir"}],"options":{"temperature":0.5,"num_predict":7},"stream":true}"#
        )
    );
}

fn read(text: &str, step: usize) -> Result<Vec<Delta>, Fault> {
    let (mut lines, mut out) = (Lines::default(), Vec::new());
    text.as_bytes().chunks(step).try_for_each(|piece| lines.push(piece, &mut out))?;
    lines.end(&mut out)?;
    Ok(out)
}

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    let text = concat!(
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"h\u{e9}\"},\"done\":false}\n",
        "{\"message\":{\"thinking\":\"hm\",\"content\":\"\"},\"done\":false}\n",
        "{\"message\":{\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\": 1}}},{\"function\":{\"name\":\"g\"}}]},\"done\":false}\n",
        "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":3,\"eval_count\":4}"
    );
    let call = |index: usize, name: &str, arguments: &str| Delta::Call {
        index,
        id: format!("call_{index}"),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let want = vec![
        Delta::Model("m".to_owned()),
        Delta::Text("h\u{e9}".to_owned()),
        Delta::Other,
        call(0, "f", "{\"a\": 1}"),
        call(1, "g", "{}"),
        Delta::Usage { tokens_in: 3, tokens_out: 4 },
        Delta::Finish(Finish::Length),
        Delta::Done,
    ];
    for step in 1..text.len() {
        assert_eq!(read(text, step).as_ref(), Ok(&want), "{step}");
    }
}

#[test]
fn errors_and_garbage_are_told() {
    let failed = read("{\"error\":\"model runner has stopped\"}\n", 5).expect("a line");
    let [Delta::Failed(ThoughtFault::Retry { fault: Fault::Status(500), .. })] = &*failed else {
        panic!("{failed:?}")
    };
    for garbage in ["<html>\n", "[]\n", "{\n", "5", "{\"a\":1}x\n"] {
        assert_eq!(read(garbage, 2), Err(Fault::Garbage), "{garbage}");
    }
    assert_eq!(read(&"x".repeat(70_000), 4_000), Err(Fault::TooLarge));
    assert_eq!(read("{\"message\":7,\"done\":\"yes\",\"model\":[]}\n\n", 9), Ok(Vec::new()));
    let tags = br#"{"models":[{"name":"llama3:8b"},{"x":1},{"name":"b"}]}"#;
    assert_eq!(model_names(tags, 8), ["llama3:8b", "b"]);
}
