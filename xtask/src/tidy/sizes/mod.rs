//! Sizes: no hand-written file above 1,000 lines, the median file under 200, no function of 70 lines or more.
//!
//! Function lengths are counted on rustfmt'd text from the line of `fn` to the line of its closing brace; a function inside
//! another counts for both.

#[cfg(test)]
mod tests;

use super::finding::Finding;
use super::source::Source;

/// No hand-written file is longer.
pub(crate) const FILE_LINES_MAX: usize = 1_000;
/// The median file is shorter.
pub(crate) const FILE_LINES_MEDIAN: usize = 200;
/// Every function is shorter.
pub(crate) const FUNCTION_LINES: usize = 70;

/// Files that are too long.
pub(crate) fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.lines.len();
    if lines <= FILE_LINES_MAX || source.is_generated() {
        return Vec::new();
    }
    let what = format!("{lines} lines, and {FILE_LINES_MAX} is the most");
    vec![Finding::new(&source.path, lines, what, "split it where it has two subjects")]
}

/// The median over all files, which shows whether the house is made of rooms.
pub(crate) fn median_length(sources: &[Source]) -> Vec<Finding> {
    let mut lengths: Vec<usize> = sources.iter().filter(|s| !s.is_generated()).map(|s| s.lines.len()).collect();
    lengths.sort_unstable();
    match lengths.get(lengths.len() / 2) {
        Some(&median) if median >= FILE_LINES_MEDIAN => {
            let what = format!("the median .rs file has {median} lines, and {FILE_LINES_MEDIAN} is too many");
            vec![Finding::new("Cargo.toml", 0, what, "split the longest files")]
        }
        _ => Vec::new(),
    }
}

/// Functions that are too long.
pub(crate) fn function_length(source: &Source) -> Vec<Finding> {
    if source.is_generated() {
        return Vec::new();
    }
    let long = functions(&source.code).into_iter().filter(|f| f.lines >= FUNCTION_LINES);
    long.map(|f| {
        let what = format!("fn {} has {} lines, and each stays under {FUNCTION_LINES}", f.name, f.lines);
        Finding::new(&source.path, f.line, what, "give a step of it a name of its own")
    })
    .collect()
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function with a body.
fn functions(code: &[String]) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let mut from = 0;
        while let Some(at) = super::word_at(line, "fn", from) {
            from = at + 2;
            let name: String = line[from..].trim_start().chars().take_while(|c| c.is_alphanumeric() || "_$#".contains(*c)).collect();
            if let (false, Some(end)) = (name.is_empty(), body_end(code, index, from)) {
                found.push(Function { name, line: index + 1, lines: end - index + 1 });
            }
        }
    }
    found
}

/// The index of the line on which the body ends that belongs to the signature at (`line`, `column`); `None` without a body.
fn body_end(code: &[String], line: usize, column: usize) -> Option<usize> {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for (index, text) in code.iter().enumerate().skip(line) {
        let start = if index == line { column } else { 0 };
        for c in text[start..].chars() {
            match c {
                '(' | '[' => round += 1,
                ')' | ']' => round -= 1,
                ';' if round == 0 && curly == 0 => return None,
                '{' => curly += 1,
                // Braces inside the signature's brackets are const arguments, and close again before the body.
                '}' => {
                    curly -= 1;
                    if curly == 0 && round == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
    }
    None
}
