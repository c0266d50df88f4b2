//! A program that starts and then does nothing, whatever it is told.

fn main() {
    loop {
        std::thread::park();
    }
}
