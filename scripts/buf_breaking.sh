#!/usr/bin/env bash
# Compares the contract with a branch. That branch has no third_party folder (it is fetched, not
# committed), so its tree is laid out beside ours first.
set -euo pipefail
against=${BREAKING_AGAINST:-main}
git rev-parse --verify --quiet "$against^{commit}" >/dev/null || against=HEAD
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git archive "$against" buf.yaml api configs | tar -x -C "$tree"
cp -r third_party "$tree/"
buf breaking --against "$tree"
