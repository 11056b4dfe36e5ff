#!/usr/bin/env bash
# Post the report of merge-request.sh on a pull request of Azure Repos, or update the one that is
# there, by the REST API 7.1. Needs curl, SYSTEM_ACCESSTOKEN, MLOPS_CI_MERGE_REQUEST, the number of
# the pull request, and MLOPS_CI_REPOSITORY, the URL .../_apis/git/repositories/ID.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

number=${MLOPS_CI_MERGE_REQUEST:?the number of the pull request}
threads="${MLOPS_CI_REPOSITORY:?the URL of the repository}/pullRequests/$number/threads"
here=$(dirname "${BASH_SOURCE[0]}")

# The token goes by stdin, as arguments of a process are readable for others.
request() {
  printf 'header = "Authorization: Bearer %s"\n' "${SYSTEM_ACCESSTOKEN:?the token of the job}" |
    curl --config - --silent --show-error --fail --header 'Content-Type: application/json' "$@"
}

request "$threads?api-version=7.1" >"$results/threads.json"
found=$(python3 "$here/find_comment.py" <"$results/threads.json")
if [ -n "$found" ]; then
  python3 "$here/comment_body.py" comment <"$results/comment.md" >"$results/comment.json"
  request --request PATCH --data-binary "@$results/comment.json" \
    "$threads/${found% *}/comments/${found#* }?api-version=7.1" >/dev/null
else
  python3 "$here/comment_body.py" thread <"$results/comment.md" >"$results/comment.json"
  request --request POST --data-binary "@$results/comment.json" "$threads?api-version=7.1" >/dev/null
fi
