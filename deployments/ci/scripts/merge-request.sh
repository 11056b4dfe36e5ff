#!/usr/bin/env bash
# Test a merge request: validate, train on pinned data beside production, compare, report, judge.
# Exits with 1 if it must not be merged. See docs/ci.md for the variables.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

rm -rf -- "$results"
mkdir -p -- "$results"

# its standard output is kept as JSON, not as the log
train() {
  local model=$1 reference=$2
  in_branch mlops train "$reference" --json >"$results/$model.json"
}

# loads the definitions; errors have file and line
if stage validate dg check defs && stage prepare in_branch mlops ci prepare; then
  in_branch mlops ci models >"$results/models.tsv"
  while IFS=$'\t' read -r model reference _ <&3; do
    stage "train-$model" train "$model" "$reference" || true
  done 3<"$results/models.tsv"
fi

code=0
in_branch mlops -q ci report "$results" --branch "$MLOPS_CI_BRANCH" \
  --commit "${MLOPS_CI_COMMIT:-}" --url "${MLOPS_CI_URL:-}" \
  --output "$results/report.md" >"$results/comment.md" || code=$?
cat -- "$results/comment.md"
exit "$code"
