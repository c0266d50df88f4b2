//! Shows the change of a file.

use imara_diff::{Algorithm, BasicLineDiffPrinter, Diff, InternedInput, UnifiedDiffConfig};

/// The change from `old` to `new` as a unified diff with two context lines; empty if nothing changes. `names`
/// are the names of the two files in its header.
pub fn difference(names: [&str; 2], old: &str, new: &str) -> String {
    let lines = InternedInput::new(old, new);
    let mut diff = Diff::compute(Algorithm::Histogram, &lines);
    diff.postprocess_lines(&lines);
    if diff.count_additions() == 0 && diff.count_removals() == 0 {
        return String::new();
    }
    let printer = BasicLineDiffPrinter(&lines.interner);
    let mut config = UnifiedDiffConfig::default();
    config.context_len(2);
    let [before, after] = names;
    format!("--- {before}\n+++ {after}\n{}", diff.unified_diff(&printer, config, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_unified_diff_with_two_lines_around() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n";
        let new = "1\n2\n3\n4\n5\nsix\n7\n8\n9\n10\n11\n12\n13";
        let expected = "--- old\n+++ new\n@@ -4,5 +4,5 @@\n 4\n 5\n-6\n+six\n 7\n 8\n\
                        @@ -11,2 +11,3 @@\n 11\n 12\n+13\n";
        assert_eq!(difference(["old", "new"], old, new), expected);
        assert_eq!(difference(["old", "new"], new, new), "");
        assert_eq!(difference(["a", "a"], "", "1\n"), "--- a\n+++ a\n@@ -1,0 +1,1 @@\n+1\n");
    }
}
