#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proxy_core::fuzzing::socket_frame(bytes));
