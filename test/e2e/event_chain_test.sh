#!/usr/bin/env bash
# Events both ways: a like made with grpcurl shows up in `profilectl events tail` with all attributes, and a
# published catalog file gives lists their titles. Needs GRPC_ADDR, GRPCURL, PROFILECTL and
# PUBSUB_EMULATOR_HOST; closes with "N passed, N failed".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$(dirname "$0")/lib.sh"
video=$(uuid)

# await SECONDS COMMAND…: runs the command ten times a second until it succeeds.
await() {
  local tries=$(($1 * 10))
  shift
  for _ in $(seq "$tries"); do
    "$@" && return 0
    read -rt 0.1 <> <(:) || true
  done
  return 1
}

title="Ein Lied für zwei – 两个人的歌"
printf '{"eventId":"%s","eventType":"EVENT_TYPE_VIDEO_CREATED","aggregateId":"%s","aggregateType":"video","version":"1","created":{"videoId":"%s","version":"1","title":"%s","status":"published"}}\n' \
  "$(uuid)" "$video" "$video" "$title" >"$work/catalog.jsonl"
"$PROFILECTL" events publish-catalog "$work/catalog.jsonl" 2>"$work/publish" || cat "$work/publish"

"$PROFILECTL" events tail --json --count 1 >"$work/tail" 2>"$work/notes" &
tail=$!
await 20 test -s "$work/notes" || { echo 'the tail says nothing'; exit 1; }
like="{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_LIKE\",\"action\":\"FAVORITE_ACTION_ADD\"}"
expect 'like' '"hasLiked":true.*"changed":true' "$(call MutateFavorite "$like")"
await 1 test -s "$work/tail" || true
event=$(cat "$work/tail")
expect 'its event arrives within a second' '"event_type":"profile.engagement.added"' "$event"
for attribute in event_id aggregate_id aggregate_type version occurred_at schema_version content-type \
  ce-specversion ce-id ce-source ce-type ce-time ce-subject ce-dataschema; do
  expect "with $attribute" "\"$attribute\":\"[^\"]+\"" "$event"
done
expect 'its key is the user' "\"ordering_key\":\"$user\"" "$event"
expect 'and says which video' "\"videoId\":\"$video\"" "$event"
wait "$tail" || true

titled() { call ListFavorites '{}' | grep -q "$title"; }
await 20 titled || true
expect 'the list shows the title from the catalog' "\"title\":\"EinLiedfürzwei–两个人的歌\"" "$(call ListFavorites '{}')"
finish
