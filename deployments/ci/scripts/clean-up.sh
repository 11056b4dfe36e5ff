#!/usr/bin/env bash
# Remove the workspaces of branches that the remote no longer has; a dry run with MLOPS_CI_DRY_RUN=1.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

apply=(--apply)
if [ -n "${MLOPS_CI_DRY_RUN:-}" ]; then apply=(); fi

branches=$(git ls-remote --heads "${MLOPS_CI_REMOTE:-origin}")
printf '%s\n' "$branches" | sed -E 's|^[0-9a-f]+\trefs/heads/||' |
  mlops ci clean --open-branches - "${apply[@]}"
