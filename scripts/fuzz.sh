#!/usr/bin/env bash
# Runs every fuzz target of the repository for the given time each.
set -euo pipefail
budget=$1
grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . >/dev/null || { echo 'no fuzz target found'; exit 1; }
while IFS=: read -r file target; do
  echo "== ${target#func } ($(dirname "$file"))"
  go test -run '^$' -fuzz "^${target#func }\$" -fuzztime "$budget" "$(dirname "$file")"
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort)
