use crate::{Body, Message, ServerId, Term};

impl Message {
    /// The message with these parts.
    pub const fn new(from: ServerId, to: ServerId, term: Term, body: Body) -> Message {
        Message {
            from,
            to,
            term,
            body,
        }
    }
}

impl Body {
    /// Whether it answers another message.
    pub const fn is_response(&self) -> bool {
        match self {
            Body::RequestVoteResponse { .. }
            | Body::RequestPreVoteResponse { .. }
            | Body::AppendEntriesResponse { .. }
            | Body::HeartbeatResponse
            | Body::RoundResponse { .. }
            | Body::ReadIndexResponse { .. } => true,
            Body::RequestVote { .. }
            | Body::RequestPreVote { .. }
            | Body::AppendEntries { .. }
            | Body::Heartbeat { .. }
            | Body::TimeoutNow
            | Body::TransferLeader { .. }
            | Body::Propose { .. }
            | Body::ReadIndex { .. }
            | Body::InstallSnapshot { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Index;

    #[test]
    fn a_response_is_known_by_its_name() {
        let bodies = [
            Body::RequestVoteResponse { granted: true },
            Body::HeartbeatResponse,
            Body::RoundResponse { round: 1 },
            Body::Heartbeat {
                commit: Index(0),
                round: 0,
            },
            Body::TimeoutNow,
        ];
        for body in bodies {
            assert_eq!(body.is_response(), body.kind().ends_with("Response"));
        }
    }
}
