#!/usr/bin/env bash
# Runs `lockstep $COMMAND` on $TARGET, keeps its files in a folder of their own, and ends with its exit code.
set -uo pipefail

folder=${RUNNER_TEMP//\\//}/lockstep-results/$NAME
rm -rf "$folder"
mkdir -p "$folder"
echo "folder=$folder" >>"$GITHUB_OUTPUT"

arguments=()
read -ra arguments -d '' <<<"$ARGUMENTS"
[[ -z $TARGET ]] || arguments+=(--target "$TARGET")
# These verbs save the way to a difference as a trace.
case $COMMAND in
check | conform | simulate | verify | walk) arguments+=(--trace-out "$folder/divergence.ndjson") ;;
esac

lockstep "$COMMAND" ${arguments[@]+"${arguments[@]}"} --quiet --junit "$folder/lockstep.xml" --report "$folder/report" |
    tee "$folder/output.txt"
code=${PIPESTATUS[0]}

echo "exit-code=$code" >>"$GITHUB_OUTPUT"
{
    echo "### lockstep $COMMAND: exit code $code"
    echo '```text'
    # A summary may have 1 MiB.
    head -c 100000 "$folder/output.txt"
    echo '```'
} >>"$GITHUB_STEP_SUMMARY"
exit "$code"
