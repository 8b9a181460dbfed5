//! A core in tests that have no timers: what these must do is noted, for a test that asks.

use std::ops::{Deref, DerefMut};

use bytes::Bytes;

use crate::config::Config;
use crate::core::{self, TimerEvent, TimerReset};
use crate::error::Error;
use crate::observer::NoObserver;
use crate::storage::Storage;
use crate::types::{ConfChangeV2, ConfState, Message, NodeId};

/// A core, with the same inputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Core<S> {
    core: core::Core<S, NoObserver>,
    reset: TimerReset,
}

impl<S> Deref for Core<S> {
    type Target = core::Core<S, NoObserver>;

    fn deref(&self) -> &Self::Target {
        &self.core
    }
}

impl<S> DerefMut for Core<S> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.core
    }
}

impl<S: Storage> Core<S> {
    pub fn new(config: &Config, storage: S) -> Result<Core<S>, Error> {
        let core = core::Core::new(config, storage)?;
        let reset = TimerReset::default();
        Ok(Core { core, reset })
    }

    /// Everything that the timers must have done since the last time.
    pub fn take_timer_reset(&mut self) -> TimerReset {
        std::mem::take(&mut self.reset)
    }

    fn note(&mut self, result: Result<TimerReset, Error>) -> Result<(), Error> {
        self.reset = self.reset.and(result?);
        Ok(())
    }

    pub fn step(&mut self, message: Message) -> Result<(), Error> {
        let result = self.core.step(message);
        self.note(result)
    }

    pub fn on_timer(&mut self, event: TimerEvent) -> Result<(), Error> {
        let result = self.core.on_timer(event);
        self.note(result)
    }

    pub fn campaign(&mut self) -> Result<(), Error> {
        let result = self.core.campaign();
        self.note(result)
    }

    pub fn transfer_leadership(&mut self, transferee: NodeId) -> Result<(), Error> {
        let result = self.core.transfer_leadership(transferee);
        self.note(result)
    }

    pub fn bootstrap(&mut self, servers: &[(NodeId, Bytes)]) -> Result<(), Error> {
        let result = self.core.bootstrap(servers);
        self.note(result)
    }

    pub fn advance(&mut self) -> Result<(), Error> {
        let result = self.core.advance();
        self.note(result)
    }

    pub fn apply_conf_change(
        &mut self,
        change: impl Into<ConfChangeV2>,
    ) -> Result<ConfState, Error> {
        let (conf_state, reset) = self.core.apply_conf_change(change)?;
        self.reset = self.reset.and(reset);
        Ok(conf_state)
    }
}
