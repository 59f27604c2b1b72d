//! Any bytes as a certificate.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|der: &[u8]| penstock_dataplane::tls::fuzz::certificate(der));
