//! From a checked configuration to the gate's plain data: ids given, inheritance resolved, keys hashed. May
//! know the grammar and the gate's [`Spec`]; must not read files or the environment.

mod ai;
mod callers;
mod limits;
mod locate;
mod services;
mod upstreams;

pub use ai::PROVIDER_CONNECT;
pub(crate) use ai::{model_spec, provider_values};
pub use callers::{hash_secret, show_hash};

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use penstock_gate::Snapshot;
use penstock_gate::spec::{self, CallerSet, HASH_KEYS_MAX, HashKey, Id, Spec, Uid};

use crate::check::resolve;
use crate::configuration::Configuration;
use crate::grammar::listener::{ClientMode, Listener, TlsVersion};
use crate::grammar::{AccessLog, LogFormat, RecordedCalls, RequestId};
use crate::inherit::DEFAULT_OWNER;
use crate::place::{At, Pos};
use crate::problem::{Problem, Problems};
use crate::read::Word;
use crate::read::text::FilePath;
use crate::read::units::Workers;

/// Kinds of resources that have an id in the ring dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A listener.
    Listener,
    /// An issuer of tokens.
    Issuer,
    /// A tenant.
    Tenant,
    /// A team.
    Team,
    /// A plan.
    Plan,
    /// An app.
    App,
    /// A credential.
    Credential,
    /// A subscription.
    Subscription,
    /// An upstream.
    Upstream,
    /// A target of an upstream.
    Target,
    /// A service.
    Service,
    /// A version of a service.
    Version,
    /// A route.
    Route,
    /// A limit.
    Limit,
    /// A provider of models.
    Provider,
    /// A key of a provider.
    ProviderKey,
    /// A name of a model.
    Model,
}

impl Kind {
    /// The word by which uids and dictionaries know the kind.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Listener => "listener",
            Kind::Issuer => "issuer",
            Kind::Tenant => "tenant",
            Kind::Team => "team",
            Kind::Plan => "plan",
            Kind::App => "app",
            Kind::Credential => "credential",
            Kind::Subscription => "subscription",
            Kind::Upstream => "upstream",
            Kind::Target => "target",
            Kind::Service => "service",
            Kind::Version => "version",
            Kind::Route => "route",
            Kind::Limit => "limit",
            Kind::Provider => "provider",
            Kind::ProviderKey => "provider_key",
            Kind::Model => "model",
        }
    }
}

/// Gives dictionary ids. The ring dictionary in the program; [`CountedIds`] where none is needed.
pub trait Ids {
    /// The id of a resource: the same for the same kind and uid, never reused for another.
    fn id(&mut self, kind: Kind, uid: u64, name: &str) -> u32;
}

/// Ids by counting from 1, in order of first use.
#[derive(Debug, Clone, Default)]
pub struct CountedIds {
    known: BTreeMap<(Kind, u64), u32>,
}

impl Ids for CountedIds {
    fn id(&mut self, kind: Kind, uid: u64, _: &str) -> u32 {
        let next = u32::try_from(self.known.len() + 1).unwrap_or(u32::MAX);
        *self.known.entry((kind, uid)).or_insert(next)
    }
}

/// Keys under which secrets of the file are hashed.
#[derive(Debug, Clone)]
pub enum HashKeys {
    /// The node's keys, at most [`HASH_KEYS_MAX`]; plain secrets are hashed under the first.
    Node(Vec<HashKey>),
    /// None are at hand (checking on another machine): hashes of any key id are taken as they are, and the
    /// result must not be served.
    CheckOnly,
}

/// What the process needs beside the gate's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Address of the admin listener.
    pub admin: spec::Address,
    /// Folder of rings, counters and the control socket; relative to the working directory.
    pub data_dir: PathBuf,
    /// Threads that carry traffic.
    pub workers: Workers,
    /// Size of each worker's ring in bytes.
    pub ring_bytes: u64,
    /// How often a ring's pages are asked to go to disk.
    pub ring_sync: Duration,
    /// Folder of the rings, if it is not `rings` in the data folder.
    pub ring_dir: Option<PathBuf>,
    /// Whether calls are recorded at all.
    pub records_calls: bool,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// Form of the access log.
    pub access_log_format: LogFormat,
    /// Share of calls that are logged, in percent.
    pub access_log_sample_percent: u8,
}

/// A compiled configuration.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What the gate serves, callers included.
    pub spec: Spec,
    /// What the process needs beside it.
    pub process: Process,
    places: Places,
}

/// A configuration that can be served.
#[derive(Debug)]
pub struct Ready {
    /// What every worker reads.
    pub snapshot: Snapshot,
    /// Apps, credentials and subscriptions of the files.
    pub callers: CallerSet,
    /// What the process needs beside them.
    pub process: Process,
}

/// Where each resource was written.
type Places = HashMap<(Kind, Id), Pos>;

impl Configuration {
    /// Compiles to the gate's plain data.
    ///
    /// # Errors
    /// A hash made under a key that this node does not have, or a duplicate that shows only after hashing.
    pub fn compile(
        &self,
        revision: u64,
        ids: &mut dyn Ids,
        keys: &HashKeys,
    ) -> Result<Compiled, Vec<Problem>> {
        let mut compiler =
            Compiler { configuration: self, ids, places: HashMap::new(), problems: Problems::default() };
        let mut spec = compiler.spec();
        spec.revision = revision;
        spec.callers = compiler.callers(keys);
        let Compiler { places, problems, .. } = compiler;
        if problems.is_empty() {
            Ok(Compiled { spec, process: self.process(), places })
        } else {
            Err(problems.into_list(&self.sources))
        }
    }

    /// Compiles down to what workers read. The callers come apart from it: they are a table that deltas keep
    /// current.
    ///
    /// # Errors
    /// As [`Configuration::compile`], and what the gate refuses: routes in conflict above all, both named.
    pub fn snapshot(&self, revision: u64, ids: &mut dyn Ids, keys: &HashKeys) -> Result<Ready, Vec<Problem>> {
        let Compiled { spec, process, places } = self.compile(revision, ids, keys)?;
        let callers = spec.callers.clone();
        match penstock_gate::compile(spec) {
            Ok(snapshot) => Ok(Ready { snapshot, callers, process }),
            Err(errors) => {
                let mut problems = Problems::default();
                for error in &errors {
                    let (pos, message, hint) = locate::locate(self, &places, error);
                    problems.add(pos, message, hint);
                }
                Err(problems.into_list(&self.sources))
            }
        }
    }

    fn process(&self) -> Process {
        let file = &self.file;
        Process {
            admin: file.admin.address.value.0.clone(),
            data_dir: file.data_dir.value.0.clone(),
            workers: file.workers.value.clone(),
            ring_bytes: file.rings.size.value.0,
            ring_sync: file.rings.sync.value.0,
            ring_dir: file.rings.dir.as_ref().map(|dir| dir.value.0.clone()),
            records_calls: file.rings.calls.value == RecordedCalls::All,
            access_log: file.log.access.value,
            access_log_format: file.log.format.value,
            access_log_sample_percent: file.log.sample.value.0,
        }
    }
}

struct Compiler<'a> {
    configuration: &'a Configuration,
    ids: &'a mut dyn Ids,
    places: Places,
    problems: Problems,
}

/// A uid of a kind of resource.
fn uid(kind: Kind, names: &[&str]) -> Uid {
    Uid::of(kind.word(), names)
}

impl Compiler<'_> {
    /// Gives the id of a resource and remembers where it stands.
    fn name(&mut self, kind: Kind, names: &[&str], shown: &str, pos: Pos) -> (Id, Uid) {
        let uid = uid(kind, names);
        let id = Id(self.ids.id(kind, uid.0, shown));
        self.places.entry((kind, id)).or_insert(pos);
        (id, uid)
    }

    /// The id of a resource that has been, or will be, named.
    fn refer(&mut self, kind: Kind, names: &[&str], shown: &str) -> Id {
        Id(self.ids.id(kind, uid(kind, names).0, shown))
    }

    fn pem(&self, path: &At<FilePath>) -> spec::PemSource {
        spec::PemSource::File(resolve(&self.configuration.sources, path))
    }

    fn spec(&mut self) -> Spec {
        let configuration = self.configuration;
        let file = &configuration.file;
        Spec {
            revision: 0,
            trusted_proxies: file.trusted_proxies.value.iter().map(|cidr| cidr.value).collect(),
            request_id: match file.request_id.value {
                RequestId::KeepFromTrusted => spec::RequestIdPolicy::KeepFromTrusted,
                RequestId::Keep => spec::RequestIdPolicy::Keep,
                RequestId::Make => spec::RequestIdPolicy::Make,
            },
            listeners: file.listeners.value.iter().map(|listener| self.listener(listener)).collect(),
            issuers: file.issuers.value.iter().map(|issuer| self.issuer(issuer)).collect(),
            tenants: self.tenants(),
            teams: self.teams(),
            plans: self.plans(),
            upstreams: self.upstreams(),
            services: file.services.value.iter().map(|service| self.service(service)).collect(),
            routes: self.routes().into_iter().chain(self.ai_routes()).collect(),
            ai: Arc::new(self.ai()),
            callers: spec::CallerSet::default(),
        }
    }

    fn upstreams(&mut self) -> Vec<spec::Upstream> {
        let file = &self.configuration.file;
        let mut upstreams: Vec<_> =
            file.upstreams.value.iter().map(|upstream| self.upstream(upstream)).collect();
        upstreams.extend(self.provider_upstreams());
        upstreams
    }

    fn listener(&mut self, listener: &At<Listener>) -> spec::Listener {
        let name = match &listener.name {
            Some(name) => name.value.0.clone(),
            None => listener.address.value.show(),
        };
        let (id, _) = self.name(Kind::Listener, &[&name], &name, listener.address.pos);
        spec::Listener {
            id,
            name,
            address: listener.address.value.0.clone(),
            tls: listener.tls.as_ref().map(|tls| spec::ListenerTls {
                certificates: tls
                    .certificates
                    .value
                    .iter()
                    .map(|certificate| spec::Certificate {
                        chain: self.pem(&certificate.cert),
                        key: self.pem(&certificate.key),
                        names: certificate.names.value.iter().map(|name| name.value.0.clone()).collect(),
                    })
                    .collect(),
                version_min: match tls.min_version.value {
                    TlsVersion::V12 => spec::TlsVersion::Tls12,
                    TlsVersion::V13 => spec::TlsVersion::Tls13,
                },
                client: tls.client.as_ref().map(|client| spec::ClientTls {
                    ca: self.pem(&client.ca),
                    mode: match client.mode.value {
                        ClientMode::Optional => spec::CertificateClientMode::Optional,
                        ClientMode::Required => spec::CertificateClientMode::Required,
                    },
                }),
            }),
            protocols: vec![spec::Protocol::Http1],
            redirect_https: listener
                .redirect_https
                .as_ref()
                .and_then(|port| u16::try_from(port.value.0).ok()),
            hsts: listener.hsts.as_ref().map(|hsts| spec::Hsts {
                age_max: hsts.max_age.value.0,
                subdomains: hsts.subdomains.value,
                preload: hsts.preload.value,
            }),
            timeouts: spec::ListenerTimeouts {
                head: listener.timeouts.head.value.0,
                keepalive: listener.timeouts.keepalive.value.0,
                write: listener.timeouts.write.value.0,
            },
            limits: spec::ListenerLimits {
                connections_max: small(listener.max_connections.value.0),
                connections_per_client_max: listener
                    .max_connections_per_client
                    .as_ref()
                    .map(|n| small(n.value.0)),
                requests_per_connection_max: listener.max_requests_per_connection.as_ref().map(|n| n.value.0),
            },
            proxy_protocol: false,
        }
    }

    fn tenants(&mut self) -> Vec<spec::Tenant> {
        let configuration = self.configuration;
        let mut tenants = Vec::new();
        for tenant in &configuration.file.tenants.value {
            let name = tenant.name.value.0.as_str();
            let (id, uid) = self.name(Kind::Tenant, &[name], name, tenant.name.pos);
            let limits = self.limits(uid, &tenant.limits);
            tenants.push(spec::Tenant { id, uid, name: name.to_owned(), limits });
        }
        let written = tenants.iter().any(|tenant| tenant.name == DEFAULT_OWNER);
        let owns = configuration.file.teams.value.iter().any(|team| &*team.tenant.value == DEFAULT_OWNER);
        if !written && (owns || tenants.is_empty() || self.needs_default_team()) {
            let (id, uid) = self.name(Kind::Tenant, &[DEFAULT_OWNER], DEFAULT_OWNER, Pos::DEFAULT);
            tenants.push(spec::Tenant { id, uid, name: DEFAULT_OWNER.to_owned(), limits: Vec::new() });
        }
        tenants
    }

    fn teams(&mut self) -> Vec<spec::Team> {
        let configuration = self.configuration;
        let mut teams = Vec::new();
        for team in &configuration.file.teams.value {
            let (name, owner) = (team.name.value.0.as_str(), team.tenant.value.0.as_str());
            let (id, uid) = self.name(Kind::Team, &[owner, name], name, team.name.pos);
            let tenant = self.refer(Kind::Tenant, &[owner], owner);
            let limits = self.limits(uid, &team.limits);
            teams.push(spec::Team { id, uid, tenant, name: name.to_owned(), limits });
        }
        if self.needs_default_team() {
            let names = [DEFAULT_OWNER, DEFAULT_OWNER];
            let (id, uid) = self.name(Kind::Team, &names, DEFAULT_OWNER, Pos::DEFAULT);
            let tenant = self.refer(Kind::Tenant, &[DEFAULT_OWNER], DEFAULT_OWNER);
            let name = DEFAULT_OWNER.to_owned();
            teams.push(spec::Team { id, uid, tenant, name, limits: Vec::new() });
        }
        teams
    }

    /// Whether an app or a service belongs to the team `default` and no file writes it.
    fn needs_default_team(&self) -> bool {
        let file = &self.configuration.file;
        let is_default = |name: &str| name == DEFAULT_OWNER;
        let used = file.apps.value.iter().any(|app| is_default(&app.team.value))
            || file.services.value.iter().any(|service| is_default(&service.team.value));
        used && !file.teams.value.iter().any(|team| is_default(&team.name.value))
    }

    fn plans(&mut self) -> Vec<spec::Plan> {
        let configuration = self.configuration;
        let mut plans = Vec::new();
        for plan in &configuration.file.plans.value {
            let name = plan.name.value.0.as_str();
            let (id, uid) = self.name(Kind::Plan, &[name], name, plan.name.pos);
            let limits = self.limits(uid, &plan.limits);
            plans.push(spec::Plan { id, uid, name: name.to_owned(), limits });
        }
        plans
    }
}

/// A number that the grammar keeps below 2^32.
fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Whether a node's keys can be used.
fn usable(keys: &[HashKey]) -> bool {
    (1..=HASH_KEYS_MAX).contains(&keys.len())
}
