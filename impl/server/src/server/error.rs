//! Why a request failed, with etcd's texts and codes.

use tonic::{Code, Status};

use crate::api::check::BadRequest;
use crate::store::{Refusal, StoreError};

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the text says what each one means")]
pub enum Error {
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    #[error("etcdserver: no leader")]
    NoLeader,
    #[error("etcdserver: not leader")]
    NotLeader,
    #[error("etcdserver: server stopped")]
    Stopped,
    #[error("etcdserver: request timed out")]
    Timeout,
    #[error("etcdserver: request timed out, leader transfer took too long")]
    TransferTimeout,
    #[error("etcdserver: bad leader transferee")]
    BadTransferee,
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    #[error("etcdserver: rpc not supported for learner")]
    NotSupportedForLearner,
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    #[error("etcdserver: member ID already exist")]
    MemberExists,
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    #[error("etcdserver: member not found")]
    MemberNotFound,
    #[error("etcdserver: given member URLs are invalid")]
    BadMemberUrls,
    #[error("etcdserver: can only promote a learner member")]
    NotLearner,
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// Another server answered in place of this one.
    #[error("{}", .0.message())]
    Elsewhere(Status),
    /// The server failed, and stops.
    #[error("lockstep-server: {0}")]
    Failed(String),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::Refused(refusal) => Error::Refused(refusal),
            error => Error::Failed(error.to_string()),
        }
    }
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Error::BadRequest(_) | Error::RequestTooLarge | Error::BadMemberUrls => {
                Code::InvalidArgument
            }
            Error::Refused(refusal) => match refusal {
                Refusal::Compacted | Refusal::FutureRevision => Code::OutOfRange,
                Refusal::KeyNotFound => Code::InvalidArgument,
                Refusal::LeaseNotFound => Code::NotFound,
                Refusal::NoSpace => Code::ResourceExhausted,
            },
            Error::TooManyRequests => Code::ResourceExhausted,
            Error::NoLeader
            | Error::Stopped
            | Error::Timeout
            | Error::TransferTimeout
            | Error::Unhealthy => Code::Unavailable,
            Error::NotLeader
            | Error::BadTransferee
            | Error::NotSupportedForLearner
            | Error::NotEnoughStarted
            | Error::MemberExists
            | Error::PeerUrlExists
            | Error::NotLearner
            | Error::LearnerNotReady
            | Error::TooManyLearners => Code::FailedPrecondition,
            Error::MemberNotFound => Code::NotFound,
            Error::Elsewhere(status) => status.code(),
            Error::Failed(_) => Code::Internal,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        Status::new(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of code and text that etcd's clients compare with.
    #[test]
    fn statuses_are_those_of_etcd() {
        let cases: [(Error, Code, &str); 6] = [
            (
                BadRequest::EmptyKey.into(),
                Code::InvalidArgument,
                "etcdserver: key is not provided",
            ),
            (
                Refusal::Compacted.into(),
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            (
                Refusal::LeaseNotFound.into(),
                Code::NotFound,
                "etcdserver: requested lease not found",
            ),
            (
                Error::Timeout,
                Code::Unavailable,
                "etcdserver: request timed out",
            ),
            (
                Error::MemberNotFound,
                Code::NotFound,
                "etcdserver: member not found",
            ),
            (
                Error::NotSupportedForLearner,
                Code::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
            ),
        ];
        for (error, code, text) in cases {
            let status = Status::from(error);
            assert_eq!((status.code(), status.message()), (code, text));
        }
    }
}
