//! The other side of the exec protocol (`conformance/targets/PROTOCOL.md`): a program whose servers are those of
//! a [`Target`].

use crate::target::{Needs, Reaction, Target, TargetError, TargetServer, apply_caught};
use crate::targets::exec::PROTOCOL_VERSION;
use lockstep_traces::{Config, Field, FieldSet, Input, NodeView, ServerId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;

/// Answers requests on standard input with replies on standard output until the input ends. The code for a
/// harness that did not keep to the protocol, or a target that cannot be started, is 1.
pub fn serve<T: Target>(target: &T) -> ExitCode {
    match serve_on(target, io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The code says it, too, if nobody reads that.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// [`serve`] on other streams.
///
/// # Errors
///
/// A stream fails, a request is none, or the target cannot be started; the harness was told then.
pub fn serve_on<T: Target>(
    target: &T,
    requests: impl Read,
    mut replies: impl Write,
) -> io::Result<()> {
    let mut requests = BufReader::new(requests);
    let mut sessions = Sessions {
        target,
        shown: target.description().shows,
        open: BTreeMap::new(),
    };
    let mut line = String::new();
    loop {
        line.clear();
        if requests.read_line(&mut line)? == 0 {
            return replies.flush();
        }
        let answered = serde_json::from_str(&line)
            .map_err(|error| error.to_string())
            .and_then(|request| sessions.answer(request));
        let reply = match &answered {
            Ok(reply) => reply.clone(),
            Err(message) => json!({"op": "error", "message": message}),
        };
        writeln!(replies, "{reply}")?;
        // The harness need not be woken for each reply while it has more to ask.
        if requests.buffer().is_empty() {
            replies.flush()?;
        }
        if let Err(message) = answered {
            replies.flush()?;
            return Err(io::Error::other(message));
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Describe {
        protocol: u32,
    },
    Open {
        session: u64,
        config: Config,
        servers: Vec<ServerId>,
    },
    Apply {
        session: u64,
        inputs: Vec<(ServerId, Input)>,
    },
    Close {
        session: u64,
    },
}

struct Sessions<'a, T: Target> {
    target: &'a T,
    shown: FieldSet,
    open: BTreeMap<u64, Session<T::Server>>,
}

struct Session<S> {
    servers: Vec<Served<S>>,
    /// The error that broke one of them; nothing is asked of any of them after that.
    crashed: Option<String>,
}

struct Served<S> {
    id: ServerId,
    server: S,
    /// The view that was written last.
    written: NodeView,
}

impl<T: Target> Sessions<'_, T> {
    fn answer(&mut self, request: Request) -> Result<Value, String> {
        match request {
            Request::Describe { protocol } if protocol == PROTOCOL_VERSION => Ok(self.describe()),
            Request::Describe { protocol } => Err(format!(
                "this program speaks protocol {PROTOCOL_VERSION}, and not {protocol}"
            )),
            Request::Open {
                session,
                config,
                servers,
            } => {
                let opened = servers.into_iter().map(|id| self.start(&config, id));
                let servers: Vec<_> = opened.collect::<Result<_, _>>().map_err(text)?;
                let views = servers.iter().map(|it| self.view(&it.written));
                let views: Vec<Value> = views.collect();
                let crashed = None;
                self.open.insert(session, Session { servers, crashed });
                Ok(json!({"op": "open", "session": session, "views": views}))
            }
            Request::Apply { session, inputs } => {
                let mut open = self.take(session)?;
                let results = inputs
                    .iter()
                    .map(|(id, input)| self.apply(&mut open, *id, input));
                let results = results.collect::<Result<Vec<Value>, String>>()?;
                self.open.insert(session, open);
                Ok(json!({"op": "apply", "session": session, "results": results}))
            }
            Request::Close { session } => {
                let mut open = self.take(session)?;
                let crashed = open.crashed.is_some();
                let mut views = Vec::new();
                for served in &mut open.servers {
                    let view = served.server.view();
                    views.push(match view {
                        Ok(view) if !crashed && view != served.written => self.view(&view),
                        _ => Value::Null,
                    });
                }
                Ok(json!({"op": "close", "session": session, "views": views}))
            }
        }
    }

    fn take(&mut self, session: u64) -> Result<Session<T::Server>, String> {
        let open = self.open.remove(&session);
        open.ok_or_else(|| format!("session {session} is not open"))
    }

    fn describe(&self) -> Value {
        let everything = Needs::everything();
        let lacks = self.target.lacks(&everything);
        let features = everything.features().filter(|it| !lacks.contains(it));
        let about = self.target.description();
        let departures = self.target.dialect().iter().map(|it| it.name());
        json!({
            "op": "describe",
            "protocol": PROTOCOL_VERSION,
            "name": about.name,
            "version": about.version,
            "features": features.collect::<Vec<_>>(),
            "fields": about.shows,
            "derived": about.derived,
            "departures": departures.collect::<Vec<_>>(),
        })
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Served<T::Server>, TargetError> {
        let mut server = self.target.start(config, id)?;
        let written = server.view()?;
        Ok(Served {
            id,
            server,
            written,
        })
    }

    fn apply(
        &self,
        session: &mut Session<T::Server>,
        id: ServerId,
        input: &Input,
    ) -> Result<Value, String> {
        let mut servers = session.servers.iter_mut();
        let found = servers.find(|it| it.id == id);
        let served = found.ok_or_else(|| format!("server {id} is not of this session"))?;
        if let Some(what) = &session.crashed {
            return Ok(json!({"crashed": what}));
        }
        let seen = apply_caught(&mut served.server, input)
            .and_then(|reaction| Ok((reaction, served.server.view()?)));
        let (reaction, view) = match seen {
            Ok(seen) => seen,
            Err(error) => {
                let what = error.to_string();
                session.crashed = Some(what.clone());
                return Ok(json!({"crashed": what}));
            }
        };
        let mut result = match reaction {
            Reaction::NotDriven { reason } => json!({"not_driven": reason}),
            Reaction::Driven(output) => {
                let sent = output
                    .sent
                    .iter()
                    .map(|it| json!({"message": it.message, "after_persist": it.after_persist}));
                json!({
                    "outcome": output.outcome,
                    "sent": sent.collect::<Vec<_>>(),
                    "handed": output.handed,
                })
            }
        };
        if view != served.written {
            result["view"] = self.view(&view);
            served.written = view;
        }
        Ok(result)
    }

    /// A view, without what the target does not show.
    fn view(&self, view: &NodeView) -> Value {
        let mut value = json!(view);
        let parts = [
            (Field::Role, "role"),
            (Field::Term, "term"),
            (Field::Vote, "vote"),
            (Field::Leader, "leader"),
            (Field::Log, "log"),
            (Field::Commit, "commit"),
            (Field::Applied, "applied"),
            (Field::Lease, "lease"),
            (Field::Votes, "votes"),
            (Field::Durable, "durable"),
        ];
        if let Some(object) = value.as_object_mut() {
            for (field, key) in parts {
                if !self.shown.contains(field) {
                    object.remove(key);
                }
            }
        }
        value
    }
}

fn text(error: TargetError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::spec::Spec;

    fn talk(requests: &[Value]) -> (Vec<Value>, io::Result<()>) {
        let lines: String = requests.iter().map(|it| format!("{it}\n")).collect();
        let mut out = Vec::new();
        let ended = serve_on(&Spec, lines.as_bytes(), &mut out);
        let text = String::from_utf8(out).expect("replies are text");
        let replies = text
            .lines()
            .map(|it| serde_json::from_str(it).expect("JSON"));
        (replies.collect(), ended)
    }

    fn config() -> Value {
        json!({"servers": 1, "pre_vote": false, "check_quorum": false, "one_entry_per_append": false,
               "max_inflight": 2})
    }

    #[test]
    fn a_session_is_opened_moved_and_closed() {
        let (replies, ended) = talk(&[
            json!({"op": "describe", "protocol": 1}),
            json!({"op": "open", "session": 7, "config": config(), "servers": [1]}),
            json!({"op": "apply", "session": 7, "inputs": [[1, "timeout"], [1, "heartbeat"]]}),
            json!({"op": "close", "session": 7}),
        ]);
        ended.expect("the protocol was kept");
        assert_eq!(replies[0]["name"], "spec");
        assert_eq!(replies[1]["views"][0]["role"], "follower");
        let results = replies[2]["results"].as_array().expect("two");
        assert_eq!(results[0]["view"]["role"], "leader");
        assert_eq!(results[0]["handed"].as_array().map(Vec::len), Some(1));
        // Nothing changed, so there is no view.
        assert_eq!(results[1].get("view"), None);
        assert_eq!(replies[3]["views"], json!([null]));
    }

    #[test]
    fn a_harness_that_breaks_the_protocol_is_told() {
        for request in [
            json!({"op": "describe", "protocol": 99}),
            json!({"op": "apply", "session": 1, "inputs": []}),
            json!({"op": "dance"}),
        ] {
            let (replies, ended) = talk(std::slice::from_ref(&request));
            assert_eq!(replies[0]["op"], "error", "{request}");
            assert!(ended.is_err(), "{request}");
        }
    }
}
