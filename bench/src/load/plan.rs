//! Turns the options of a load run into what its threads need, with every check that can be made before the first
//! connect.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::args::{LoadArgs, RunArgs};
use super::request::{Mix, Request, RequestParts, key_field};
use crate::units::Rate;

/// Longest mix or key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Requests in a mix.
pub(super) const MIX_REQUESTS_MAX: usize = 10_000;
/// Time of a round when neither time nor number of requests is given.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// A run that can be started.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) mix: Mix,
    /// Fields with the keys, for each style in which a request may carry one; the same keys in the same order.
    pub(crate) key_fields: Vec<Vec<Bytes>>,
    /// Answers are those of language models.
    pub(crate) llm: bool,
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) warmup: Duration,
    /// Measured time of a round.
    pub(crate) duration: Option<Duration>,
    /// Requests of a round.
    pub(crate) requests: Option<u64>,
    pub(crate) open: Option<Open>,
    pub(crate) drain: Duration,
    pub(crate) per_connection: Option<u64>,
    pub(crate) timeout: Duration,
    pub(crate) rounds: u16,
    pub(crate) seed: u64,
    pub(crate) cores: Option<Vec<usize>>,
}

/// Planned arrivals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) rate: Rate,
    pub(crate) ramp: Duration,
    pub(crate) poisson: bool,
}

/// Line of a mix file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixLine {
    #[serde(default)]
    method: Option<String>,
    path: String,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    body: Option<String>,
    body_size: Option<usize>,
    body_file: Option<std::path::PathBuf>,
    chunked: Option<usize>,
    weight: Option<u32>,
}

impl Plan {
    /// Checks the options and reads the files that they name.
    ///
    /// # Errors
    /// A sentence that names the option or the line of the file.
    pub(crate) fn new(args: &LoadArgs) -> Result<Self, String> {
        let (host, path) = split_url(&args.url)?;
        let keys = args
            .keys
            .as_deref()
            .map_or(Ok(Vec::new()), |file| keys(file, &|key| key_field(&args.key_header, key)))?;
        Self::of(&args.run, &args.url, host, (mix(args, host, path)?, vec![keys]), false)
    }

    /// Checks what every kind of load can be told.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub(super) fn of(
        args: &RunArgs,
        url: &str,
        host: &str,
        (mix, key_fields): (Mix, Vec<Vec<Bytes>>),
        llm: bool,
    ) -> Result<Self, String> {
        let address = resolve(host)?;
        let threads = usize::from(args.threads);
        let connections = args.connections as usize;
        if connections < threads {
            return Err(format!("{connections} connections cannot be shared by {threads} threads"));
        }
        let duration = args.duration.or(args.requests.is_none().then_some(DURATION_DEFAULT));
        if duration == Some(Duration::ZERO) {
            return Err("--duration must be above zero".into());
        }
        let open = match args.rate {
            None => None,
            Some(rate) => {
                let constant = rate.from == rate.to;
                if !constant && args.ramp.is_none() && duration.is_none() {
                    return Err("a ramped --rate needs --ramp or --duration".into());
                }
                let whole = args.warmup + duration.unwrap_or_default();
                let ramp = if constant { Duration::ZERO } else { args.ramp.unwrap_or(whole) };
                Some(Open { rate, ramp, poisson: args.poisson })
            }
        };
        Ok(Self {
            address,
            url: url.to_owned(),
            mix,
            key_fields,
            llm,
            connections,
            threads,
            warmup: args.warmup,
            duration,
            requests: args.requests,
            open,
            drain: args.drain,
            per_connection: args.per_connection,
            timeout: args.timeout,
            rounds: args.rounds,
            seed: args.seed,
            cores: args.cores.clone(),
        })
    }
}

pub(super) fn split_url(url: &str) -> Result<(&str, &str), String> {
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(match url.split_once("://") {
            Some(("https", _)) => "https is not supported by this generator; load plain HTTP/1.1".into(),
            _ => format!("`{url}` is not an address such as http://127.0.0.1:8080/path"),
        });
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.is_empty() || host.contains('@') {
        return Err(format!("`{url}` needs a host, without a user"));
    }
    if path.starts_with('?') {
        return Err(format!("`{url}` needs a / before the ?"));
    }
    Ok((host, if path.is_empty() { "/" } else { path }))
}

fn resolve(host: &str) -> Result<SocketAddr, String> {
    let bracketed_without_port = host.starts_with('[') && host.ends_with(']');
    let named =
        if bracketed_without_port || !host.contains(':') { format!("{host}:80") } else { host.to_owned() };
    named
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve `{host}`: {error}"))?
        .next()
        .ok_or_else(|| format!("`{host}` has no address"))
}

fn mix(args: &LoadArgs, host: &str, path: &str) -> Result<Mix, String> {
    let shared = args.headers.iter().map(|field| header(field)).collect::<Result<Vec<_>, _>>()?;
    let requests = match &args.mix {
        None => {
            let body = body(args.body.as_deref(), args.body_size, args.body_file.as_deref())?;
            if args.chunked.is_some() && body.is_none() {
                return Err("--chunked needs a body".into());
            }
            let parts = RequestParts {
                method: &args.method,
                path,
                host,
                headers: &shared,
                body: body.as_deref(),
                chunked: args.chunked,
                weight: 1,
            };
            vec![Request::encode(&parts)?]
        }
        Some(file) => read_lines(file)?
            .iter()
            .map(|(number, line)| {
                let at = |error: String| format!("{}:{number}: {error}", file.display());
                let line: MixLine = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
                mix_line(&line, host, &shared, args.chunked).map_err(at)
            })
            .collect::<Result<_, _>>()?,
    };
    if requests.len() > MIX_REQUESTS_MAX {
        return Err(format!("a mix may hold {MIX_REQUESTS_MAX} requests, this one has {}", requests.len()));
    }
    Mix::new(requests).ok_or_else(|| "the mix is empty".to_owned())
}

fn mix_line(
    line: &MixLine,
    host: &str,
    shared: &[(String, String)],
    chunked: Option<usize>,
) -> Result<Request, String> {
    let mut headers = shared.to_vec();
    headers.extend(line.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    let body = body(line.body.as_deref(), line.body_size, line.body_file.as_deref())?;
    Request::encode(&RequestParts {
        method: line.method.as_deref().unwrap_or("GET"),
        path: &line.path,
        host,
        headers: &headers,
        body: body.as_deref(),
        chunked: line.chunked.or(chunked),
        weight: line.weight.unwrap_or(1),
    })
}

pub(super) fn header(field: &str) -> Result<(String, String), String> {
    let (name, value) =
        field.split_once(':').ok_or_else(|| format!("header `{field}` must be written as `name: value`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn body(text: Option<&str>, size: Option<usize>, file: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    match (text, size, file) {
        (None, None, None) => Ok(None),
        (Some(text), None, None) => Ok(Some(text.as_bytes().to_vec())),
        (None, Some(size), None) => Ok(Some(vec![b'x'; size])),
        (None, None, Some(file)) => {
            std::fs::read(file).map(Some).map_err(|error| format!("cannot read {}: {error}", file.display()))
        }
        _ => Err("a request has one of body, body_size and body_file".into()),
    }
}

/// The fields that `field` makes of the lines of a file.
pub(super) fn keys(file: &Path, field: &dyn Fn(&str) -> Result<Bytes, String>) -> Result<Vec<Bytes>, String> {
    let fields = read_lines(file)?
        .iter()
        .map(|(number, key)| {
            field(key.trim()).map_err(|error| format!("{}:{number}: {error}", file.display()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if fields.is_empty() {
        return Err(format!("{} holds no key", file.display()));
    }
    Ok(fields)
}

/// Lines that are not blank, with their numbers.
fn read_lines(file: &Path) -> Result<Vec<(usize, String)>, String> {
    let unreadable = |error: std::io::Error| format!("cannot read {}: {error}", file.display());
    if std::fs::metadata(file).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(format!("{} is longer than 1 GiB", file.display()));
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    Ok(text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", Some(("127.0.0.1:8080", "/"))),
            ("http://127.0.0.1:8080/a?b=c", Some(("127.0.0.1:8080", "/a?b=c"))),
            ("http://[::1]:80/x", Some(("[::1]:80", "/x"))),
            ("https://a/", None),
            ("127.0.0.1:8080", None),
            ("http:///x", None),
            ("http://user@host/", None),
            ("http://host?x", None),
        ] {
            assert_eq!(split_url(url).ok(), expected, "{url}");
        }
        assert_eq!(resolve("127.0.0.1").unwrap().port(), 80);
        assert_eq!(resolve("[::1]").unwrap().port(), 80);
        assert_eq!(resolve("[::1]:9").unwrap().port(), 9);
    }

    #[test]
    fn mix_lines_say_what_is_wrong() {
        let encode = |text: &str| {
            serde_json::from_str::<MixLine>(text)
                .map_err(|error| error.to_string())
                .and_then(|line| mix_line(&line, "h", &[], None))
        };
        assert!(
            encode(r#"{"path":"/a","method":"POST","body_size":3,"headers":{"a":"b"},"weight":2}"#).is_ok()
        );
        for (text, words) in [
            (r#"{"method":"GET"}"#, "missing field `path`"),
            (r#"{"path":"/a","wieght":1}"#, "unknown field `wieght`"),
            (r#"{"path":"/a","body":"x","body_size":3}"#, "one of body"),
            (r#"{"path":"a"}"#, "must begin with /"),
        ] {
            let error = encode(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
