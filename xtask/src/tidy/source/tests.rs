use super::Source;

fn code(text: &str) -> Vec<String> {
    Source::new("x.rs", text).code
}

#[test]
fn comments_and_literals_leave_the_code() {
    assert_eq!(code("a(\"unsafe\"); // unsafe"), ["a(\"      \");"]);
    assert_eq!(code("a /* x /* unsafe */ y */ b"), ["a                        b"]);
    assert_eq!(code("let c = '\\''; unsafe"), ["let c = '  '; unsafe"]);
    assert_eq!(code("let c = 'x'; fn f<'a>() {}"), ["let c = ' '; fn f<'a>() {}"]);
}

#[test]
fn raw_strings_end_at_their_own_hashes() {
    assert_eq!(code("r#\"a\" unsafe\"# + b"), ["r            # + b"]);
    assert_eq!(code("br\"\\\" unsafe"), ["br  \" unsafe"]);
    assert_eq!(code("let r#type = \"x\";"), ["let r#type = \" \";"]);
    assert_eq!(code("for \"x\" in y"), ["for \" \" in y"]);
}

#[test]
fn lines_and_columns_stay() {
    let source = Source::new("x.rs", "let a = \"one\ntwo\"; // why\nb");
    assert_eq!(source.code, ["let a = \"", "   \";", "b"]);
    assert_eq!(source.comments, ["", "      // why", ""]);
}

#[test]
fn an_unfinished_literal_ends_with_the_file() {
    assert_eq!(code("\"abc\\"), ["\"   \\"]);
    assert_eq!(code("/* abc").len(), 1);
    assert_eq!(code("'\\").len(), 1);
}
