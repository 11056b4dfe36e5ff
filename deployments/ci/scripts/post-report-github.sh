#!/usr/bin/env bash
# Post the report of merge-request.sh on a pull request of GitHub, or update the one that is there.
# Needs the GitHub CLI, with GH_TOKEN and GH_REPO, and MLOPS_CI_MERGE_REQUEST, its number.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

gh pr comment "${MLOPS_CI_MERGE_REQUEST:?the number of the pull request}" \
  --body-file "$results/comment.md" --edit-last --create-if-none
