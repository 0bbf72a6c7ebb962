#![no_main]
#![allow(dead_code, reason = "a fuzzer uses less of the simulator than its tests do")]

include!("../../tests/sim/modules.rs");

libfuzzer_sys::fuzz_target!(|data: &[u8]| script::live(data));
