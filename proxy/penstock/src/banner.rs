//! What is printed when the gateway serves: short, aligned, each line whole, plain when it is no terminal.

use std::fmt::Write;

/// What there is to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Banner {
    /// What the workers do I/O with.
    pub driver: String,
    /// How many and where.
    pub workers: String,
    /// Addresses with their scheme.
    pub gateway: Vec<String>,
    /// Address of the admin listener; none if it could not be had.
    pub admin: Option<String>,
    /// Where the configuration is from.
    pub config: String,
    /// Data directory.
    pub data: String,
    /// Key of the demo app.
    pub demo_key: Option<String>,
    /// Lines to paste.
    pub calls: Vec<String>,
}

impl Banner {
    /// The text. `colour` for terminals.
    pub(crate) fn text(&self, colour: bool) -> String {
        let (bold, dim, plain) = if colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{bold}penstock {}{plain}\n\n", env!("CARGO_PKG_VERSION"));
        let mut line = |label: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {dim}{label:9}{plain} {value}");
        };
        for address in &self.gateway {
            line("gateway", address);
        }
        line("admin", self.admin.as_deref().unwrap_or("none (see above)"));
        line("workers", &self.workers);
        line("driver", &self.driver);
        line("config", &self.config);
        line("data", &self.data);
        if let Some(key) = &self.demo_key {
            line("demo key", key);
        }
        if !self.calls.is_empty() {
            let _ = writeln!(text, "\n  {dim}try{plain}");
            for call in &self.calls {
                let _ = writeln!(text, "  {call}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_plain_when_it_is_no_terminal() {
        let banner = Banner {
            driver: "epoll".into(),
            workers: "1 worker on cpu 0".into(),
            gateway: vec!["http://127.0.0.1:8080".into()],
            admin: None,
            config: "a.yaml".into(),
            data: "./penstock-data".into(),
            demo_key: Some("psk_demo_1".into()),
            calls: vec!["curl -i http://127.0.0.1:8080/demo/hello".into()],
        };
        let text = banner.text(false);
        assert!(!text.contains('\x1b') && text.is_ascii());
        assert!(text.contains("\n  gateway   http://127.0.0.1:8080\n"), "{text}");
        assert!(text.contains("\n  curl -i http://127.0.0.1:8080/demo/hello\n"), "{text}");
        assert!(banner.text(true).contains("\x1b[1m"));
    }
}
