//! Members: checks of a change before it is proposed, and its effect when it is applied.

use lockstep_raft::{ConfChangeKind, NodeId};

use super::command::ConfChangeContext;
use super::error::Error;
use crate::api::pb::Member;
use crate::store::{self, Batch};

/// Applies a change of membership to the store. The inner error is why the change has no effect; all
/// servers find the same one.
pub(super) fn apply(
    batch: &mut Batch<'_>,
    kind: ConfChangeKind,
    id: NodeId,
    context: &ConfChangeContext,
) -> store::Result<Result<(), Error>> {
    let members = batch.members()?;
    let removed = batch.is_removed(id.get())?;
    let allowed = check(&members, removed, kind, id, context);
    if allowed.is_err() {
        return Ok(allowed);
    }
    let old = members.into_iter().find(|member| member.id == id.get());
    let new = context.member.clone().unwrap_or_default();
    match (kind, old) {
        (ConfChangeKind::RemoveNode, _) => batch.remove_member(id.get())?,
        // A promotion, or new addresses: the other attributes stay.
        (ConfChangeKind::AddNode, Some(old)) => {
            batch.set_member(&Member {
                is_learner: false,
                ..old
            })?;
        }
        (ConfChangeKind::UpdateNode, Some(old)) => {
            batch.set_member(&Member {
                peer_urls: new.peer_urls,
                ..old
            })?;
        }
        (ConfChangeKind::AddNode | ConfChangeKind::AddLearner, _) => {
            let is_learner = kind == ConfChangeKind::AddLearner;
            batch.set_member(&Member {
                id: id.get(),
                is_learner,
                ..new
            })?;
        }
        (ConfChangeKind::UpdateNode, None) => {}
    }
    Ok(Ok(()))
}

/// Checks a change against the members.
pub(super) fn check(
    members: &[Member],
    removed: bool,
    kind: ConfChangeKind,
    id: NodeId,
    context: &ConfChangeContext,
) -> Result<(), Error> {
    let old = members.iter().find(|member| member.id == id.get());
    let urls_taken = || {
        let urls = context
            .member
            .as_ref()
            .map_or(&[][..], |member| &member.peer_urls);
        let mut others = members.iter().filter(|member| member.id != id.get());
        others.any(|member| member.peer_urls.iter().any(|url| urls.contains(url)))
    };
    match (kind, old) {
        _ if removed => Err(Error::MemberNotFound),
        (ConfChangeKind::AddNode, old) if context.is_promote => match old {
            None => Err(Error::MemberNotFound),
            Some(member) if !member.is_learner => Err(Error::NotLearner),
            Some(_) => Ok(()),
        },
        (ConfChangeKind::AddNode | ConfChangeKind::AddLearner, Some(_)) => Err(Error::MemberExists),
        (ConfChangeKind::AddNode | ConfChangeKind::AddLearner, None) if urls_taken() => {
            Err(Error::PeerUrlExists)
        }
        (ConfChangeKind::AddNode | ConfChangeKind::AddLearner, None) => Ok(()),
        (ConfChangeKind::RemoveNode | ConfChangeKind::UpdateNode, None) => {
            Err(Error::MemberNotFound)
        }
        (ConfChangeKind::UpdateNode, Some(_)) if urls_taken() => Err(Error::PeerUrlExists),
        (ConfChangeKind::RemoveNode | ConfChangeKind::UpdateNode, Some(_)) => Ok(()),
    }
}

/// Members that vote, and those of them that have started, which shows in their name.
fn voters(members: &[Member]) -> (usize, usize) {
    let voters = members.iter().filter(|member| !member.is_learner);
    let started = voters
        .clone()
        .filter(|member| !member.name.is_empty())
        .count();
    (voters.count(), started)
}

fn is_quorum(started: usize, members: usize) -> bool {
    started > members / 2
}

/// Checks that enough members have started to add a voter.
pub(super) fn check_add_voter(members: &[Member]) -> Result<(), Error> {
    let (voters, started) = voters(members);
    // A single member may always be joined by a second one: it may be that its data is to be saved.
    if (started, voters) == (1, 1) || is_quorum(started, voters + 1) {
        Ok(())
    } else {
        Err(Error::NotEnoughStarted)
    }
}

/// Checks that enough members have started without the one to remove.
pub(super) fn check_remove_voter(members: &[Member], id: u64) -> Result<(), Error> {
    let others: Vec<Member> = members
        .iter()
        .filter(|member| member.id != id)
        .cloned()
        .collect();
    let (voters, started) = voters(&others);
    if is_quorum(started, voters) {
        Ok(())
    } else {
        Err(Error::NotEnoughStarted)
    }
}

/// Checks that enough members have started with the learner, which counts as started.
pub(super) fn check_promote(members: &[Member]) -> Result<(), Error> {
    let (voters, started) = voters(members);
    if is_quorum(started + 1, voters + 1) {
        Ok(())
    } else {
        Err(Error::NotEnoughStarted)
    }
}

/// Checks that there is room for one more learner.
pub(super) fn check_learners(members: &[Member], max: usize) -> Result<(), Error> {
    let learners = members.iter().filter(|member| member.is_learner).count();
    if learners < max {
        Ok(())
    } else {
        Err(Error::TooManyLearners)
    }
}

/// Checks that all of these are addresses of peers.
pub(super) fn check_urls(urls: &[String]) -> Result<(), Error> {
    let sound = |url: &String| {
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let port = host
            .and_then(|host| host.rsplit_once(':'))
            .map(|(_, port)| port);
        port.is_some_and(|port| port.parse::<u16>().is_ok())
    };
    if !urls.is_empty() && urls.iter().all(sound) {
        Ok(())
    } else {
        Err(Error::BadMemberUrls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(started: usize, silent: usize, learners: usize) -> Vec<Member> {
        let member = |id: usize| Member {
            id: id as u64 + 1,
            name: if id < started {
                "name".to_owned()
            } else {
                String::new()
            },
            peer_urls: vec![format!("http://host{id}:1")],
            is_learner: id >= started + silent,
            ..Member::default()
        };
        (0..started + silent + learners).map(member).collect()
    }

    #[test]
    fn a_change_keeps_a_quorum_of_started_members() {
        assert!(check_add_voter(&members(1, 0, 0)).is_ok());
        assert!(check_add_voter(&members(1, 1, 0)).is_err());
        assert!(check_add_voter(&members(2, 1, 0)).is_err());
        assert!(check_add_voter(&members(3, 0, 1)).is_ok());
        assert!(check_remove_voter(&members(1, 0, 0), 1).is_err());
        assert!(check_remove_voter(&members(2, 1, 0), 3).is_ok());
        assert!(check_remove_voter(&members(2, 1, 0), 1).is_err());
        assert!(check_promote(&members(1, 0, 1)).is_ok());
        assert!(check_promote(&members(1, 2, 1)).is_err());
        assert!(check_learners(&members(3, 0, 0), 1).is_ok());
        assert!(check_learners(&members(3, 0, 1), 1).is_err());
    }

    #[test]
    fn a_change_fits_the_members() {
        let members = members(2, 0, 1);
        let id = |id| NodeId::new(id).unwrap();
        let with_url = |url: &str| ConfChangeContext {
            member: Some(Member {
                peer_urls: vec![url.to_owned()],
                ..Member::default()
            }),
            ..ConfChangeContext::default()
        };
        let text = |kind, number, context: &ConfChangeContext| {
            let result = check(&members, false, kind, id(number), context);
            result
                .map_err(|error| error.to_string())
                .err()
                .unwrap_or_default()
        };
        let plain = ConfChangeContext::default();
        let promote = ConfChangeContext {
            is_promote: true,
            ..plain.clone()
        };
        use ConfChangeKind::{AddLearner, AddNode, RemoveNode, UpdateNode};
        assert_eq!(text(AddNode, 9, &with_url("http://new:1")), "");
        assert_eq!(
            text(AddNode, 9, &with_url("http://host1:1")),
            Error::PeerUrlExists.to_string()
        );
        assert_eq!(text(AddLearner, 1, &plain), Error::MemberExists.to_string());
        assert_eq!(text(AddNode, 3, &promote), "");
        assert_eq!(text(AddNode, 1, &promote), Error::NotLearner.to_string());
        assert_eq!(
            text(AddNode, 9, &promote),
            Error::MemberNotFound.to_string()
        );
        assert_eq!(
            text(RemoveNode, 9, &plain),
            Error::MemberNotFound.to_string()
        );
        assert_eq!(text(UpdateNode, 1, &with_url("http://host0:1")), "");
        assert_eq!(
            text(UpdateNode, 1, &with_url("http://host1:1")),
            Error::PeerUrlExists.to_string()
        );
        let back = check(&members, true, AddNode, id(9), &plain);
        assert!(matches!(back, Err(Error::MemberNotFound)));
    }

    #[test]
    fn addresses_have_a_scheme_and_a_port() {
        let check =
            |urls: &[&str]| check_urls(&urls.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(check(&["http://127.0.0.1:2380", "http://[::1]:1"]).is_ok());
        for bad in [
            &[][..],
            &["127.0.0.1:2380"],
            &["http://host"],
            &["http://host:x"],
        ] {
            assert!(check(bad).is_err());
        }
    }
}
