//! A TLS server on one pinned core that answers every request with a fixed number of bytes, for measuring by
//! hand: `tls_echo ADDRESS CERT KEY BODY_BYTES [epoll]`. Reads heads without bodies; closes after a request of HTTP/1.0
//! or one that asks for it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;

use penstock_dataplane::buf::{Buf, LARGE};
use penstock_dataplane::deadline::Wheel;
use penstock_dataplane::driver::{self, Choice};
use penstock_dataplane::stream::Stream;
use penstock_dataplane::sys;
use penstock_dataplane::tls::certs::{CertResolver, CertSet, Certificate, UnknownName};
use penstock_dataplane::tls::server::{ServerSettings, ServerTls, TicketKeys, accept};
use penstock_dataplane::tls::{TlsBufs, TlsError};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, cert, key, body, driver @ ..] = &arguments[..] else {
        return Err("tls_echo ADDRESS CERT KEY BODY_BYTES [epoll]".into());
    };
    let choice = if driver.first().is_some_and(|d| d == "epoll") { Choice::Epoll } else { Choice::Auto };
    let certificate = Certificate::load(Path::new(cert), Path::new(key))?;
    let set = CertSet::new(&[certificate], 0, UnknownName::Default)?;
    let tls = ServerTls::new(&ServerSettings::default(), CertResolver::new(set), &TicketKeys::new()?)?;
    let body: usize = body.parse()?;
    let address: SocketAddr = address.parse()?;
    sys::pin_to_cpu(0)?;
    driver::run(driver::choose(choice)?, |d| {
        println!("{d}");
        serve(address, tls, body, d.wants_nonblocking())
    })??;
    Ok(())
}

async fn serve(address: SocketAddr, tls: ServerTls, body: usize, nonblocking: bool) -> std::io::Result<()> {
    let listener = TcpListener::from(sys::listen_tcp(address, 1024)?);
    listener.set_nonblocking(nonblocking)?;
    let listener = monoio::net::TcpListener::from_std(listener)?;
    let (bufs, wheel) = (TlsBufs::new(Rc::default()), Wheel::new(sys::monotonic_ns()));
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {body}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + body, b'x');
    let answer: Rc<[u8]> = answer.into();
    loop {
        let (socket, _) = listener.accept().await?;
        let stream = Stream::tcp(socket, &wheel);
        let (tls, bufs, answer) = (tls.clone(), bufs.clone(), answer.clone());
        monoio::spawn(async move {
            // A connection that breaks is of no interest here.
            connection(stream, &tls, &bufs, &answer).await.ok();
        });
    }
}

async fn connection(
    stream: Stream,
    tls: &ServerTls,
    bufs: &Rc<TlsBufs>,
    answer: &[u8],
) -> Result<(), TlsError> {
    let (mut stream, _) = accept(stream, tls, bufs).await?;
    let mut head = bufs.pool().small();
    loop {
        while !head.bytes().ends_with(b"\r\n\r\n") {
            let (result, buf) = stream.reader.read(|| std::mem::take(&mut head)).await;
            head = buf;
            if !matches!(result, Ok(1..)) {
                // close_notify, or the alert that says what broke.
                bufs.pool().put(head);
                stream.writer.finish().await?;
                return Ok(());
            }
        }
        let says = |what: &[u8]| head.bytes().windows(what.len()).any(|w| w.eq_ignore_ascii_case(what));
        let close = says(b" HTTP/1.0\r") || says(b"connection: close");
        head.clear();
        for piece in answer.chunks(LARGE) {
            let mut out: Buf = if answer.len() < 4096 { bufs.pool().small() } else { bufs.pool().large() };
            out.push(piece);
            let (result, out) = stream.writer.write_all(out).await;
            bufs.pool().put(out);
            result?;
        }
        if close {
            stream.writer.finish().await?;
            return Ok(());
        }
    }
}
