#!/usr/bin/env bash
# Events both ways: a like made with grpcurl shows up in `profilectl events tail` with all attributes, and a
# published catalog file, JSON lines or gzipped CSV, gives lists their titles. Runs in the root of the repository.
# Needs GRPC_ADDR, GRPCURL, PROFILECTL and PUBSUB_EMULATOR_HOST; closes with "N passed, N failed".
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

# video_uuid ID: the UUIDv5 that publish-catalog gives a video of a CSV file (devstack.VideoUUID).
video_uuid() {
  local sum
  sum=$({ printf '\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8' && printf %s "https://www.youtube.com/watch?v=$1"; } | sha1sum)
  printf '%s-%s-5%s-%x%s-%s\n' "${sum:0:8}" "${sum:8:4}" "${sum:13:3}" $((0x${sum:16:1} & 3 | 8)) "${sum:17:3}" "${sum:20:12}"
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
# A tail that got nothing would wait for ever; that nothing came counts below.
stopped=
if [ -z "$event" ] && kill "$tail" 2>/dev/null; then stopped=yes; fi
expect 'its event arrives within a second' '"event_type":"profile.engagement.added"' "$event"
for attribute in event_id aggregate_id aggregate_type version occurred_at schema_version content-type \
  ce-specversion ce-id ce-source ce-type ce-time ce-subject ce-dataschema; do
  expect "with $attribute" "\"$attribute\":\"[^\"]+\"" "$event"
done
expect 'its key is the user' "\"ordering_key\":\"$user\"" "$event"
expect 'and says which video' "\"videoId\":\"$video\"" "$event"
ended=0
wait "$tail" || ended=$?
[ -n "$stopped" ] || expect 'the tail ends without an error' '^exit0:' "exit $ended: $(cat "$work/notes")"

titled() { call ListFavorites '{}' | grep -qF "$title"; }
await 20 titled || true
expect 'the list shows the title from the catalog' "\"title\":\"EinLiedfürzwei–两个人的歌\"" "$(call ListFavorites '{}')"

# The stack is seeded with the videos of this file, so one row gets an id that the projection cannot know.
row=szDDOuiPvcA
fresh=$(uuid | tr -d - | head -c 11)
sed "s/^$row,/$fresh,/" internal/infrastructure/devstack/seed/videos.csv | gzip >"$work/videos.csv.gz"
title='Le mariage de Christophe Beaugrand'
video=$(video_uuid "$fresh")
like="{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_LIKE\",\"action\":\"FAVORITE_ACTION_ADD\"}"
expect 'like of a video nobody knows' '"hasLiked":true.*"changed":true' "$(call MutateFavorite "$like")"
expect 'a gzipped CSV file is published' 'published[1-9][0-9]*events' "$("$PROFILECTL" events publish-catalog "$work/videos.csv.gz" 2>&1 || true)"
await 20 titled || true
expect 'the list shows the title from the file' "\"videoId\":\"$video\".*\"title\":\"LemariagedeChristopheBeaugrand\"" "$(call ListFavorites '{"page_size":1}')"
finish
