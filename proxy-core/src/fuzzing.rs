//! The entry points of the fuzzer: one function for each place that parses foreign bytes, with the properties
//! that must always hold. No program contains this code: the package `fuzz` builds it with the feature of this
//! name, and the tests run every file of its corpus through it.

mod driver;
mod requests;
mod settings;

pub use driver::json_rpc;
pub use requests::{chat_request, responses_request};
pub use settings::settings;

/// Parses npm packages of Codex.
pub fn archive(bytes: &[u8]) {
    crate::codex_install::fuzz_archive(bytes);
}

/// Parses settings of npm.
pub fn npmrc(bytes: &[u8]) {
    crate::codex_install::fuzz_npmrc(bytes);
}

/// Parses server-sent events.
pub fn event_stream(bytes: &[u8]) {
    crate::event_stream::fuzz(bytes);
}

/// Unpacks request bodies with a content coding.
pub fn packed_body(bytes: &[u8]) {
    crate::http::fuzz_body(bytes);
}

/// Reads text frames of WebSockets.
pub fn socket_frame(bytes: &[u8]) {
    crate::http::websocket::fuzz(bytes);
}

/// Splits the output of Codex into lines.
pub fn line_reader(bytes: &[u8]) {
    crate::worker::fuzz_lines(bytes);
}

/// A function that takes bytes, and panics if a property does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive", archive),
    ("chat_request", chat_request),
    ("event_stream", event_stream),
    ("json_rpc", json_rpc),
    ("line_reader", line_reader),
    ("npmrc", npmrc),
    ("packed_body", packed_body),
    ("responses_request", responses_request),
    ("settings", settings),
    ("socket_frame", socket_frame),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_corpus_is_taken() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        for (name, target) in TARGETS {
            let files = std::fs::read_dir(corpus.join(name)).unwrap();
            let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty(), "{name} has a corpus");
            for file in files {
                let bytes = std::fs::read(&file).unwrap();
                let run = std::panic::catch_unwind(|| target(&bytes));
                assert!(run.is_ok(), "{}", file.display());
            }
        }
        let folders = std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().file_name());
        let known = |name: &std::ffi::OsString| TARGETS.iter().any(|(target, _)| *name == **target);
        assert_eq!(folders.filter(|name| !known(name)).count(), 0, "every corpus has its target");
    }

    #[test]
    fn the_fuzzer_has_every_target() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml");
        let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
        let bins = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
        let mut bins: Vec<&str> = bins.collect();
        bins.sort_unstable();
        assert_eq!(bins, TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
