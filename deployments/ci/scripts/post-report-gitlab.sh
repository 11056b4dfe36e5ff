#!/usr/bin/env bash
# Post the report of merge-request.sh on a merge request of GitLab, or update the one that is there.
# Needs the GitLab CLI, with GITLAB_TOKEN, MLOPS_CI_MERGE_REQUEST, its IID, and MLOPS_CI_PROJECT,
# the number of the project.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

number=${MLOPS_CI_MERGE_REQUEST:?the IID of the merge request}
notes="projects/${MLOPS_CI_PROJECT:?the number of the project}/merge_requests/$number/notes"
glab api --paginate "$notes?sort=asc&per_page=100" >"$results/notes.json"
note=$(python3 "$(dirname "${BASH_SOURCE[0]}")/find_comment.py" <"$results/notes.json")
if [ -n "$note" ]; then
  glab mr note update "$number" "$note" <"$results/comment.md"
else
  glab mr note create "$number" <"$results/comment.md"
fi
