#!/usr/bin/env bash
# Train the models of ci.yaml in production, on the newest data. With MLOPS_LAUNCH=instance the
# launcher of the Dagster instance runs them, else this machine does.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

rm -rf -- "$results"
mkdir -p -- "$results"
failed=0

stage validate dg check defs
mlops ci models >"$results/models.tsv"
while IFS=$'\t' read -r model _ pinned alias <&3; do
  stage "train-$model" mlops train "$model" || failed=1
  # what merge requests are compared with, if that is not production: the same on the pinned data
  if [ "$alias" != production ]; then
    stage "train-$model-$alias" mlops train "$model@${pinned#*@}" || failed=1
    stage "promote-$model-$alias" mlops model promote "$model" --alias "$alias" \
      --reason "main at ${MLOPS_CI_COMMIT:-an unknown commit}" || failed=1
  fi
done 3<"$results/models.tsv"
exit "$failed"
