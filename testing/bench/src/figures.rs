//! Figures of several runs.

/// The middle one; of an even count the mean of the two in the middle, of none zero.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let half = figures.len() / 2;
    match (figures.get(half.wrapping_sub(1)), figures.get(half)) {
        (Some(a), Some(b)) if figures.len().is_multiple_of(2) => (a + b) / 2.0,
        (_, Some(b)) => *b,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
