//! A program that starts and then does nothing, whatever input it gets.

fn main() {
    loop {
        std::thread::park();
    }
}
