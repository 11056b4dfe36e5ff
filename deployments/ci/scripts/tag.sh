#!/usr/bin/env bash
# Promote the model version that a git tag names: model-NAME-VERSION. Its gates, and an approval
# where it is declared, are required as ever.
. "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

reference=$(mlops ci tagged -- "${MLOPS_CI_TAG:?the name of the tag}")
mlops model promote "$reference" --reason "git tag $MLOPS_CI_TAG"
