#!/usr/bin/env bash
# Compares the contracts with a branch. That branch has no third_party folder (it is fetched, not
# committed), so its tree is laid out beside ours first. A folder it does not have yet is compared with itself:
# buf wants the same modules on both sides.
set -euo pipefail
against=${BREAKING_AGAINST:-main}
git rev-parse --verify --quiet "$against^{commit}" >/dev/null || against=HEAD
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp -r --parents buf.yaml third_party internal/clients/catalog/video "$tree/"
for folder in api configs internal/clients/catalog/video; do
  git cat-file -e "$against:$folder" 2>/dev/null || continue
  rm -rf "${tree:?}/$folder"
  git archive "$against" "$folder" | tar -x -C "$tree"
done
buf breaking --against "$tree"
