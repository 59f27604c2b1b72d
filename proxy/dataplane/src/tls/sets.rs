//! The TLS of one configuration: every listener's certificates and every upstream's roots, read and checked on the
//! control side before anything is handed out. What a listener keeps over a change (ticket keys) is taken from the
//! set before.

use std::collections::HashMap;
use std::path::PathBuf;

use penstock_gate::Snapshot;
use penstock_gate::spec::{
    Address, CertificateClientMode, ListenerTls, PemSource, Scheme, TlsVersion, Uid, UpstreamTls, Verify,
};

use super::certs::{CertResolver, CertSet, Certificate, UnknownName};
use super::client::{ClientSettings, ClientTls, Identity, Roots};
use super::error::ConfigError;
use super::provider::MinVersion;
use super::server::{ClientAuth, ServerSettings, ServerTls, TicketKeys};

/// The TLS of one configuration.
#[derive(Debug, Default)]
pub struct TlsSets {
    listeners: HashMap<Address, ListenerSet>,
    upstreams: HashMap<Uid, ClientTls>,
}

#[derive(Debug)]
struct ListenerSet {
    client_auth: ClientAuth,
    tickets: TicketKeys,
    tls: ServerTls,
}

impl TlsSets {
    /// Reads what `snapshot` names. Files are read anew at each call, so that a changed certificate comes in with
    /// a reload; ticket keys of listeners are kept unless what is asked of clients has changed.
    ///
    /// # Errors
    /// The first file or setting that cannot be used.
    pub fn build(snapshot: &Snapshot, previous: Option<&TlsSets>) -> Result<Self, ConfigError> {
        let mut sets = Self::default();
        for listener in snapshot.listeners() {
            if let Some(tls) = &listener.tls {
                let kept = previous.and_then(|sets| sets.listeners.get(&listener.address));
                sets.listeners.insert(listener.address.clone(), listener_set(tls, kept)?);
            }
        }
        for upstream in snapshot.upstreams() {
            if upstream.targets.iter().any(|target| target.scheme == Scheme::Https) {
                sets.upstreams.insert(upstream.uid, ClientTls::new(&client_settings(&upstream.tls)?)?);
            }
        }
        Ok(sets)
    }

    /// The TLS of the listener at `address`, if it has any.
    pub fn listener(&self, address: &Address) -> Option<&ServerTls> {
        self.listeners.get(address).map(|set| &set.tls)
    }

    /// The TLS towards an upstream, if one of its targets has any.
    pub fn upstream(&self, uid: Uid) -> Option<&ClientTls> {
        self.upstreams.get(&uid)
    }
}

fn file(source: &PemSource) -> Result<PathBuf, ConfigError> {
    match source {
        PemSource::File(path) => Ok(path.clone()),
        PemSource::Text(_) => Err(ConfigError::Pem {
            path: PathBuf::from("(inline)"),
            reason: "certificates and keys are read from files only".to_owned(),
        }),
    }
}

fn listener_set(tls: &ListenerTls, kept: Option<&ListenerSet>) -> Result<ListenerSet, ConfigError> {
    let client_auth = match &tls.client {
        None => ClientAuth::None,
        Some(client) => match (client.mode, file(&client.ca)?) {
            (CertificateClientMode::Optional, ca) => ClientAuth::Optional { ca },
            (CertificateClientMode::Required, ca) => ClientAuth::Required { ca },
        },
    };
    let tickets = match kept {
        Some(kept) if kept.client_auth == client_auth => kept.tickets.clone(),
        _ => TicketKeys::new()?,
    };
    let certificates = tls
        .certificates
        .iter()
        .map(|certificate| Certificate::load(&file(&certificate.chain)?, &file(&certificate.key)?))
        .collect::<Result<Vec<_>, _>>()?;
    let resolver = CertResolver::new(CertSet::new(&certificates, 0, UnknownName::Default)?);
    let min_version = match tls.version_min {
        TlsVersion::Tls12 => MinVersion::Tls12,
        TlsVersion::Tls13 => MinVersion::Tls13,
    };
    let settings =
        ServerSettings { min_version, client_auth: client_auth.clone(), ..ServerSettings::default() };
    let tls = ServerTls::new(&settings, resolver, &tickets)?;
    Ok(ListenerSet { client_auth, tickets, tls })
}

fn client_settings(tls: &UpstreamTls) -> Result<ClientSettings, ConfigError> {
    Ok(ClientSettings {
        roots: match &tls.ca {
            None => Roots::System,
            Some(ca) => Roots::File(file(ca)?),
        },
        sni: tls.sni.clone(),
        identity: match &tls.client_certificate {
            None => None,
            Some((cert, key)) => Some(Identity { cert: file(cert)?, key: file(key)? }),
        },
        verify: tls.verify == Verify::Full,
        ..ClientSettings::default()
    })
}
