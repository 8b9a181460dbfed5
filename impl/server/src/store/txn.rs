//! Transactions: the comparisons decide on a path before anything is written, and the whole path is
//! checked, so that a transaction is carried out as a whole or refused as a whole.

use std::cmp::Ordering;

use super::error::{Refusal, Result};
use super::span::Span;
use super::view::Reads;
use crate::api::pb::{
    Compare, CompareResult, CompareTarget, KeyValue, PutRequest, Request, RequestOp, Response,
    ResponseHeader, ResponseOp, TargetUnion, TxnRequest, TxnResponse,
};

/// The branch that a transaction takes, and those of the transactions within it.
pub(super) struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Path {
    /// Compares, with the state before the transaction.
    pub(super) fn choose(view: &impl Reads, request: &TxnRequest) -> Result<Path> {
        let mut succeeded = true;
        for compare in &request.compare {
            succeeded = succeeded && holds(view, compare)?;
        }
        let mut nested = Vec::new();
        for op in branch(request, succeeded) {
            if let Some(Request::RequestTxn(inner)) = &op.request {
                nested.push(Path::choose(view, inner)?);
            }
        }
        Ok(Path { succeeded, nested })
    }

    /// Checks everything on the path that can be refused.
    pub(super) fn check(&self, view: &impl Reads, request: &TxnRequest) -> Result<()> {
        let mut nested = self.nested.iter();
        for op in branch(request, self.succeeded) {
            match &op.request {
                Some(Request::RequestRange(range)) => drop(view.readable(range.revision)?),
                Some(Request::RequestPut(put)) => check_put(view, put)?,
                Some(Request::RequestTxn(inner)) => {
                    if let Some(path) = nested.next() {
                        path.check(view, inner)?;
                    }
                }
                Some(Request::RequestDeleteRange(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Carries the path out. Reads are answered here, writes by `write`.
    pub(super) fn run<V: Reads>(
        &self,
        view: &mut V,
        request: &TxnRequest,
        write: &mut impl FnMut(&mut V, &Request) -> Result<Response>,
    ) -> Result<TxnResponse> {
        let mut responses = Vec::new();
        let mut nested = self.nested.iter();
        for op in branch(request, self.succeeded) {
            let response = match &op.request {
                Some(Request::RequestRange(range)) => {
                    Some(Response::ResponseRange(view.range(range)?))
                }
                Some(Request::RequestTxn(inner)) => match nested.next() {
                    Some(path) => Some(Response::ResponseTxn(path.run(view, inner, write)?)),
                    None => None,
                },
                Some(request) => Some(write(view, request)?),
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse {
            header: Some(ResponseHeader::default()),
            succeeded: self.succeeded,
            responses,
        })
    }
}

fn branch(request: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded {
        &request.success
    } else {
        &request.failure
    }
}

/// Checks a put against the current state.
pub(super) fn check_put(view: &impl Reads, put: &PutRequest) -> Result<()> {
    if (put.ignore_value || put.ignore_lease) && view.get(&put.key)?.is_none() {
        return Err(Refusal::KeyNotFound.into());
    }
    if put.lease != 0 {
        return Err(Refusal::LeaseNotFound.into());
    }
    Ok(())
}

/// Returns whether a comparison holds for each key of its range, or for a key that was never written if there is none.
fn holds(view: &impl Reads, compare: &Compare) -> Result<bool> {
    let span = Span::new(&compare.key, &compare.range_end);
    let page = view.scan(&span, view.revision(), usize::MAX)?;
    if page.kvs.is_empty() {
        let value = compare.target() == CompareTarget::Value;
        return Ok(!value && holds_for(compare, &KeyValue::default()));
    }
    Ok(page.kvs.iter().all(|kv| holds_for(compare, kv)))
}

fn holds_for(compare: &Compare, kv: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    // A number of another field than the target counts as zero, as in etcd.
    let number = |wanted: CompareTarget| match (wanted, union) {
        (CompareTarget::Version, Some(&TargetUnion::Version(number)))
        | (CompareTarget::Create, Some(&TargetUnion::CreateRevision(number)))
        | (CompareTarget::Mod, Some(&TargetUnion::ModRevision(number)))
        | (CompareTarget::Lease, Some(&TargetUnion::Lease(number))) => number,
        _ => 0,
    };
    let ordering = match compare.target() {
        CompareTarget::Value => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.as_ref().cmp(&[]),
        },
        target @ CompareTarget::Version => kv.version.cmp(&number(target)),
        target @ CompareTarget::Create => kv.create_revision.cmp(&number(target)),
        target @ CompareTarget::Mod => kv.mod_revision.cmp(&number(target)),
        target @ CompareTarget::Lease => kv.lease.cmp(&number(target)),
    };
    match compare.result() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

/// Whether a transaction reads and does not write, whichever path it takes.
pub fn is_read_only(request: &TxnRequest) -> bool {
    reads_only(request, |_| true)
}

/// Whether a transaction only reads, and every read is content with this server's state.
pub fn is_serializable(request: &TxnRequest) -> bool {
    reads_only(request, |range| range.serializable)
}

fn reads_only(
    request: &TxnRequest,
    range_is_fine: impl Fn(&crate::api::pb::RangeRequest) -> bool + Copy,
) -> bool {
    let mut ops = request.success.iter().chain(&request.failure);
    ops.all(|op| match &op.request {
        Some(Request::RequestRange(range)) => range_is_fine(range),
        Some(Request::RequestTxn(inner)) => reads_only(inner, range_is_fine),
        Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => false,
    })
}
