//! The control socket: `data_dir/control.sock`, mode 0600. One JSON object a line in, one a line out. Live commands
//! (`reload`, `drain`, `status`) go through it, so whoever may write there may change the gateway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Name of the socket in the data directory.
pub(crate) const SOCKET: &str = "control.sock";
/// Bytes of one request.
pub(crate) const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Requests that are answered at once; a further one is hung up on.
pub(crate) const REPLIES_MAX: usize = 32;
/// Pause after a failed accept.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a peer of the socket may take to send its line.
pub(crate) const READ_MAX: Duration = Duration::from_secs(5);

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Read the configuration anew and serve it.
    Reload,
    /// Finish what is under way and end.
    Drain,
    /// Say how it goes.
    Status,
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// What was done, or why not; several lines where there are several errors.
    pub message: String,
}

/// Answers requests until the process ends. `replies` counts those that are being answered.
///
/// # Errors
/// When the socket cannot be made, or another process serves it.
pub(crate) fn serve(
    data_dir: &Path,
    replies: Arc<AtomicUsize>,
    handle: impl Fn(Request) -> Reply + Send + Sync + 'static,
) -> io::Result<PathBuf> {
    let path = data_dir.join(SOCKET);
    if UnixStream::connect(&path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another gateway uses this data directory"));
    }
    std::fs::remove_file(&path)
        .or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
    // The data directory is 0700: nobody else can come between these two.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let handle = Arc::new(handle);
    thread::Builder::new().name("penstock-control".into()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                #[allow(clippy::disallowed_methods, reason = "a thread of its own that only waits")]
                thread::sleep(ACCEPT_PAUSE); // no descriptor is left, above all: it would spin
                continue;
            };
            if replies.load(Ordering::Acquire) >= REPLIES_MAX {
                continue;
            }
            let handle = handle.clone();
            let place = Place::new(&replies);
            let served = thread::Builder::new().name("penstock-command".into()).spawn(move || {
                // Who asked has gone; the order stands.
                answer(&stream, &*handle).ok();
                drop(place);
            });
            drop(served);
        }
    })?;
    Ok(path)
}

/// Counts an answer for as long as it takes.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn new(replies: &Arc<AtomicUsize>) -> Self {
        replies.fetch_add(1, Ordering::AcqRel);
        Self(replies.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Takes the socket away, so that commands are told at once that there is no gateway.
pub(crate) fn remove(data_dir: &Path) {
    // If it stays, connecting to it is refused, which tells the same.
    std::fs::remove_file(data_dir.join(SOCKET)).ok();
}

fn answer(stream: &UnixStream, handle: &dyn Fn(Request) -> Reply) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_MAX))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let reply = match serde_json::from_str(&line) {
        Ok(request) => handle(request),
        Err(error) => Reply { ok: false, message: format!("not a command: {error}") },
    };
    let mut out = serde_json::to_vec(&reply)?;
    out.push(b'\n');
    (&mut &*stream).write_all(&out)
}

/// Asks a running gateway.
///
/// # Errors
/// When there is none, or it does not answer.
pub(crate) fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Reply> {
    let path = data_dir.join(SOCKET);
    let stream = UnixStream::connect(&path).map_err(|error| {
        anyhow::anyhow!(
            "no gateway answers at {}: {error} (is it running with this data_dir?)",
            path.display()
        )
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&mut &stream).write_all(&line)?;
    let mut reply = String::new();
    BufReader::new(&stream).read_line(&mut reply)?;
    anyhow::ensure!(!reply.is_empty(), "the gateway hung up; ask again");
    Ok(serde_json::from_str(&reply)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_and_answers_and_refuses_a_second_gateway() {
        let dir = std::env::temp_dir().join(format!("penstock-control-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let handle = |request| Reply { ok: request == Request::Status, message: format!("{request:?}") };
        let path = serve(&dir, Arc::default(), handle).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ask(&dir, &Request::Status).unwrap(), Reply { ok: true, message: "Status".into() });
        assert!(!ask(&dir, &Request::Drain).unwrap().ok);
        assert_eq!(serve(&dir, Arc::default(), handle).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
