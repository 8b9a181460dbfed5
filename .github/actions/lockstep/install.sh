#!/usr/bin/env bash
# Installs $VERSION of lockstep from $REPOSITORY, as a release binary or by cargo, and adds it to the path.
set -euo pipefail

folder=$RUNNER_TEMP/lockstep-$VERSION
mkdir -p "$folder/bin"

from_release() {
    local target archive tag=()
    case $RUNNER_OS-$RUNNER_ARCH in
    Linux-X64) target=x86_64-unknown-linux-gnu ;;
    macOS-ARM64) target=aarch64-apple-darwin ;;
    Windows-X64) target=x86_64-pc-windows-msvc ;;
    *)
        echo "::error::no release has a binary for $RUNNER_OS on $RUNNER_ARCH; set install: cargo" >&2
        exit 2
        ;;
    esac
    archive=lockstep-$target.tar.gz
    [[ $VERSION == latest ]] || tag=("$VERSION")
    cd "$folder"
    gh release download ${tag[@]+"${tag[@]}"} --repo "$REPOSITORY" --pattern "$archive" --pattern SHA256SUMS --clobber
    # The file with the digests names every archive of the release; only this one is here.
    grep -F "  $archive" SHA256SUMS >digest
    if command -v sha256sum >/dev/null; then
        sha256sum --check digest
    else
        shasum --algorithm 256 --check digest
    fi
    tar -xzf "$archive" -C bin
}

from_source() {
    if [[ ${CACHED:-} == true ]]; then
        return
    fi
    local which=(--rev "$VERSION")
    [[ $VERSION != v* ]] || which=(--tag "$VERSION")
    cargo install --git "https://github.com/$REPOSITORY" "${which[@]}" --locked --root "$folder" lockstep-conformance
}

if [[ $INSTALL == release ]]; then
    from_release
else
    from_source
fi
"$folder/bin/lockstep" --version
if command -v cygpath >/dev/null; then
    cygpath --windows "$folder/bin" >>"$GITHUB_PATH"
else
    echo "$folder/bin" >>"$GITHUB_PATH"
fi
