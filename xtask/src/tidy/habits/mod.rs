//! Habits a reader relies on: tests beside their module, nothing left half done, exceptions explained, heads on modules.

#[cfg(test)]
mod tests;

use super::finding::Finding;
use super::source::Source;
use super::word_at;

/// All of them, for one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let rules = [inline_tests, unfinished, sleeping_tests, unexplained_exceptions, head];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

/// Tests live in `tests.rs` beside their module, so that the module stays short.
fn inline_tests(source: &Source) -> Vec<Finding> {
    if source.is_test() {
        return Vec::new();
    }
    let inline = |line: &str| {
        let at = word_at(line, "mod", 0)?;
        let rest = line[at + 3..].trim_start();
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_tests = name == "test" || name == "tests" || name.ends_with("_tests");
        (is_tests && rest[name.len()..].trim_start().starts_with('{')).then_some(())
    };
    places(source, |line| inline(line).is_some())
        .map(|line| Finding::new(&source.path, line, "tests inside the module", "move them to `tests.rs` beside it"))
        .collect()
}

/// Nothing is merged half done: it works or it is absent.
fn unfinished(source: &Source) -> Vec<Finding> {
    let called = |line: &str| {
        let is_macro = |name: &str| word_at(line, name, 0).is_some_and(|at| line[at + name.len()..].starts_with('!'));
        is_macro("todo") || is_macro("unimplemented")
    };
    let remedy = "finish it, or leave it out and say so";
    let in_code = places(source, called).map(|line| Finding::new(&source.path, line, "unfinished code", remedy));
    let markers = ["TODO", "FIXME", "XXX"];
    let marked = |line: &String| markers.iter().any(|marker| word_at(line, marker, 0).is_some());
    let in_comments = source.comments.iter().enumerate().filter(|(_, line)| marked(line));
    in_code.chain(in_comments.map(|(i, _)| Finding::new(&source.path, i + 1, "a note about unfinished work", remedy))).collect()
}

/// A test that sleeps is slow on a fast machine and wrong on a slow one.
fn sleeping_tests(source: &Source) -> Vec<Finding> {
    if !source.is_test() {
        return Vec::new();
    }
    let remedy = "wait on a condition with a deadline (a channel's `recv_timeout`, a `Condvar`, a read with a timeout)";
    places(source, |line| line.contains("thread::sleep"))
        .map(|line| Finding::new(&source.path, line, "a sleep in a test", remedy))
        .collect()
}

/// `#[ignore]`, `#[allow(..)]` and `#[expect(..)]` say why: in `reason`, or in a comment beside or above them.
fn unexplained_exceptions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.code.iter().enumerate() {
        let Some(at) = line.find("#[").or_else(|| line.find("#![")) else { continue };
        let attribute = attribute_text(&source.code[index..], at);
        let is_exception = ["allow(", "expect("]
            .iter()
            .any(|lint| word_at(&attribute, &lint[..lint.len() - 1], 0).is_some_and(|p| attribute[p..].starts_with(lint)));
        let is_ignore = word_at(&attribute, "ignore", 0).is_some() && !attribute.contains("ignore =");
        let explained = attribute.contains("reason") || commented(source, index);
        if (is_exception || is_ignore) && !explained {
            let shown = attribute.split_whitespace().collect::<Vec<_>>().join(" ");
            findings.push(Finding::new(
                &source.path,
                index + 1,
                format!("`{shown}` gives no reason"),
                "add `reason = \"..\"`, or a comment that says why",
            ));
        }
    }
    findings
}

/// The attribute that opens at column `at` of the first line, up to its closing bracket.
fn attribute_text(lines: &[String], at: usize) -> String {
    let (mut text, mut depth) = (String::new(), 0);
    for (index, line) in lines.iter().enumerate() {
        for c in line[if index == 0 { at } else { 0 }..].chars() {
            text.push(c);
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return text;
            }
        }
        text.push(' ');
    }
    text
}

/// Whether a comment that is not documentation stands on line `index` or just above it.
fn commented(source: &Source, index: usize) -> bool {
    let remark = |line: &str| line.contains("//") && !line.contains("///") && !line.contains("//!");
    let above = index.checked_sub(1);
    remark(&source.comments[index]) || above.is_some_and(|i| source.code[i].is_empty() && remark(&source.comments[i]))
}

/// A module opens by saying what it is, what it is not, and its invariants.
fn head(source: &Source) -> Vec<Finding> {
    let first = source.lines.iter().find(|line| !line.trim().is_empty() && !line.starts_with("#!"));
    let is_headed = first.is_some_and(|line| line.starts_with("//!"));
    if is_headed || source.is_test() || source.is_generated() {
        return Vec::new();
    }
    let remedy = "begin it with `//!`: what it is, what it is not, its invariants";
    vec![Finding::new(&source.path, 1, "no head comment", remedy)]
}

/// The lines (counted from one) whose code satisfies `rule`.
fn places(source: &Source, rule: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    source.code.iter().enumerate().filter(move |(_, line)| rule(line)).map(|(index, _)| index + 1)
}
