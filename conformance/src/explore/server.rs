//! The endpoints, and the pages, which are part of this program.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /` | the page |
//! | `GET /api/start` | presets, properties, witnesses, the target |
//! | `GET /api/state?model=&path=&future=` | a [`Page`](super::page::Page) |
//! | `GET /api/walk?model=&path=&steps=&seed=` | the link of a random walk |
//! | `POST /api/search?model=&path=&from=&for=` | the number of a search for a condition |
//! | `GET`, `DELETE /api/search/N` | how it stands; stops it |
//! | `POST /api/import` | a trace as model and link |
//! | `GET /api/export?model=&path=&as=` | the path as a file |
//! | `/stateright`, `/.status`, `/.states…` | stateright's own Explorer |
//!
//! An error is a JSON object with the field `error` and a status code of its own.

use super::condition::{Condition, EXAMPLES};
use super::import::import;
use super::jobs::{Job, Jobs};
use super::link::{LinkError, Walked, encode};
use super::models::{ModelError, NamedModel};
use super::page::{ModelInfo, Visit, info, page};
use super::seek::{Reach, Sought, shortest};
use super::stateright::Stateright;
use crate::export;
use crate::path::{provenance, steps_along};
use crate::show::{self, Beside, Story};
use crate::target::{Description, Target, TargetError};
use lockstep_model::properties::{state_properties, step_properties, witnesses};
use lockstep_model::{Dialect, Preset};
use lockstep_traces::{Config, Header, Step, Trace};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::Scope;
use std::time::Duration;
use tiny_http::{Header as HttpHeader, Method, Request, Response, Server};

const INDEX: &str = include_str!("../../explorer/dist/index.html");
const SCRIPT: &str = include_str!("../../explorer/dist/explorer.js");
const STYLE: &str = include_str!("../../explorer/dist/style.css");
/// Threads that answer requests.
const WORKERS: usize = 4;
/// The interval at which everybody looks whether it is time to stop.
const PULSE: Duration = Duration::from_millis(100);
/// The largest trace that is read.
const LARGEST_BODY: u64 = 64 << 20;
/// The longest random walk that is taken at once.
const LONGEST_WALK: usize = 1_000;
/// The longest path that is shown.
const LONGEST_PATH: usize = 5_000;

/// The settings that the Explorer begins with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address to listen on; port 0 takes one that is free.
    pub address: SocketAddr,
    /// The model that is shown first.
    pub model: NamedModel,
    /// The dialect of the specification.
    pub dialect: Dialect,
    /// Limits of a search.
    pub reach: Reach,
}

/// Why the Explorer cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ServeError {
    address: SocketAddr,
    reason: String,
}

/// An implementation that is shown beside the specification.
pub trait Stand {
    /// Its description.
    fn who(&self) -> Description;

    /// Drives it along a path.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    fn stand(&self, config: &Config, steps: &[Step]) -> Result<Beside, TargetError>;
}

impl<T: Target> Stand for T {
    fn who(&self) -> Description {
        self.description()
    }

    fn stand(&self, config: &Config, steps: &[Step]) -> Result<Beside, TargetError> {
        show::beside(self, config, steps)
    }
}

/// A path for the implementation to be driven along, and where the answer goes.
struct Drive {
    config: Config,
    steps: Vec<Step>,
    answer: mpsc::Sender<Result<Beside, TargetError>>,
}

/// The Explorer of one process.
pub struct Explorer {
    settings: Settings,
    target: Option<(Description, mpsc::Sender<Drive>)>,
    jobs: Jobs,
    stateright: Stateright,
    stopping: AtomicBool,
}

/// Serves until `stop` says so. `ready` is told the address.
///
/// # Errors
///
/// The address cannot be had.
pub fn serve(
    settings: Settings,
    target: Option<&dyn Stand>,
    stop: &dyn Fn() -> bool,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let fail = |reason: String| ServeError {
        address: settings.address,
        reason,
    };
    let server = Server::http(settings.address).map_err(|error| fail(error.to_string()))?;
    let address = server.server_addr().to_ip();
    ready(address.unwrap_or(settings.address));
    let (ask, asked) = mpsc::channel();
    let explorer = Explorer {
        target: target.map(|it| (it.who(), ask)),
        settings,
        jobs: Jobs::default(),
        stateright: Stateright::default(),
        stopping: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !explorer.stopping.load(Ordering::Relaxed) {
                    if let Ok(Some(request)) = server.recv_timeout(PULSE) {
                        explorer.answer(scope, request);
                    }
                }
            });
        }
        // The target stays in this thread: it need not be one that can be shared.
        while !stop() {
            match (asked.recv_timeout(PULSE), target) {
                (
                    Ok(Drive {
                        config,
                        steps,
                        answer,
                    }),
                    Some(target),
                ) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(target.stand(&config, &steps));
                }
                (Err(mpsc::RecvTimeoutError::Disconnected), _) => std::thread::sleep(PULSE),
                _ => {}
            }
        }
        explorer.stopping.store(true, Ordering::Relaxed);
        explorer.jobs.stop_all();
    });
    Ok(())
}

/// A reply to the browser.
struct Reply {
    status: u16,
    kind: &'static str,
    body: Vec<u8>,
    file: Option<String>,
}

/// Why a request has no answer.
struct Refusal {
    status: u16,
    error: String,
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Refusal {
        bad(error)
    }
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Refusal {
        bad(error)
    }
}

fn bad(error: impl ToString) -> Refusal {
    Refusal {
        status: 400,
        error: error.to_string(),
    }
}

impl Reply {
    fn text(kind: &'static str, text: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status: 200,
            kind,
            body: text.into(),
            file: None,
        }
    }

    fn json(value: &impl Serialize) -> Reply {
        // Pages are plain data with string keys.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Reply::text("application/json", body)
    }
}

/// The first page's data.
#[derive(Serialize)]
struct Start {
    version: &'static str,
    model: String,
    presets: Vec<ModelInfo>,
    target: Option<Description>,
    examples: &'static [&'static str],
    witnesses: Vec<Named>,
    properties: Vec<Named>,
    exports: Vec<Named>,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    text: &'static str,
}

/// The forms of an export, and the endings of their files.
const EXPORTS: &[(&str, &str, &str)] = &[
    ("trace", "ndjson", "Lockstep trace, for replay and show"),
    ("html", "html", "Page that needs nothing else"),
    ("svg", "svg", "Sequence diagram, SVG"),
    ("mermaid", "mmd", "Sequence diagram, Mermaid"),
    ("text", "txt", "Sequence diagram, text"),
    ("itf", "itf.json", "Informal Trace Format (Apalache, Quint)"),
    ("shiviz", "log", "ShiViz log with vector clocks"),
];

type Answer = Result<Reply, Refusal>;

impl Explorer {
    fn answer<'scope, 'env>(&'env self, scope: &'scope Scope<'scope, 'env>, mut request: Request) {
        let url = request.url().to_owned();
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let answer = if self.is_for_us(&request) {
            self.route(scope, &mut request, path, &Query::parse(query))
        } else {
            let error = "this server answers to its own address only".to_owned();
            Err(Refusal { status: 403, error })
        };
        let reply = answer.unwrap_or_else(|refusal| Reply {
            status: refusal.status,
            ..Reply::json(&json!({"error": refusal.error}))
        });
        let mut response = Response::new(
            tiny_http::StatusCode(reply.status),
            headers(&reply),
            Cursor::new(reply.body.as_slice()),
            Some(reply.body.len()),
            None,
        );
        response.add_header(header("Cache-Control", "no-store"));
        // A browser that has gone does not want to know.
        let _ = request.respond(response);
    }

    /// Whether the request names an address of ours: a page elsewhere that resolves its own name to this
    /// address does not.
    fn is_for_us(&self, request: &Request) -> bool {
        if !self.settings.address.ip().is_loopback() {
            return true;
        }
        let mut headers = request.headers().iter();
        let host = headers.find(|it| it.field.equiv("Host"));
        let host = host.map_or("", |it| it.value.as_str());
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
            || name == self.settings.address.ip().to_string()
    }

    fn route<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        request: &mut Request,
        path: &str,
        query: &Query,
    ) -> Answer {
        let method = request.method().clone();
        match (&method, path) {
            (Method::Get, "/") => Ok(Reply::text("text/html; charset=utf-8", INDEX)),
            (Method::Get, "/explorer.js") => {
                Ok(Reply::text("text/javascript; charset=utf-8", SCRIPT))
            }
            (Method::Get, "/style.css") => Ok(Reply::text("text/css; charset=utf-8", STYLE)),
            (Method::Get, "/favicon.ico") => Ok(Reply::text("image/svg+xml", ICON)),
            (Method::Get, "/api/start") => Ok(self.start()),
            (Method::Get, "/api/state") => self.state(query),
            (Method::Get, "/api/walk") => self.walk(query),
            (Method::Get, "/api/export") => self.export(query),
            (Method::Post, "/api/import") => self.import(request),
            (Method::Post, "/api/search") => self.search(scope, query),
            (_, path) => match path.strip_prefix("/api/search/") {
                Some(number) => self.job(&method, number),
                None => self.pass_on(&method, path),
            },
        }
    }

    fn model(&self, query: &Query) -> Result<NamedModel, Refusal> {
        let key = query.get("model");
        if key.is_empty() {
            return Ok(self.settings.model.clone());
        }
        Ok(NamedModel::parse(key, self.settings.dialect)?)
    }

    fn start(&self) -> Reply {
        let presets = Preset::all().iter().filter_map(|preset| {
            let model = NamedModel::parse(preset.name, self.settings.dialect).ok()?;
            Some(info(&model))
        });
        let states = state_properties().iter().map(|it| (it.name, it.source));
        let steps = step_properties().iter().map(|it| (it.name, it.source));
        let stories = witnesses().iter().map(|it| (it.name, it.story));
        let exports = EXPORTS.iter().map(|(name, _, text)| (*name, *text));
        let named = |(name, text)| Named { name, text };
        Reply::json(&Start {
            version: env!("CARGO_PKG_VERSION"),
            model: self.settings.model.key.clone(),
            presets: presets.collect(),
            target: self.target.as_ref().map(|(who, _)| who.clone()),
            examples: EXAMPLES,
            witnesses: stories.map(named).collect(),
            properties: states.chain(steps).map(named).collect(),
            exports: exports.map(named).collect(),
        })
    }

    fn visit(model: &NamedModel, query: &Query) -> Result<Visit, Refusal> {
        let (path, future) = (query.get("path"), query.get("future"));
        if path.len() + future.len() > LONGEST_PATH {
            return Err(bad(format!("a path has at most {LONGEST_PATH} letters")));
        }
        Ok(Visit::follow(&model.cluster, path, future)?)
    }

    fn state(&self, query: &Query) -> Answer {
        let model = self.model(query)?;
        let visit = Explorer::visit(&model, query)?;
        let beside = self.beside(&model, &visit)?;
        let page = page(&model, &visit, beside.as_ref());
        Ok(Reply::json(&page))
    }

    /// Drives the implementation, if there is one, along the steps of a visit.
    fn beside(&self, model: &NamedModel, visit: &Visit) -> Result<Option<Beside>, Refusal> {
        let Some((_, ask)) = &self.target else {
            return Ok(None);
        };
        let fail = |error: String| Refusal { status: 502, error };
        let (answer, answered) = mpsc::channel();
        let drive = Drive {
            config: model.cluster.settings().config(),
            steps: visit.steps(&model.cluster),
            answer,
        };
        let gone = || fail("the target is no longer there".to_owned());
        ask.send(drive).map_err(|_| gone())?;
        let beside = answered.recv().map_err(|_| gone())?;
        beside.map(Some).map_err(|error| fail(error.to_string()))
    }

    fn walk(&self, query: &Query) -> Answer {
        let model = self.model(query)?;
        let visit = Explorer::visit(&model, query)?;
        let cluster = &model.cluster;
        let steps = query.number("steps")?.unwrap_or(1).min(LONGEST_WALK as u64);
        let seed = query.number("seed")?;
        let mut random = seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
        let mut walked = visit.path();
        let mut enabled = Vec::new();
        for _ in 0..steps {
            enabled.clear();
            cluster.enabled(walked.last(), &mut enabled);
            enabled.retain(|action| cluster.apply(walked.last(), action).within_bound);
            if enabled.is_empty() {
                break;
            }
            let action = enabled[random.random_range(0..enabled.len())];
            if !walked.take(cluster, action) {
                break;
            }
        }
        let taken = walked.actions.len() - visit.at;
        Ok(Reply::json(&json!({"path": walked.link(), "steps": taken})))
    }

    fn search<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        query: &Query,
    ) -> Answer {
        let model = self.model(query)?;
        let cluster = &model.cluster;
        let from = match query.get("from") {
            "here" => Explorer::visit(&model, query)?.path(),
            _ => Walked::start(cluster),
        };
        let condition = Condition::parse(query.get("for"), cluster).map_err(bad)?;
        let (number, stop) = self.jobs.begin();
        scope.spawn(move || {
            let job = self.seek(&model, from, &condition, number, &stop);
            self.jobs.set(number, job);
        });
        Ok(Reply::json(&json!({"search": number})))
    }

    fn seek(
        &self,
        model: &NamedModel,
        mut from: Walked,
        condition: &Condition,
        number: u64,
        stop: &AtomicBool,
    ) -> Job {
        let cluster = &model.cluster;
        let start = from.last().clone();
        let watch = |before: &_, action: &_, after: &_| {
            condition.after_step(cluster, before, action, after)
        };
        let found = shortest(
            cluster,
            &start,
            &watch,
            self.settings.reach,
            |states, depth| {
                self.jobs.set(number, Job::Running { states, depth });
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        match found {
            Ok(Sought::Found(actions)) => {
                let steps = actions.len();
                for action in actions {
                    from.take(cluster, action);
                }
                Job::Found {
                    path: from.link(),
                    steps,
                }
            }
            Ok(Sought::Nowhere { states }) => Job::Nowhere { states },
            Ok(Sought::Stopped { by, states }) => Job::Stopped {
                by: by.to_string(),
                states,
            },
            Err(error) => Job::Failed {
                error: error.to_string(),
            },
        }
    }

    fn job(&self, method: &Method, number: &str) -> Answer {
        let unknown = || Refusal {
            status: 404,
            error: "there is no such search".to_owned(),
        };
        let number = number.parse().map_err(|_| unknown())?;
        if *method == Method::Delete {
            self.jobs.stop(number);
        }
        let job = self.jobs.get(number).ok_or_else(unknown)?;
        Ok(Reply::json(&job))
    }

    fn import(&self, request: &mut Request) -> Answer {
        let mut bytes = Vec::new();
        let mut body = request.as_reader().take(LARGEST_BODY + 1);
        body.read_to_end(&mut bytes).map_err(bad)?;
        if bytes.len() as u64 > LARGEST_BODY {
            return Err(bad("the file is too large"));
        }
        let imported = import(&bytes, "the file", self.settings.dialect).map_err(bad)?;
        Ok(Reply::json(&imported))
    }

    fn export(&self, query: &Query) -> Answer {
        let model = self.model(query)?;
        let visit = Explorer::visit(&model, query)?;
        let cluster = &model.cluster;
        let path = visit.path();
        if path.actions.is_empty() {
            return Err(bad("a path without steps is no trace: take a step first"));
        }
        let form = query.get("as");
        let known = EXPORTS.iter().find(|(name, _, _)| *name == form);
        let (_, ending, _) = known.ok_or_else(|| bad(format!("there is no form {form:?}")))?;
        let unchanged = (model.key == model.preset.name).then_some(model.preset.name);
        let generator = format!("lockstep explore: {}/{}", model.key, path.link());
        let trace = Trace {
            header: Header::new(
                "explored",
                "A path taken in the Explorer.",
                cluster.settings().config(),
                provenance(&generator, unchanged, cluster),
            ),
            steps: steps_along(cluster, &path.actions),
        };
        let mut story = Story::of_trace(&trace);
        let only = Visit {
            at: path.actions.len(),
            walked: path,
        };
        if let Some(beside) = self.beside(&model, &only)? {
            beside.tell(&mut story);
        }
        let (kind, text) = match form {
            "trace" => {
                let mut bytes = Vec::new();
                trace.write(&mut bytes).map_err(bad)?;
                ("application/x-ndjson", bytes)
            }
            "html" => ("text/html; charset=utf-8", show::page(&story, &[]).into()),
            "svg" => ("image/svg+xml", show::svg(&story).into()),
            "mermaid" => ("text/plain; charset=utf-8", show::mermaid(&story).into()),
            "text" => (
                "text/plain; charset=utf-8",
                show::diagram(&story, 100).into(),
            ),
            "itf" => ("application/json", export::itf(&trace).into()),
            _ => ("text/plain; charset=utf-8", export::shiviz(&story).into()),
        };
        let file = format!(
            "{}-{}.{ending}",
            model.preset.name,
            encode(&only.walked.numbers)
        );
        Ok(Reply {
            file: Some(file.chars().take(80).collect::<String>()),
            ..Reply::text(kind, text)
        })
    }

    /// Passes a request for stateright's Explorer on to it.
    fn pass_on(&self, method: &Method, path: &str) -> Answer {
        let theirs = match path.strip_prefix("/stateright") {
            Some("") => {
                // Its page names its files relative to itself.
                let mut reply = Reply::text(
                    "text/html",
                    "<meta http-equiv=refresh content='0;url=/stateright/'>",
                );
                reply.status = 200;
                return Ok(reply);
            }
            Some(rest) if rest.starts_with('/') => rest,
            _ if path.starts_with("/.st") || path == "/.runtocompletion" => path,
            _ => {
                let error = format!("there is nothing at {path}");
                return Err(Refusal { status: 404, error });
            }
        };
        let cluster = &self.settings.model.cluster;
        let answer = self.stateright.ask(cluster, method.as_str(), theirs);
        let answer = answer.map_err(|error| Refusal {
            status: 502,
            error: format!("stateright's Explorer: {error}"),
        })?;
        let kind = match theirs.rsplit('.').next() {
            Some("css") => "text/css",
            Some("js") => "text/javascript",
            _ if theirs == "/" => "text/html; charset=utf-8",
            _ => "application/json",
        };
        Ok(Reply {
            status: answer.status,
            ..Reply::text(kind, answer.body)
        })
    }
}

const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" \
                    height=\"32\" rx=\"7\" fill=\"#0f7a52\"/><path d=\"M9 7v18M23 7v18M9 13l14 3M23 20l-14 3\" \
                    stroke=\"#fff\" stroke-width=\"2.6\" fill=\"none\"/></svg>";

fn header(name: &str, value: &str) -> HttpHeader {
    HttpHeader::from_bytes(name, value).expect("names and values of headers here are plain ASCII")
}

fn headers(reply: &Reply) -> Vec<HttpHeader> {
    let mut headers = vec![
        header("Content-Type", reply.kind),
        header("X-Content-Type-Options", "nosniff"),
        header("Referrer-Policy", "no-referrer"),
    ];
    if let Some(file) = &reply.file {
        let value = format!("attachment; filename=\"{file}\"");
        headers.push(header("Content-Disposition", &value));
    } else if reply.kind.starts_with("text/html") && reply.body.starts_with(b"<!doctype html>") {
        // Nothing from elsewhere; the diagram carries its own style. (stateright's page has scripts inline.)
        let policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
        headers.push(header("Content-Security-Policy", policy));
    }
    headers
}

/// The fields of a query.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(query: &str) -> Query {
        let fields = form_urlencoded::parse(query.as_bytes());
        Query(fields.into_owned().collect())
    }

    /// A field; empty if it is not there.
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.get(name) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(bad(format!("{name} is no number: {text:?}"))),
            },
        }
    }
}
