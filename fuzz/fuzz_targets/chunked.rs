//! A chunked body in one piece, in two, and byte by byte; what is relayed reads back as the same content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use penstock_http::{ChunkScanner, Code, Kind};

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = read(bytes, [bytes.len()].into_iter());
    let cut = usize::from(cut) % (bytes.len() + 1);
    assert_eq!(whole, read(bytes, [cut, bytes.len()].into_iter()));
    assert_eq!(whole, read(bytes, 0..=bytes.len()));
    let Ok(whole) = whole else { return };
    let again =
        read(&whole.relayed, [whole.relayed.len()].into_iter()).expect("what is relayed is a chunked body");
    assert_eq!((&again.content, again.done), (&whole.content, whole.done));
    assert_eq!(again.relayed, whole.relayed, "nothing is left to drop");
});

#[derive(Debug, Default, PartialEq)]
struct Read {
    content: Vec<u8>,
    relayed: Vec<u8>,
    done: bool,
}

fn read(bytes: &[u8], ends: impl Iterator<Item = usize>) -> Result<Read, Code> {
    let mut scanner = ChunkScanner::new();
    let mut read = Read::default();
    let mut at = 0;
    for end in ends {
        loop {
            let step = scanner.step(&bytes[at..end]).map_err(|refusal| refusal.code)?;
            let piece = &bytes[at..at + step.len];
            at += step.len;
            match step.kind {
                Kind::Data => {
                    read.content.extend_from_slice(piece);
                    read.relayed.extend_from_slice(piece);
                }
                Kind::Framing => read.relayed.extend_from_slice(piece),
                Kind::Dropped => {}
                Kind::Trailers => scanner.trailers().expect("trailers").write(&mut read.relayed),
                Kind::NeedMore | Kind::End => break,
            }
        }
    }
    read.done = scanner.is_done();
    Ok(read)
}
