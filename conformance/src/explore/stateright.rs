//! stateright's own Explorer, unchanged, below `/stateright`.
//!
//! It serves on an address of its own and never returns, so it gets a port on loopback when somebody asks
//! for it first, and its answers are passed on. Its page asks for `/.status` and `/.states` at the root; those
//! are passed on as well.

use crate::words::{describe, event};
use lockstep_model::{Action, Cluster, ClusterState};
use lockstep_traces::Expected;
use stateright::{Model, Property};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The Explorer of one model, started when it is asked for.
#[derive(Debug, Default)]
pub struct Stateright {
    address: OnceLock<Option<SocketAddr>>,
}

/// An answer of it.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The contents.
    pub body: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(30);

impl Stateright {
    /// Asks it for a path.
    ///
    /// # Errors
    ///
    /// It could not be started, or does not answer.
    pub fn ask(&self, cluster: &Cluster, method: &str, path: &str) -> io::Result<Answer> {
        let address = *self.address.get_or_init(|| start(cluster.clone()).ok());
        let address = address.ok_or_else(|| io::Error::other("it could not be started"))?;
        let mut stream = connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::other("its answer is no HTTP"))
    }
}

/// Serves on a free port of loopback, in a thread that ends with the process.
fn start(cluster: Cluster) -> io::Result<SocketAddr> {
    // It panics when it cannot have its address, so a free one is looked for first.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let model = Readable::new(cluster).ok_or_else(|| io::Error::other("too many properties"))?;
    let thread = std::thread::Builder::new().name("stateright".to_owned());
    thread.spawn(move || model.checker().serve(address))?;
    Ok(address)
}

/// It may not listen yet.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let clock = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) if clock.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Status and contents of an answer whose connection was closed at its end.
fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: answer[end + 4..].to_vec(),
    })
}

/// The cluster, with actions that say in words what they do. An action of the cluster names a message
/// by its position, which only means something beside its state.
struct Readable {
    cluster: Cluster,
    properties: Vec<Property<Cluster>>,
}

#[derive(Clone, PartialEq)]
struct Labelled {
    action: Action,
    label: String,
}

impl fmt::Debug for Labelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl Readable {
    fn new(cluster: Cluster) -> Option<Readable> {
        let properties = cluster.properties();
        (properties.len() <= CONDITIONS.len()).then_some(Readable {
            cluster,
            properties,
        })
    }
}

impl Model for Readable {
    type State = ClusterState;
    type Action = Labelled;

    fn init_states(&self) -> Vec<ClusterState> {
        self.cluster.init_states()
    }

    fn actions(&self, state: &ClusterState, actions: &mut Vec<Labelled>) {
        let mut plain = Vec::new();
        self.cluster.actions(state, &mut plain);
        actions.extend(plain.into_iter().map(|action| Labelled {
            label: event(&self.cluster.event(state, &action)),
            action,
        }));
    }

    fn next_state(&self, state: &ClusterState, action: Labelled) -> Option<ClusterState> {
        self.cluster.next_state(state, action.action)
    }

    fn format_step(&self, state: &ClusterState, action: Labelled) -> Option<String> {
        let transition = self.cluster.apply(state, &action.action);
        let Some(server) = transition.moved else {
            return Some("only the network changes".to_owned());
        };
        let view = |state: &ClusterState| state.server(server).view(self.cluster.settings());
        let expected = Expected {
            outcome: transition.outcome,
            view: view(&transition.next),
            sent: transition.sent,
            read_states: transition.read_states,
        };
        Some(describe(&view(state), &expected))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let both = self.properties.iter().zip(CONDITIONS);
        both.map(|(property, condition)| Property {
            expectation: property.expectation.clone(),
            name: property.name,
            condition,
        })
        .collect()
    }

    fn within_boundary(&self, state: &ClusterState) -> bool {
        self.cluster.within_boundary(state)
    }
}

type Condition = fn(&Readable, &ClusterState) -> bool;

/// The condition of the property at a position. stateright's properties are plain functions, which
/// cannot hold the property that they stand for; so there is one function a position.
fn condition<const POSITION: usize>(model: &Readable, state: &ClusterState) -> bool {
    let property = model.properties.get(POSITION);
    property.is_none_or(|property| (property.condition)(&model.cluster, state))
}

macro_rules! conditions {
    ($($position:literal)*) => { [$(condition::<$position>),*] };
}

const CONDITIONS: [Condition; 48] = conditions!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35
    36 37 38 39 40 41 42 43 44 45 46 47
);
