use super::*;

fn json(text: &str) -> Json<'_> {
    Json::parse(text.as_bytes()).unwrap()
}

#[test]
fn members_and_items_are_found() {
    let doc =
        json(r#" { "a" : {"b":[1, "x\"]}", {"c":null}] } ,"é\n":-0.50,"a2":"","d":true, "a\u0062":7 } "#);
    let list = doc.at(&["a", "b"]).unwrap();
    let items: Vec<_> = list.items().map(Json::raw).collect();
    assert_eq!(items, ["1", r#""x\"]}""#, r#"{"c":null}"#]);
    assert_eq!(list.items().nth(1).unwrap().text().unwrap(), "x\"]}");
    assert_eq!(doc.get("é\n").unwrap().f64(), Some(-0.5));
    assert_eq!(doc.get("ab").unwrap().u64(), Some(7));
    assert_eq!(doc.get("d").unwrap().bool(), Some(true));
    assert_eq!(doc.get("a2").unwrap().text().unwrap(), "");
    assert_eq!(doc.fields().count(), 5);
    assert!(doc.get("b").is_none() && doc.at(&["a", "b", "c"]).is_none() && list.fields().next().is_none());
}

#[test]
fn the_last_of_two_equal_names_counts() {
    assert_eq!(json(r#"{"a":1,"b":0,"a":2}"#).get("a").unwrap().raw(), "2");
}

#[test]
fn null_counts_as_missing_where_asked() {
    let doc = json(r#"{"a":null}"#);
    assert!(doc.get("a").is_some() && doc.some("a").is_none());
}

#[test]
fn whole_numbers_are_read_however_written() {
    for (text, want) in [
        ("5", Some(5)),
        ("5.0", Some(5)),
        ("5e2", Some(500)),
        ("0", Some(0)),
        ("-0", Some(0)),
        ("-1", None),
        ("5.5", None),
        ("18446744073709551615", Some(u64::MAX)),
        ("1e17", None),
        ("\"5\"", None),
        ("true", None),
    ] {
        assert_eq!(json(text).u64(), want, "{text}");
    }
}

#[test]
fn compact_text_keeps_order_numbers_and_escapes() {
    let text =
        "{ \"b\" :\t1.50 ,\r\n \"a\": [ 1e+2 , \"x  \\\" y\\u00e9\" ] ,\"n\":12345678901234567890123 }";
    assert_eq!(json(text).compact(), r#"{"b":1.50,"a":[1e+2,"x  \" y\u00e9"],"n":12345678901234567890123}"#);
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\"}",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "1e999",
        "tru",
        "nul",
        "\"\\x\"",
        "\"\n\"",
        "\"\\ud800\"",
        "[1] 2",
        "{\"a\":1}}",
        "\u{feff}{}",
        "[1}",
        "\"",
        "\"\\",
    ] {
        assert_eq!(Json::parse(text.as_bytes()), Err(TextFault::NotJson), "{text:?}");
    }
    assert_eq!(Json::parse(b"\"\xff\""), Err(TextFault::NotUtf8));
}

#[test]
fn depth_is_bounded_outside_strings_only() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(Json::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(Json::parse(nested(DEPTH_MAX + 1).as_bytes()), Err(TextFault::TooDeep));
    assert_eq!(Json::parse("[".repeat(60_000).as_bytes()), Err(TextFault::TooDeep));
    assert!(Json::parse(format!("\"\\\"{}\"", "[".repeat(100)).as_bytes()).is_ok());
}

#[test]
fn views_of_garbage_end() {
    // Never made by `parse`; the walkers must end all the same.
    for text in ["{\"a", "{\"a\":", "{:,:", "[\"", "[1 2", "[}", "{\"a\" \"b\"", "{\"\\", "\""] {
        let value = Json(text);
        assert!(value.fields().count() < 9 && value.items().count() < 9, "{text}");
        let _ = (value.text(), value.compact(), value.u64(), value.get("a"));
    }
}

#[test]
fn members_are_written_with_commas_between() {
    let mut out = String::from("{");
    push_text(&mut out, "a", "x\"\n");
    push_number(&mut out, "b", 12.3456);
    push_number(&mut out, "c", f64::NAN);
    push_number(&mut out, "d", -0.001);
    push_texts(&mut out, "e", &["p", "q"]);
    push_raw(&mut out, "f", "{}");
    out.push('}');
    assert_eq!(out, r#"{"a":"x\"\n","b":12.35,"c":0,"d":0,"e":["p","q"],"f":{}}"#);
    assert!(Json::parse(out.as_bytes()).is_ok());
}
