# Stages of a pipeline, for the scripts beside it; each is recorded for 'mlops ci report'.
# shellcheck shell=bash
set -euo pipefail

# where the results of the pipeline go; an artefact of it
results=${MLOPS_CI_RESULTS:-ci-results}

# Run a command as a stage: its output is printed, and kept in NAME.log beside its exit code.
# A stage that fails does not end the script; the return code is that of the command.
stage() {
  local name=$1 code=0
  shift
  printf '== %s\n' "$name"
  "$@" 2>&1 | tee "$results/$name.log" || code=${PIPESTATUS[0]}
  printf '%s\n' "$code" >"$results/$name.status"
  return "$code"
}

# Run a command in the workspace of the branch, which may be called --help: that is no option.
in_branch() {
  mlops ci exec -- "${MLOPS_CI_BRANCH:?the name of the branch}" "$@"
}
