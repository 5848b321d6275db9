//! A Rust file taken apart into what the compiler reads and what people read.
//!
//! It is not a parser: it knows comments, string and character literals and raw strings, and blanks them, so that a rule which
//! looks for a word in `code` never trips over prose. Invariant: `code` and `comments` have as many lines as the text, and every
//! character keeps its column.

#[cfg(test)]
mod tests;

/// One Rust source file.
pub(crate) struct Source {
    /// Path relative to the workspace root.
    pub(crate) path: String,
    /// The lines as written.
    pub(crate) lines: Vec<String>,
    /// The same lines with comments and the insides of literals blanked.
    pub(crate) code: Vec<String>,
    /// The same lines with everything but comments blanked.
    pub(crate) comments: Vec<String>,
}

impl Source {
    /// Takes `text` apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let kinds = classify(&chars);
        let keep = |wanted: Kind| -> Vec<String> {
            let kept: String = chars.iter().zip(&kinds).map(|(&c, &kind)| if c == '\n' || kind == wanted { c } else { ' ' }).collect();
            kept.lines().map(|line| line.trim_end().to_owned()).collect()
        };
        Source {
            path: path.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            code: keep(Kind::Code),
            comments: keep(Kind::Comment),
        }
    }

    /// Whether the file holds tests only: a `tests.rs`, or anything in a `tests` folder.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Whether a machine wrote the file and says so in its first lines.
    pub(crate) fn is_generated(&self) -> bool {
        self.comments.iter().take(5).any(|line| line.contains("@generated"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Says of each character whether it is code, comment, or the inside of a literal. Delimiters of literals count as code.
fn classify(chars: &[char]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Code; chars.len()];
    let mut at = 0;
    while at < chars.len() {
        let (end, kind) = token(chars, at);
        for (i, slot) in kinds.iter_mut().enumerate().take(end).skip(at) {
            // The quotes stay, so that a string is still seen as something.
            let edge = i == at || i + 1 == end;
            *slot = if kind == Kind::Literal && edge { Kind::Code } else { kind };
        }
        at = end;
    }
    kinds
}

/// The end and the kind of the token that starts at `at`.
fn token(chars: &[char], at: usize) -> (usize, Kind) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (find(chars, at, |c| c == '\n'), Kind::Comment),
        '/' if next == Some('*') => (block_comment_end(chars, at), Kind::Comment),
        '"' => (string_end(chars, at + 1), Kind::Literal),
        'r' if !is_word_before(chars, at) => match raw_string_end(chars, at + 1) {
            Some(end) => (end, Kind::Literal),
            None => (at + 1, Kind::Code),
        },
        '\'' => match char_end(chars, at) {
            Some(end) => (end, Kind::Literal),
            None => (at + 1, Kind::Code),
        },
        _ => (at + 1, Kind::Code),
    }
}

fn find(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&i| stop(chars[i])).unwrap_or(chars.len())
}

/// Whether an identifier continues into `at`; the prefixes `b` and `c` of a raw string do not count.
fn is_word_before(chars: &[char], at: usize) -> bool {
    let word = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    match at {
        0 => false,
        1 => word(0) && !matches!(chars[0], 'b' | 'c'),
        _ if matches!(chars[at - 1], 'b' | 'c') => word(at - 2),
        _ => word(at - 1),
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of the raw string whose hashes or quote start at `i`, or `None` when it is something else (`r#type`).
fn raw_string_end(chars: &[char], i: usize) -> Option<usize> {
    let open = find(chars, i, |c| c != '#');
    let hashes = open - i;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    let close = (open + 1..chars.len()).find(|&at| closes(at));
    Some(close.map_or(chars.len(), |at| at + 1 + hashes))
}

/// The end of the character literal at `at`, or `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        return Some((find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()));
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}
