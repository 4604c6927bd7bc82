#!/usr/bin/env bash
# One learner's way through the service, with grpcurl: profile, preferences, like, bookmark, unlike,
# progress, history, favourites. Needs GRPC_ADDR, ADMIN_ADDR and GRPCURL; closes with "N passed, N failed".
set -euo pipefail
. "$(dirname "$0")/lib.sh"
other=$(uuid)

# A seeded video that is available.
seeded='x-apigateway-api-userinfo: eyJzdWIiOiIxMTExMTExMS0xMTExLTQxMTEtODExMS0xMTExMTExMTExMTEifQ'
video=$("$GRPCURL" -plaintext -H "$seeded" -d '{"page_size":1}' "$GRPC_ADDR" profile.v1.ProfileService/ListFavorites | sed -n 's/.*"videoId": "\(.*\)",/\1/p' | head -1)
expect 'seed has a video' '^[0-9a-f-]{36}$' "$video"

expect 'no profile yet' 'NotFound.*PROFILE_NOT_FOUND|PROFILE_NOT_FOUND' "$(call GetProfile '{}')"
expect 'create profile' '"displayName":"Mai".*"profileVersion":"1"' "$(call UpdateProfile '{"profile":{"displayName":" Mai "}}')"
expect 'set preferences' '"profileVersion":"2".*"dailyQuotaMinutes":25' "$(call UpdatePreferences '{"preferences":{"dailyQuotaMinutes":25,"learningGoal":"IELTS 7","extra":{"theme":"dark"}}}')"
expect 'stale expectation' 'PREFERENCE_CONFLICT' "$(call UpdatePreferences '{"preferences":{"dailyQuotaMinutes":30},"expectedProfileVersion":1}')"
expect 'like' '"hasLiked":true.*"changed":true' "$(call MutateFavorite "{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_LIKE\",\"action\":\"FAVORITE_ACTION_ADD\"}")"
again=$(call MutateFavorite "{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_LIKE\",\"action\":\"FAVORITE_ACTION_ADD\"}")
expect 'like again is fine' '"hasLiked":true' "$again"
expect 'like again changes nothing' '^0$' "$(grep -c '"changed"' <<<"$again" || true)"
expect 'bookmark' '"hasBookmarked":true' "$(call MutateFavorite "{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_BOOKMARK\",\"action\":\"FAVORITE_ACTION_ADD\"}")"
expect 'unlike' '"changed":true' "$(call MutateFavorite "{\"videoId\":\"$video\",\"favoriteType\":\"FAVORITE_TYPE_LIKE\",\"action\":\"FAVORITE_ACTION_REMOVE\"}")"
expect 'progress' '"recorded":true' "$(call UpsertWatchProgress "{\"videoId\":\"$video\",\"progress\":{\"positionSeconds\":90,\"progressRatio\":0.3,\"totalWatchSeconds\":90}}")"
expect 'history shows it with its title' "\"videoId\":\"$video\".*\"progressRatio\":0.3.*\"title\":" "$(call ListWatchHistory '{}')"
expect 'where the video was left' '"positionSeconds":"90".*"resumePositionSeconds":"90".*"recorded":true' "$(call GetWatchProgress "{\"videoId\":\"$video\"}")"
expect 'favourites hold the bookmark only' '"favoriteType":"FAVORITE_TYPE_BOOKMARK"' "$(call ListFavorites '{}')"
expect 'state of the video' '"hasBookmarked":true' "$(call BatchQueryFavorite "{\"videoIds\":[\"$video\"],\"includeStats\":true}")"
expect 'another user is refused' 'PERMISSION_DENIED' "$(call GetProfile "{\"userId\":\"$other\"}")"
expect 'all violations at once' 'action.*favorite_type.*video_id' "$(call MutateFavorite '{"videoId":"x"}')"
expect 'erasing is not served yet' 'PERMISSION_DENIED' "$(call PurgeUserData "{\"userId\":\"$user\"}")"
if command -v curl >/dev/null; then
  expect 'ready' '^ok$' "$(curl -s "http://$ADMIN_ADDR/readyz")"
fi
finish
