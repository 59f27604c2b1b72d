//! The short commands: those that need no gateway, and those that ask a running one.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use penstock_model::{Problem, SECRET_CHARS_MAX};

use crate::args::{CheckArgs, HashArgs, InitArgs, Place};
use crate::control::{self, Request};
use crate::keys;
use crate::source::Source;

/// Exit code of a configuration that is wrong, or of a command that was refused.
pub(crate) const EXIT_REFUSED: u8 = 1;

/// `penstock check`.
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let source = Source::of(&args.config);
    match source.check() {
        Err(problems) => refuse(&problems),
        Ok(configuration) if args.explain => print(&configuration.explain()),
        Ok(_) => print(&format!("{}: good\n", source.shown())),
    }
}

/// Prints problems, one a line, with the marked source lines under them on a terminal.
pub(crate) fn refuse(problems: &[Problem]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    let excerpts = stderr.is_terminal();
    for problem in problems {
        // Nobody can be told that stderr does not work.
        let _ = writeln!(stderr, "{problem}");
        if excerpts && !problem.snippet.is_empty() {
            for line in problem.excerpt().lines() {
                let _ = writeln!(stderr, "    {line}");
            }
        }
    }
    ExitCode::from(EXIT_REFUSED)
}

/// `penstock init`.
pub(crate) fn init(args: &InitArgs) -> ExitCode {
    if args.file == Path::new("-") {
        return print(penstock_model::init());
    }
    let shown = args.file.display();
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file)
        .and_then(|mut file| file.write_all(penstock_model::init().as_bytes()));
    match written {
        Ok(()) => print(&format!(
            "{shown} is written. Next: edit it, `penstock check --config {shown}`, `penstock run --config {shown}`\n"
        )),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fail(&anyhow::anyhow!("{shown} is there already and was not touched"))
        }
        Err(error) => fail(&anyhow::anyhow!("cannot write {shown}: {error}")),
    }
}

/// `penstock schema`.
pub(crate) fn schema() -> ExitCode {
    let mut text = penstock_model::schema();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print(&text)
}

/// `penstock reload`: a configuration that is named is checked here first, as the gateway would refuse it too.
pub(crate) fn reload(place: &Place) -> ExitCode {
    if place.data_dir.is_none()
        && let source @ Source::Files(_) = Source::of(&place.config)
        && let Err(problems) = source.check()
    {
        return refuse(&problems);
    }
    live(place, &Request::Reload)
}

/// A command to a running gateway.
pub(crate) fn live(place: &Place, request: &Request) -> ExitCode {
    match data_dir(place).and_then(|dir| control::ask(&dir, request)) {
        Ok(reply) if reply.ok => print(&format!("{}\n", reply.message)),
        Ok(reply) => {
            // Nobody can be told that stderr does not work.
            let _ = writeln!(io::stderr(), "{}", reply.message);
            ExitCode::from(EXIT_REFUSED)
        }
        Err(error) => fail(&error),
    }
}

/// `penstock credential hash`.
pub(crate) fn credential_hash(args: &HashArgs) -> ExitCode {
    match hashed(args) {
        Ok(text) => print(&text),
        Err(error) => fail(&error),
    }
}

fn hashed(args: &HashArgs) -> anyhow::Result<String> {
    let dir = data_dir(&args.place)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let keys = keys::hash_keys(&dir)?;
    let Some(key) = keys.first() else { anyhow::bail!("there is no hash key") };
    if args.generate {
        let secret = keys::new_api_key();
        let hash = penstock_model::show_hash(key, &secret);
        return Ok(format!("key   {secret}\nhash  {hash}\n"));
    }
    let mut secret = String::new();
    io::stdin().take(4 * SECRET_CHARS_MAX as u64 + 2).read_to_string(&mut secret)?;
    let secret = secret.trim_end_matches(['\r', '\n']);
    use penstock_model::SECRET_CHARS_MIN;
    let chars = secret.chars().count();
    if !(SECRET_CHARS_MIN..=SECRET_CHARS_MAX).contains(&chars) {
        anyhow::bail!("a key has {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters, this one has {chars}");
    }
    Ok(format!("{}\n", penstock_model::show_hash(key, secret)))
}

/// The data directory of the gateway that is meant.
///
/// # Errors
/// A configuration that is wrong.
pub(crate) fn data_dir(place: &Place) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &place.data_dir {
        return Ok(dir.clone());
    }
    Source::of(&place.config).process().map(|process| process.data_dir).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}\nthe data directory is not known: name it with --data-dir", lines.join("\n"))
    })
}

pub(crate) fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough (`| head`) is no failure.
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&error.into()),
    }
}

pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // Nobody can be told that stderr does not work.
    let _ = writeln!(io::stderr(), "penstock: {error:#}");
    ExitCode::from(EXIT_REFUSED)
}
