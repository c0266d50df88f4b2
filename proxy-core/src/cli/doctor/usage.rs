//! Checks of the usage database: current damage and earlier damage.

use super::{Finding, Ground};
use crate::usage::{Inspection, inspect};

pub(super) async fn look(ground: &Ground) -> Vec<Finding> {
    let config = ground.config.usage.clone();
    let is_there = config.database.symlink_metadata().is_ok();
    // The inspection reads the whole database.
    match tokio::task::spawn_blocking(move || inspect(&config)).await {
        Ok(inspection) => vec![database(is_there, &inspection), kept(&inspection)],
        Err(error) => vec![Finding::skipped("usage_database", error.to_string())],
    }
}

fn database(is_there: bool, inspection: &Inspection) -> Finding {
    const CHECK: &str = "usage_database";
    match &inspection.problem {
        Some(problem) => Finding::fail(
            CHECK,
            problem.to_string(),
            "A damaged one is kept, and a new one made of what can be read and the journal, at the next start or as \
             soon as the running proxy meets the damage. For anything else see what `codex-proxy logs` says.",
        ),
        None if is_there => Finding::ok(CHECK, "all of it can be read"),
        None => Finding::ok(CHECK, "there is none yet"),
    }
}

fn kept(inspection: &Inspection) -> Finding {
    const CHECK: &str = "usage_damage";
    if inspection.kept.is_empty() {
        return Finding::ok(CHECK, "nothing of the usage database or its journal was ever set aside");
    }
    let names: Vec<String> = inspection.kept.iter().map(|path| path.display().to_string()).collect();
    Finding::warn(
        CHECK,
        format!("what was damaged earlier is kept: {}", names.join(", ")),
        "What could be read of it is counted. Remove it when you do not need it any more.",
    )
}
