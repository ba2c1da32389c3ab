//! Which known word an unknown one was meant to be.

/// The known word that looks most like `word`, if any does.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &&str| distance(word, known) <= (word.len().max(known.len()) / 3).max(1);
    known
        .into_iter()
        .filter(near)
        .min_by_key(|known| distance(word, known))
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_understood_and_nothing_else() {
        let words = ["name", "queue", "retries", "timeout", "tags"];
        for (word, meant) in [
            ("qeue", Some("queue")),
            ("queues", Some("queue")),
            ("retry", None),
            ("retires", Some("retries")),
            ("time_out", Some("timeout")),
            ("tag", Some("tags")),
            ("concurrency", None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
    }
}
