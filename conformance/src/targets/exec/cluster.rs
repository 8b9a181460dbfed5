//! All servers of one session, given one input at a time.

use super::wire::{Reply, Request};
use super::{Failure, Link, Seen, lock, read_result, read_views, unexpected};
use crate::target::{Cluster, Observation, TargetError};
use lockstep_traces::{Config, FieldSet, Input, NodeView, ServerId};
use std::sync::{Arc, Mutex};

/// A session with all servers of a cluster.
pub struct ExecCluster {
    link: Arc<Mutex<Link>>,
    session: u64,
    ids: Vec<ServerId>,
    shown: FieldSet,
    /// The last view of every server.
    views: Vec<NodeView>,
    open: bool,
}

impl ExecCluster {
    /// Opens the session.
    pub fn open(
        link: Arc<Mutex<Link>>,
        config: &Config,
        shown: FieldSet,
    ) -> Result<ExecCluster, TargetError> {
        let ids: Vec<ServerId> = config.server_ids().collect();
        let (session, views) = {
            let mut link = lock(&link);
            let opened = link
                .open(config, &ids)
                .and_then(|session| match link.receive()? {
                    Reply::Opened {
                        session: of, views, ..
                    } if of == session => Ok((session, read_views(views, &[], ids.len(), shown)?)),
                    other => Err(unexpected(&other)),
                });
            opened.map_err(|failure| link.broken(failure).into_setup())?
        };
        Ok(ExecCluster {
            link,
            session,
            ids,
            shown,
            views,
            open: true,
        })
    }

    fn give(&mut self, id: ServerId, input: &Input) -> Result<Seen, Failure> {
        let position = self.ids.iter().position(|name| *name == id);
        let before = position.and_then(|position| self.views.get_mut(position));
        let before =
            before.ok_or_else(|| Failure::Reply(format!("the cluster has no server {id}")))?;
        let mut link = lock(&self.link);
        link.send(Request::Apply {
            session: self.session,
            inputs: &[(id, input)],
        })?;
        match link.receive()? {
            Reply::Applied {
                session,
                mut results,
            } if session == self.session && results.len() == 1 => {
                let seen = read_result(results.remove(0), before, self.shown)?;
                if let Seen::Observed(observation) = &seen {
                    before.clone_from(&observation.view);
                }
                Ok(seen)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Closes the session and reads the last views.
    fn close(&mut self) -> Result<Vec<NodeView>, Failure> {
        self.open = false;
        let mut link = lock(&self.link);
        let session = self.session;
        link.send(Request::Close { session })?;
        match link.receive()? {
            Reply::Closed { session: of, views } if of == session => {
                read_views(views, &self.views, self.ids.len(), self.shown)
            }
            other => Err(unexpected(&other)),
        }
    }

    fn failed(&mut self, failure: Failure) -> TargetError {
        self.open = false;
        lock(&self.link).broken(failure).into_failed()
    }
}

impl Cluster for ExecCluster {
    fn initial(&mut self) -> Result<Vec<NodeView>, TargetError> {
        Ok(self.views.clone())
    }

    fn apply(&mut self, id: ServerId, input: &Input) -> Result<Observation, TargetError> {
        match self.give(id, input) {
            Ok(Seen::Observed(observation)) => Ok(*observation),
            Ok(Seen::Crashed(what)) => Err(TargetError::Failed(what)),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    fn last(mut self: Box<Self>) -> Result<Vec<NodeView>, TargetError> {
        self.close().map_err(|failure| self.failed(failure))
    }
}

impl Drop for ExecCluster {
    fn drop(&mut self) {
        let session = self.session;
        let mut link = lock(&self.link);
        if self.open {
            link.abandon(session);
        }
    }
}
