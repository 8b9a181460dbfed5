//! One server of a recorded run: the specification's server, and what its application and its disk have of it.

use super::moment::{Choices, Moment, Recorder, Seen};
use lockstep_model::recorded::{Acknowledgement, Image, Message, Stimulus};
use lockstep_model::{Id, Server, Settings};
use lockstep_traces::{Outcome, Role};
use std::collections::VecDeque;

/// The part of its life that a server is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was created; the configuration of its stored snapshot comes next.
    Created {
        /// The index of that snapshot.
        snapshot: u32,
    },
    /// It uses that configuration; the restored term, vote and commit index come next.
    Configured {
        /// The index of that snapshot.
        snapshot: u32,
    },
    /// It was created with nothing stored, and may still be given a list of peers.
    Fresh,
    /// It is being given a list of peers.
    Bootstrapping {
        /// The number of peers.
        peers: u32,
        /// The number of them that have been added.
        added: u32,
    },
    /// It runs.
    Running,
}

/// One write that is under way, and what follows once it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The messages that the server then hears from itself.
    pub messages: VecDeque<Message>,
    /// The acknowledgement that storage then gives.
    pub acknowledgement: Option<Acknowledgement>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The settings of the run, with the configuration that this server began with.
    pub settings: Settings,
    /// Its state in memory.
    pub server: Server,
    /// The part of its life that it is in.
    pub phase: Phase,
    /// The image on disk once all that it has handed over is written.
    pub image: Image,
    /// The messages to itself since its application last took a `Ready`.
    pub said: Vec<Message>,
    /// The acknowledgement that storage gives after the next write.
    pub acknowledgement: Option<Acknowledgement>,
    /// Whether the next write brings more than a commit index.
    pub must_sync: bool,
    /// A snapshot replaced the log since the last `Ready`.
    pub restored: bool,
    /// The number of the last `Ready`.
    pub batch: u64,
    /// The writes under way, oldest first.
    pub outstanding: VecDeque<Batch>,
    /// The possible contents of the disk: the number of the `Ready`, and the image; oldest first, never empty.
    pub images: VecDeque<(u64, Image)>,
    /// The last `Ready` that brought more than a commit index: its write is synced when it is done.
    pub last_synced: Option<u64>,
    /// The index up to which the application has been handed entries to apply.
    pub handed: u32,
    /// The last index of the log at the last `Ready`.
    pub stored: u32,
    /// The index up to which all changes of the configuration have taken effect.
    pub conf_at: u32,
    /// The index of the last one that did.
    pub changed_at: u32,
    /// The index up to which storage no longer has the entries, as far as is known.
    pub gone: u32,
    /// The index of the latest snapshot of its application, as far as is known.
    pub snapshot: u32,
}

/// The most images that are kept of what may be on disk.
const MOST_IMAGES: usize = 64;

impl Node {
    /// A server that starts from what is on disk, and from a snapshot of its application.
    pub fn start(settings: &Settings, id: Id, image: Image, snapshot: u32, batch: u64) -> Node {
        let server = Server::from_image(settings, id, &image, snapshot);
        Node {
            settings: *settings,
            phase: Phase::Created { snapshot },
            said: Vec::new(),
            acknowledgement: None,
            must_sync: false,
            restored: false,
            batch,
            outstanding: VecDeque::new(),
            images: VecDeque::from([(batch, image.clone())]),
            image,
            last_synced: None,
            handed: snapshot,
            stored: server.log().last_index(),
            conf_at: snapshot,
            changed_at: snapshot,
            gone: 0,
            snapshot,
            server,
        }
    }

    /// Returns the choices that the lines do not have to tell.
    pub fn choices(&self) -> Choices {
        Choices {
            entries: Vec::new(),
            gone: self.gone,
            snapshot: self.snapshot,
        }
    }

    /// Takes inputs one after the other; appends the lines that the recorder would write. `None` if one is refused: then no line
    /// tells of it.
    pub fn take(
        &mut self,
        stimuli: &[Stimulus],
        choices: &Choices,
        hides_change: bool,
        moments: &mut Vec<Moment>,
    ) -> Option<()> {
        if stimuli.is_empty() {
            return Some(());
        }
        let mut recorder = Recorder::new(choices);
        recorder.hides_change = hides_change;
        for stimulus in stimuli {
            let replaced_at = self.server.log().snapshot().index;
            let outcome = self.server.take(&self.settings, stimulus, &mut recorder);
            if outcome != Outcome::Accepted {
                return None;
            }
            let (writes, _) = self.server.take_handed_over();
            for append in writes {
                self.must_sync |= append.must_sync(self.image.hard_state());
                self.image.write(&append);
                if let Some(acknowledgement) = append.acknowledgement() {
                    self.acknowledgement = Some(acknowledgement);
                }
            }
            if let Stimulus::ApplyEntry(index) = stimulus {
                self.conf_at = *index;
                self.changed_at = *index;
            }
            let snapshot = self.server.log().snapshot().index;
            if snapshot > replaced_at {
                self.conf_at = snapshot;
                self.changed_at = snapshot;
                self.handed = snapshot;
                self.restored = true;
                self.gone = 0;
                self.snapshot = 0;
            }
        }
        self.said.append(&mut recorder.to_itself);
        moments.append(&mut recorder.moments);
        Some(())
    }

    /// The application takes a `Ready`.
    pub fn ready(&mut self, is_async: bool) {
        let commit = self.server.in_memory().commit();
        let limit = match is_async {
            true => commit.min(self.stored),
            false => commit,
        };
        if !self.restored {
            self.handed = self.handed.max(limit);
        }
        // Where nothing changes there is nothing to look at again.
        while self.conf_at < self.handed && self.server.change(self.conf_at + 1).is_none() {
            self.conf_at += 1;
        }
        self.restored = false;
        self.stored = self.server.log().last_index();
        if !is_async && self.images.len() > 1 {
            // The write before this one is done; if it brought more than a commit index it is synced.
            let (last, _) = self.images[self.images.len() - 1];
            let synced = self.last_synced.filter(|it| *it <= last);
            if let Some(number) = synced {
                self.forget_images_before(number);
            }
        }
        self.batch += 1;
        if self.must_sync {
            self.last_synced = Some(self.batch);
        }
        if self
            .images
            .back()
            .is_none_or(|(_, last)| *last != self.image)
        {
            self.images.push_back((self.batch, self.image.clone()));
            if self.images.len() > MOST_IMAGES {
                self.images.pop_front();
            }
        }
        self.must_sync = false;
        self.outstanding.push_back(Batch {
            messages: std::mem::take(&mut self.said).into(),
            acknowledgement: self.acknowledgement.take(),
        });
    }

    /// The write of a `Ready` is known to be on disk.
    pub fn forget_images_before(&mut self, batch: u64) {
        while self.images.len() > 1 && self.images[1].0 <= batch {
            self.images.pop_front();
        }
    }

    /// Takes the writes that are done without a line from the queue: the inputs that follow from them. The server hears itself
    /// only where no line would tell.
    pub fn silently_written(&mut self) -> Vec<Stimulus> {
        let mut stimuli = Vec::new();
        while let Some(batch) = self.outstanding.front_mut() {
            while let Some(message) = pop_silent(&mut batch.messages) {
                stimuli.push(Stimulus::HearItself(message));
            }
            if !batch.messages.is_empty() {
                break;
            }
            stimuli.extend(batch.acknowledgement.map(Stimulus::Acknowledge));
            self.outstanding.pop_front();
        }
        stimuli
    }

    /// The inputs before the server hears a message from itself; `None` if it would not hear that one next.
    pub fn hears_itself(&mut self, seen: &Seen) -> Option<(Vec<Stimulus>, Message)> {
        let mut stimuli = self.silently_written();
        let batch = self.outstanding.front_mut()?;
        let message = batch.messages.pop_front()?;
        let heard = Seen::of(&message).as_ref() == Some(seen);
        // No line tells of what follows.
        while let Some(next) = pop_silent(&mut batch.messages) {
            stimuli.push(Stimulus::HearItself(next));
        }
        heard.then_some((stimuli, message))
    }

    /// The next change of the configuration that the application has been handed and has not applied.
    pub fn next_change(&self) -> Option<u32> {
        (self.conf_at + 1..=self.handed).find(|index| self.server.change(*index).is_some())
    }

    /// The highest index that may be applied by now.
    pub fn may_have_applied(&self) -> u32 {
        match self.next_change() {
            Some(index) => index - 1,
            None => self.handed,
        }
    }

    /// The input that says that all is applied that may be, if that is news.
    pub fn applied(&self) -> Option<Stimulus> {
        let index = self.may_have_applied();
        (index > self.server.has_applied()).then_some(Stimulus::Applied(index))
    }

    /// The input that says that all changes are applied that have taken effect, if that is news.
    pub fn applied_changes(&self) -> Option<Stimulus> {
        (self.changed_at > self.server.has_applied()).then_some(Stimulus::Applied(self.changed_at))
    }

    /// Whether it asks for pre-votes.
    pub fn is_pre_candidate(&self) -> bool {
        self.server.role() == Role::PreCandidate
    }
}

/// Takes the first message off if no line tells of it.
fn pop_silent(messages: &mut VecDeque<Message>) -> Option<Message> {
    match messages.front() {
        Some(first) if Seen::of(first).is_none() => messages.pop_front(),
        _ => None,
    }
}
