//! The first bytes of a connection in one piece and byte by byte; rustls's reader of the same bytes is the judge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_dataplane::tls::hello::{EXTENSIONS_MAX, First, HELLO_BYTES_MAX, HelloError, read_first};
use rustls::server::Acceptor;

fuzz_target!(|bytes: &[u8]| {
    let whole = read_first(bytes);
    for cut in 0..bytes.len().min(400) {
        match read_first(&bytes[..cut]) {
            Ok(First::Incomplete) => {}
            // Once told, the verdict stands, whatever follows.
            Ok(First::PlainHttp) => assert_eq!(whole, Ok(First::PlainHttp)),
            Ok(First::Hello(early)) => match &whole {
                Ok(First::Hello(hello)) => assert_eq!(early.message(), hello.message()),
                other => panic!("{other:?}"),
            },
            Err(early) => assert!(whole.is_err(), "{early}"),
        }
    }
    if let Ok(First::Hello(hello)) = &whole {
        assert!(hello.message().len() <= HELLO_BYTES_MAX && hello.extensions().count() <= EXTENSIONS_MAX);
        let _ = hello.supported_versions().count();
    }

    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    let accepted = loop {
        match acceptor.read_tls(&mut rest) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err(_) => return,
        }
    };
    let theirs = accepted.client_hello();
    let ours = match &whole {
        Ok(First::Hello(hello)) => hello,
        // Our bounds are tighter, and a record of SSL 2.0 is none of ours.
        Err(HelloError::TooLarge | HelloError::NotHandshake) => return,
        Err(HelloError::Broken("number of extensions" | "record length")) => return,
        other => panic!("rustls reads a hello where we see {other:?}"),
    };
    let lower = |name: &str| name.to_ascii_lowercase();
    assert_eq!(ours.server_name().map(lower), theirs.server_name().map(lower));
    let suites: Vec<u16> = theirs.cipher_suites().iter().map(|&suite| suite.into()).collect();
    assert_eq!(ours.cipher_suites().collect::<Vec<_>>(), suites);
    let protocols: Vec<&[u8]> = theirs.alpn().map(Iterator::collect).unwrap_or_default();
    assert_eq!(ours.alpn().collect::<Vec<_>>(), protocols);
});
