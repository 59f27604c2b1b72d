//! A gateway with one route, for trying the data plane alone: `relay LISTEN UPSTREAM [CPU]`.
use penstock_dataplane::{driver, event::Events, listen::ListenerSockets, mailbox, sys, worker};
use penstock_gate::spec;
use std::sync::Arc;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let address = spec::Address::Tcp(args[1].parse().expect("an address"));
    let sockets = ListenerSockets::open(&address, 1).expect("listen");
    let upstream: std::net::SocketAddr = args[2].parse().expect("an address");
    let (outbox, inbox) = mailbox::mailbox().expect("mailbox");
    let (events, told) = Events::channel();
    let up = spec::Upstream {
        id: spec::Id(1),
        uid: spec::Uid(1),
        name: "up".into(),
        targets: vec![spec::Target {
            id: spec::Id(2),
            uid: spec::Uid(2),
            name: "t".into(),
            scheme: spec::Scheme::Http,
            address: spec::TargetAddress::Ip(upstream),
            weight: 1,
            backup: false,
        }],
        balance: Default::default(),
        health: None,
        passive_health: None,
        timeouts: Default::default(),
        pool: Default::default(),
        retries: Default::default(),
        breaker: None,
        tls: Default::default(),
        host_header: Default::default(),
    };
    let snapshot = Arc::new(worker::Snapshot { revision: 1, upstreams: vec![up] });
    let listener = spec::Listener {
        id: spec::Id(3),
        name: "l".into(),
        address,
        tls: None,
        protocols: vec![],
        redirect_https: None,
        hsts: None,
        timeouts: Default::default(),
        limits: Default::default(),
        proxy_protocol: false,
    };
    outbox
        .send(worker::Command::Listen(
            Arc::new(listener),
            sockets.of_worker(0).try_clone_to_owned().expect("dup"),
        ))
        .expect("send");
    let start = worker::Start {
        index: 0,
        cpu: args.get(3).map(|c| c.parse().expect("cpu")),
        driver: driver::choose(if args.get(4).is_some() {
            driver::Choice::Epoll
        } else {
            driver::Choice::Auto
        })
        .expect("driver"),
        snapshot,
        nodes: Default::default(),
        inbox,
        events,
        stats: Default::default(),
        ring: None,
    };
    let _ = sys::raise_descriptor_limit();
    std::thread::spawn(move || worker::run(start));
    for event in told {
        eprintln!("{event}");
    }
}
