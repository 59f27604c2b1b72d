//! What the `Connection` and `Upgrade` fields say (RFC 9110 sections 7.6.1 and 7.8).
//!
//! A sender may list field names in `Connection`, which are then not relayed. That is a way to strip a field that the
//! gateway judged by, or that an upstream trusts, so a name of [`FieldId`]'s list that is not hop-by-hop by nature
//! (Host, Content-Length, Authorization, Cookie, X-Forwarded-For, X-Penstock-...) is not dropped when it is listed:
//! the listing is ignored, the field stays, and what was judged is what is relayed. Names outside the list are
//! dropped as the RFC says; the gateway writes its own fields after that.

use crate::code::Code;
use crate::field::FieldId;
use crate::head::{FieldTable, Upgrade};
use crate::scan::{Refusal, is_token_byte, list_items, refuse};

/// Names that the Connection fields of a message may list.
pub const CONNECTION_OPTIONS_MAX: usize = 32;

/// What the Connection fields ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

/// Reads all Connection fields and marks the fields that they name as dropped.
///
/// Costs nothing without the field, a few comparisons for `keep-alive`, and at most [`CONNECTION_OPTIONS_MAX`] walks
/// over the table.
#[inline]
pub(crate) fn resolve(buf: &[u8], fields: &mut FieldTable) -> Result<Options, Refusal> {
    if !fields.has(FieldId::Connection) {
        return Ok(Options::default());
    }
    read_options(buf, fields)
}

fn read_options(buf: &[u8], fields: &mut FieldTable) -> Result<Options, Refusal> {
    let mut options = Options::default();
    let Some(first) = fields.get(FieldId::Connection) else { return Ok(options) };
    // the case of nearly every call
    if !fields.is_repeated(FieldId::Connection) {
        let value = first.value.of(buf);
        if value.eq_ignore_ascii_case(b"keep-alive") {
            options.keep_alive = true;
            return Ok(options);
        }
        if value.eq_ignore_ascii_case(b"close") {
            options.close = true;
            return Ok(options);
        }
    }
    let mut seen = 0;
    for index in 0..fields.len() {
        let field = fields.as_slice()[index];
        if field.id != FieldId::Connection {
            continue;
        }
        for option in list_items(field.value.of(buf)) {
            let at = usize::from(field.value.start);
            seen += 1;
            if seen > CONNECTION_OPTIONS_MAX {
                return refuse(Code::TooManyOptions, "Connection lists too many names", at);
            }
            if !option.iter().all(|&b| is_token_byte(b)) {
                return refuse(Code::BadHeader, "a connection option is not a token", at);
            }
            if option.eq_ignore_ascii_case(b"close") {
                options.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                options.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                options.upgrade = true;
            } else if FieldId::lookup(option) == FieldId::Other {
                fields.drop_name(buf, option);
            }
        }
    }
    Ok(options)
}

/// What the Upgrade fields offer; WebSocket wins over all, h2c over the unknown.
pub(crate) fn upgrade_offer(buf: &[u8], fields: &FieldTable) -> Option<Upgrade> {
    let mut offer = None;
    for field in fields.all(FieldId::Upgrade) {
        for protocol in list_items(field.value.of(buf)) {
            if protocol.eq_ignore_ascii_case(b"websocket") {
                return Some(Upgrade::WebSocket);
            }
            if protocol.eq_ignore_ascii_case(b"h2c") {
                offer = Some(Upgrade::H2c);
            } else if offer.is_none() {
                offer = Some(Upgrade::Other);
            }
        }
    }
    offer
}
