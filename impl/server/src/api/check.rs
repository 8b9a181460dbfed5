//! Checks of requests that need no state, in the order and with the texts of etcd.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::pb::{
    DeleteRangeRequest, PutRequest, RangeRequest, Request, RequestOp, SortOrder, SortTarget,
    TxnRequest,
};
use crate::store::Span;

/// A request that no server would carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadRequest {
    /// No key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// An operation of a transaction without a kind.
    #[error("etcdserver: key not found")]
    EmptyOp,
    /// A value beside the wish to keep the old one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease beside the wish to keep the old one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction with more operations than the server takes.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that writes a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// An unknown order.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
}

type Result = std::result::Result<(), BadRequest>;

/// Checks a range request.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn range(request: &RangeRequest) -> Result {
    if request.key.is_empty() {
        return Err(BadRequest::EmptyKey);
    }
    let known = SortOrder::try_from(request.sort_order).is_ok()
        && SortTarget::try_from(request.sort_target).is_ok();
    if known {
        Ok(())
    } else {
        Err(BadRequest::InvalidSortOption)
    }
}

/// Checks a put.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn put(request: &PutRequest) -> Result {
    if request.key.is_empty() {
        Err(BadRequest::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(BadRequest::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(BadRequest::LeaseProvided)
    } else {
        Ok(())
    }
}

/// Checks a delete.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn delete_range(request: &DeleteRangeRequest) -> Result {
    if request.key.is_empty() {
        Err(BadRequest::EmptyKey)
    } else {
        Ok(())
    }
}

/// Checks a transaction with this many operations at most.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result {
    check_ops(request, max_ops)?;
    writes(&request.success)?;
    writes(&request.failure)?;
    Ok(())
}

fn check_ops(request: &TxnRequest, max_ops: usize) -> Result {
    let counts = [
        request.compare.len(),
        request.success.len(),
        request.failure.len(),
    ];
    let ops = counts.into_iter().max().unwrap_or(0);
    if ops > max_ops {
        return Err(BadRequest::TooManyOps);
    }
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(BadRequest::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request),
            Some(Request::RequestPut(request)) => put(request),
            Some(Request::RequestDeleteRange(request)) => delete_range(request),
            Some(Request::RequestTxn(request)) => check_ops(request, max_ops - ops),
            None => Err(BadRequest::EmptyOp),
        }?;
    }
    Ok(())
}

/// The keys that a list of operations writes.
#[derive(Default)]
struct Writes {
    puts: BTreeSet<Bytes>,
    deletes: Vec<Span>,
}

impl Writes {
    fn deletes(&self, key: &Bytes) -> bool {
        self.deletes.iter().any(|span| span.contains(key))
    }

    fn collides_with(&self, other: &Writes) -> bool {
        self.puts
            .iter()
            .any(|key| other.puts.contains(key) || other.deletes(key))
            || other.puts.iter().any(|key| self.deletes(key))
    }

    fn add(&mut self, other: Writes) {
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
    }
}

/// The writes of a list of operations, none of which may write a key that another one puts. The two
/// branches of a transaction exclude each other, so they may.
fn writes(ops: &[RequestOp]) -> std::result::Result<Writes, BadRequest> {
    let mut all = Writes::default();
    for op in ops {
        let one = match &op.request {
            Some(Request::RequestPut(put)) => Writes {
                puts: BTreeSet::from([put.key.clone()]),
                deletes: Vec::new(),
            },
            Some(Request::RequestDeleteRange(delete)) => {
                let span = Span::new(&delete.key, &delete.range_end);
                Writes {
                    puts: BTreeSet::new(),
                    deletes: vec![span],
                }
            }
            Some(Request::RequestTxn(inner)) => {
                let mut either = writes(&inner.success)?;
                either.add(writes(&inner.failure)?);
                either
            }
            Some(Request::RequestRange(_)) | None => continue,
        };
        if all.collides_with(&one) {
            return Err(BadRequest::DuplicateKey);
        }
        all.add(one);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_op(key: &'static str) -> RequestOp {
        let put = PutRequest {
            key: key.into(),
            ..PutRequest::default()
        };
        RequestOp {
            request: Some(Request::RequestPut(put)),
        }
    }

    fn delete_op(key: &'static str, end: &'static str) -> RequestOp {
        let delete = DeleteRangeRequest {
            key: key.into(),
            range_end: end.into(),
            prev_kv: false,
        };
        RequestOp {
            request: Some(Request::RequestDeleteRange(delete)),
        }
    }

    fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
        let txn = TxnRequest {
            compare: Vec::new(),
            success,
            failure,
        };
        RequestOp {
            request: Some(Request::RequestTxn(txn)),
        }
    }

    fn check(success: Vec<RequestOp>) -> Result {
        txn(
            &TxnRequest {
                success,
                ..TxnRequest::default()
            },
            4,
        )
    }

    #[test]
    fn a_key_is_written_once() {
        let duplicate = Err(BadRequest::DuplicateKey);
        assert_eq!(check(vec![put_op("a"), put_op("b")]), Ok(()));
        assert_eq!(check(vec![put_op("a"), put_op("a")]), duplicate);
        assert_eq!(check(vec![put_op("b"), delete_op("a", "c")]), duplicate);
        assert_eq!(check(vec![delete_op("a", "\0"), put_op("b")]), duplicate);
        assert_eq!(check(vec![delete_op("a", "c"), delete_op("b", "")]), Ok(()));
        assert_eq!(check(vec![put_op("c"), delete_op("a", "c")]), Ok(()));
        let branches = nested(vec![put_op("a")], vec![put_op("a")]);
        assert_eq!(check(vec![branches.clone()]), Ok(()));
        assert_eq!(check(vec![branches.clone(), put_op("a")]), duplicate);
        assert_eq!(check(vec![delete_op("a", ""), branches]), duplicate);
        assert_eq!(
            check(vec![nested(vec![put_op("a"), put_op("a")], vec![])]),
            duplicate
        );
    }

    #[test]
    fn operations_are_counted_with_those_around_them() {
        let keys = ["a", "b", "c", "d", "e"];
        let puts = |count: usize| {
            keys[..count]
                .iter()
                .map(|key| put_op(key))
                .collect::<Vec<_>>()
        };
        assert_eq!(check(puts(4)), Ok(()));
        assert_eq!(check(puts(5)), Err(BadRequest::TooManyOps));
        assert_eq!(check(vec![nested(puts(3), vec![])]), Ok(()));
        assert_eq!(
            check(vec![nested(puts(4), vec![])]),
            Err(BadRequest::TooManyOps)
        );
    }

    #[test]
    fn fields_that_contradict_each_other_are_refused() {
        let put_of = |change: fn(&mut PutRequest)| {
            let mut request = PutRequest {
                key: "a".into(),
                ..PutRequest::default()
            };
            change(&mut request);
            put(&request)
        };
        assert_eq!(put_of(|_| ()), Ok(()));
        assert_eq!(put_of(|put| put.key.clear()), Err(BadRequest::EmptyKey));
        let kept = put_of(|put| (put.ignore_value, put.value) = (true, "x".into()));
        assert_eq!(kept, Err(BadRequest::ValueProvided));
        let kept = put_of(|put| (put.ignore_lease, put.lease) = (true, 1));
        assert_eq!(kept, Err(BadRequest::LeaseProvided));
        let sorted = |sort_order, sort_target| {
            let key = Bytes::from("a");
            range(&RangeRequest {
                key,
                sort_order,
                sort_target,
                ..RangeRequest::default()
            })
        };
        assert_eq!(sorted(2, 4), Ok(()));
        assert_eq!(sorted(3, 0), Err(BadRequest::InvalidSortOption));
        assert_eq!(sorted(0, 5), Err(BadRequest::InvalidSortOption));
        assert_eq!(range(&RangeRequest::default()), Err(BadRequest::EmptyKey));
        assert_eq!(
            delete_range(&DeleteRangeRequest::default()),
            Err(BadRequest::EmptyKey)
        );
        assert_eq!(
            check(vec![RequestOp { request: None }]),
            Err(BadRequest::EmptyOp)
        );
    }
}
