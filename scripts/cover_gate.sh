#!/usr/bin/env bash
# Fails when the total coverage of a profile is below a percentage.
set -euo pipefail
profile=$1 wanted=$2
total=$(go tool cover -func="$profile" | awk '$1 == "total:" {sub("%", "", $3); print $3}')
echo "coverage: $total % (at least $wanted %)"
awk -v have="$total" -v want="$wanted" 'BEGIN {exit !(have >= want)}'
