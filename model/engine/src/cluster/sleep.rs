//! Actions that need no look-up, because what they lead to is known already: sleep sets.
//!
//! (Godefroid, *Partial-Order Methods for the Verification of Concurrent Systems*, 1996, chapter 5; here for
//! a breadth-first search, and as the action and whether it is within the bound stay in question, for look-ups
//! only: actions are listed, counted and evaluated as ever.)
//!
//! Let state *s* have been found first from *p* by action *a*, and let *b* be listed in *p* before *a*, be
//! independent of *a*, and lead from *p* to *q*. Then *q* was found before *s*, and *s* after *b* is the same
//! state *t* as *q* after *a*: *b* is *asleep* in *s*. So it is if it was asleep in *p* already, wherever it was
//! listed: then *q* was found before everything that was found from *p*. A step from *s* to *t* that is asleep
//! is therefore never the first to *t*: there is one from a state with a lower number. Leaving out its
//! look-up changes neither what is found nor from where.
//!
//! Actions are independent if they concern different servers, or one of them only the network and the other
//! another message, neither changes the history, and neither is an input whose parameter depends on the whole cluster.
//! Two that budgets allow in one order they allow in the other, as long as the first is counted or needs no
//! budget: so what is not counted puts nothing to sleep. Whether *q* is within the bound is a matter of the
//! messages in flight in *p*, which are noted down too.

use super::keys::MAX_SERVERS;

/// The sleep set of a state, in 16 bits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SleepSet(u16);

/// The messages that it has bits for; those at later positions are awake.
const MESSAGES: usize = 8;
const FIRST_MESSAGE: u32 = 8;
const SERVERS: u16 = (1 << MAX_SERVERS) - 1;
/// Servers take the bits below, the messages more in flight the three between.
const FIRST_MORE: u32 = MAX_SERVERS as u32;
const MOST_MORE: usize = 7;

impl SleepSet {
    /// Nothing is.
    pub const NOTHING: SleepSet = SleepSet(0);

    pub fn from_bits(bits: u32) -> Self {
        SleepSet(bits as u16)
    }

    pub fn bits(self) -> u32 {
        self.0.into()
    }

    /// Whether the events without a message are asleep at the server in `slot`.
    #[inline]
    pub fn server(self, slot: usize) -> bool {
        self.0 >> slot & 1 == 1
    }

    /// Whether what can happen to the message at `position` is asleep.
    #[inline]
    pub fn message(self, position: usize) -> bool {
        position < MESSAGES && self.0 >> FIRST_MESSAGE >> position & 1 == 1
    }

    /// Returns the number of messages, beyond those in flight now, that were in flight where the sleeping actions were
    /// awake.
    #[inline]
    pub fn more(self) -> usize {
        usize::from(self.0 >> FIRST_MORE) & MOST_MORE
    }

    /// Returns the sleep set after an action on the message at `position` of `in_flight`, but for the actions that it
    /// wakes.
    #[inline]
    pub fn after_message(self, position: usize, in_flight: usize) -> Builder {
        let before = (1 << position.min(MESSAGES)) - 1;
        self.builder(SERVERS, before, in_flight)
    }

    /// Returns the sleep set after an event without a message at the server in `slot`, with `in_flight` messages in
    /// flight, but for the actions that it wakes.
    #[inline]
    pub fn after_event(self, slot: usize, in_flight: usize) -> Builder {
        self.builder((1 << slot) - 1, 0, in_flight)
    }

    #[inline]
    fn builder(self, servers: u16, messages: u16, in_flight: usize) -> Builder {
        Builder {
            servers: self.0 & SERVERS | servers,
            messages: self.0 >> FIRST_MESSAGE | messages,
            kept: 0,
            most: in_flight + self.more(),
        }
    }
}

/// The sleep set of the state that is being written.
pub(super) struct Builder {
    servers: u16,
    /// By position in the state before.
    messages: u16,
    /// By position in the state written.
    kept: u16,
    /// The most messages in flight where what is asleep was awake.
    most: usize,
}

impl Builder {
    /// In a step that nothing is independent of.
    pub const NOTHING: Builder = Builder {
        servers: 0,
        messages: 0,
        kept: 0,
        most: 0,
    };

    /// The server in `slot` was moved.
    #[inline]
    pub fn wake_server(&mut self, slot: usize) {
        self.servers &= !(1 << slot);
    }

    /// A message that the step is independent of was at position `before` and is at position `now`.
    #[inline]
    pub fn keep(&mut self, before: usize, now: usize) {
        if before < MESSAGES && now < MESSAGES {
            self.kept |= (self.messages >> before & 1) << now;
        }
    }

    /// Returns the finished sleep set, with `in_flight` messages in flight now.
    #[inline]
    pub fn asleep(self, in_flight: usize) -> SleepSet {
        let more = self.most.saturating_sub(in_flight);
        if more > MOST_MORE {
            return SleepSet::NOTHING;
        }
        SleepSet(self.servers | (more as u16) << FIRST_MORE | self.kept << FIRST_MESSAGE)
    }
}
