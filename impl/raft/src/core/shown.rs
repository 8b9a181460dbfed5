//! Inputs and their effects as an observer is shown them. Nothing here changes the server.

use super::Core;
use crate::error::Error;
use crate::observer::{Effect, Input, Observer};
use crate::ready::Ready;
use crate::storage::Storage;

impl<S: Storage, O: Observer> Core<S, O> {
    /// Shows an input that comes next.
    #[inline]
    pub(crate) fn show_input(&mut self, input: Input<'_>) {
        if self.watch.observer.sees_inputs() {
            self.watch.observer.on_input(self.watch.node, &input);
        }
    }

    /// Shows what came of the last input.
    #[inline]
    pub(crate) fn show_effect<T>(&mut self, result: &Result<T, Error>, ready: Option<&Ready>) {
        if self.watch.observer.sees_inputs() {
            self.show(result.as_ref().err(), ready);
        }
    }

    #[cold]
    fn show(&mut self, error: Option<&Error>, ready: Option<&Ready>) {
        let effect = Effect {
            error,
            status: self.basic_status(),
            lease: self.lease_live(),
            config: &self.tracker.config,
            messages: &self.messages,
            messages_after_persist: &self.messages_after_persist,
            ready,
            log: &self.log,
        };
        self.watch.observer.on_effect(self.watch.node, &effect);
    }
}
