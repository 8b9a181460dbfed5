#!/usr/bin/env bash
# Chooses the version to install: what was asked for, or else the ref of the action. A version must not change its
# content, because it is the key of the cache: a tag of a release or a full commit hash.
set -euo pipefail

version=${ASKED:-$ACTION_REF}
if [[ $INSTALL != release && $INSTALL != cargo ]]; then
    echo "::error::install is release or cargo, not '$INSTALL'" >&2
    exit 2
fi
is_tag='^v[0-9]+\.[0-9]+\.[0-9]+[-.0-9A-Za-z]*$'
is_commit='^[0-9a-f]{40}$'
if [[ $INSTALL == release && ! $version =~ $is_tag && $version != latest ]]; then
    echo "::error::'$version' is no release: set the input version to a tag such as v0.1.0, or to latest" >&2
    exit 2
fi
if [[ $INSTALL == cargo && ! $version =~ $is_tag && ! $version =~ $is_commit ]]; then
    echo "::error::'$version' may change its content: set the input version to a tag such as v0.1.0 or to a full commit hash" >&2
    exit 2
fi
if [[ -z $ACTION_REPOSITORY ]]; then
    echo "::error::GitHub does not say which repository the action is from; a local path (uses: ./…) cannot install" >&2
    exit 2
fi
{
    echo "version=$version"
    echo "repository=$ACTION_REPOSITORY"
} >>"$GITHUB_OUTPUT"
