//! Has the program built again when there is another window to put into it.

use std::path::Path;

fn main() {
    let built = Path::new("../ui/dist");
    // A path that is not there would have everything built anew each time, so its parent tells of its coming.
    let watched = if built.exists() { built } else { Path::new("../ui") };
    if watched.exists() {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}
