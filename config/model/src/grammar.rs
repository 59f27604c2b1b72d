//! The grammar: every mapping of the file as a type. May know forms of values; must not know how resources
//! refer to each other (that is `check`) nor what they become (that is `compile`).

pub mod ai;
pub mod limit;
pub mod listener;
pub mod people;
pub mod policy;
pub mod service;
pub mod upstream;

use penstock_gate::cidr::Cidr;

use crate::place::At;
use crate::read::object::{choice, object};
use crate::read::text::FilePath;
use crate::read::units::{Size, Span, Workers};
use ai::{Model, Provider};
use listener::Listener;
use people::{App, Issuer, Plan, Team, Tenant};
use service::Service;
use upstream::Upstream;

object! {
    /// The whole of a file. Several files and folders are read as one: lists are joined, every other key may
    /// stand in one file only.
    File {
        /// Addresses the workers accept connections on.
        default listeners: Vec<At<Listener>> = "[ { address: 127.0.0.1:8080 } ]",
        /// Peers whose `Forwarded` and `X-Forwarded-*` headers are believed.
        default trusted_proxies: Vec<At<Cidr>> = "[]",
        /// When an `x-request-id` that comes in is kept; otherwise one is made.
        default request_id: RequestId = "keep_from_trusted",
        /// The admin address: read-only state, metrics, `/healthz` and `/readyz`.
        default admin: Admin = "{}",
        /// Folder of rings, counters and the control socket; relative to the working directory.
        default data_dir: FilePath = "./penstock-data",
        /// Threads that carry traffic: `auto` (the allowed CPUs within the quota), a number, or a list of cores.
        default workers: Workers = "auto",
        /// The rings that call records are written to, one a worker.
        default rings: Rings = "{}",
        /// Access log, for those who want one beside the rings.
        default log: Log = "{}",
        /// Who may sign JWTs.
        default issuers: Vec<At<Issuer>> = "[]",
        /// Independent owners of services and apps. A tenant `default` is there if none is written.
        default tenants: Vec<At<Tenant>> = "[]",
        /// People of a tenant who own services and apps. A team `default` is there for what names no team.
        default teams: Vec<At<Team>> = "[]",
        /// What subscriptions allow.
        default plans: Vec<At<Plan>> = "[]",
        /// Callers.
        default apps: Vec<At<App>> = "[]",
        /// Where requests are sent.
        default upstreams: Vec<At<Upstream>> = "[]",
        /// Accounts at providers of models.
        default providers: Vec<At<Provider>> = "[]",
        /// Names of models that callers may write. `provider/model` always works; a bare name of the catalogue works
        /// where its maker's own provider is configured.
        default models: Vec<At<Model>> = "[]",
        /// What is served.
        default services: Vec<At<Service>> = "[]",
    }
    later {
        "prompts": "the AI half comes later: remove it, or use a build that has it",
        "secrets": "there is no secret store yet: use ${ENV} or files",
        "users": "people sign in to the console, which comes later",
        "alerts": "alert rules come later",
        "channels": "alert channels come later",
        "redis": "limits are counted on each node; cluster-wide limits come later",
        "acme": "certificates come from files: listeners[].tls.certificates",
        "portal": "the portal comes later",
        "watch": "files are read again on `penstock reload` or SIGHUP; watching comes later",
    }
}

object! {
    /// The admin address.
    Admin {
        /// Where it listens. Keep it on loopback: it asks for no sign-in.
        default address: crate::read::network::ListenAddress = "127.0.0.1:9080",
    }
    later {
        "public_url": "the console comes later",
    }
}

object! {
    /// Rings of call records.
    Rings {
        /// Size of each worker's ring. Old records are overwritten when it is full.
        default size: Size<1_048_576, 68_719_476_736> = "64MiB",
        /// How often the pages are asked to go to disk.
        default sync: Span<10, 3_600_000> = "1s",
        /// Folder of the rings, relative to the working directory. One on a tmpfs costs the workers no write-back
        /// faults, and forgets at a power cut what was not drained.
        optional dir: FilePath = "`rings` in the data folder",
        /// Which calls are recorded.
        default calls: RecordedCalls = "all",
    }
}

choice! {
    /// Which calls are recorded.
    RecordedCalls {
        /// every call, also those that were refused
        All = "all",
        /// none: there are no rings, no live windows and no access log
        None = "none",
    }
}

object! {
    /// Access log.
    Log {
        /// Where it goes: `none`, `stdout`, or `file` (`access.log` in the data folder).
        default access: AccessLog = "none",
        /// How a line looks.
        default format: LogFormat = "json",
        /// Share of calls that are logged; errors always are.
        default sample: crate::read::units::Percent = "100%",
    }
}

choice! {
    /// Where the access log goes.
    AccessLog {
        /// nowhere: the rings hold every call
        None = "none",
        /// standard output
        Stdout = "stdout",
        /// `access.log` in the data folder
        File = "file",
    }
}

choice! {
    /// Form of the access log.
    LogFormat {
        /// one JSON object a line
        Json = "json",
        /// text for people
        Text = "text",
    }
}

choice! {
    /// What is done with an `x-request-id` that comes in.
    RequestId {
        /// kept when it comes from a trusted proxy
        KeepFromTrusted = "keep_from_trusted",
        /// kept from anybody when well formed
        Keep = "keep",
        /// always made anew
        Make = "make",
    }
}
