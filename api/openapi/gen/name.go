package main

var info = object{
	"title":   "Profile API",
	"version": "1.0.0",
	"description": "Likes, bookmarks, watch history and settings of a learner: gRPC's profile.v1.ProfileService over HTTP.\n\n" +
		"Messages are ProtoJSON with the names of the contract: 64-bit integers are texts, times are RFC 3339, enums are names. " +
		"Requests may also use lowerCamelCase names and numbers; unknown members are refused.\n\n" +
		"An end user acts for themselves. A service names the user in user_id and needs the role that the operation names; `admin` has every role. " +
		"Public counters need no credentials.\n\n" +
		"Every answer that is not a success is an application/problem+json (RFC 9457), also where no operation is concerned: " +
		"404 for a path that is not here, 405 with Allow for a method that the path does not know. OPTIONS answers 204 with Allow, HEAD as GET.",
	"contact": object{"name": "Lingo Services", "url": "https://github.com/lingo-services/profile"},
}

var tags = []any{
	object{"name": tagProfile, "description": "Who a learner is, and their settings."},
	object{"name": tagFavorites, "description": "Likes and bookmarks."},
	object{"name": tagHistory, "description": "What a learner has watched, and how far."},
	object{"name": tagVideos, "description": "Counters of videos, and what the catalog says of them."},
	object{"name": tagErasure, "description": "Erasing what is stored about a user."},
}

const (
	tagProfile   = "profile"
	tagFavorites = "favorites"
	tagHistory   = "watch-history"
	tagVideos    = "videos"
	tagErasure   = "erasure"
)

// name is how an operation is called.
type name struct{ id, tag, summary string }

// names has every route; aliases are deprecated.
var names = map[string]name{
	"GET /api/v1/user/me":                          {"getProfile", tagProfile, "Get one's own profile"},
	"GET /api/v1/profile/users/{user_id}":          {"getUserProfile", tagProfile, "Get the profile of a user"},
	"PATCH /api/v1/user/me":                        {"updateProfile", tagProfile, "Create or change a profile"},
	"PATCH /api/v1/user/me/preferences":            {"updatePreferences", tagProfile, "Change preferences"},
	"PUT /api/v1/user/me/likes/{video_id}":         {"addLike", tagFavorites, "Like a video"},
	"DELETE /api/v1/user/me/likes/{video_id}":      {"removeLike", tagFavorites, "Take a like back"},
	"PUT /api/v1/user/me/bookmarks/{video_id}":     {"addBookmark", tagFavorites, "Bookmark a video"},
	"DELETE /api/v1/user/me/bookmarks/{video_id}":  {"removeBookmark", tagFavorites, "Remove a bookmark"},
	"POST /api/v1/video/{video_id}/like":           {"likeVideo", tagFavorites, "Like a video (older path)"},
	"DELETE /api/v1/video/{video_id}/like":         {"unlikeVideo", tagFavorites, "Take a like back (older path)"},
	"POST /api/v1/video/{video_id}/favorite":       {"favoriteVideo", tagFavorites, "Bookmark a video (older path)"},
	"DELETE /api/v1/video/{video_id}/favorite":     {"unfavoriteVideo", tagFavorites, "Remove a bookmark (older path)"},
	"POST /api/v1/user/me/favorites:batchQuery":    {"batchQueryFavorite", tagFavorites, "Get state and counters of up to 100 videos"},
	"GET /api/v1/user/me/favorites":                {"listFavorites", tagFavorites, "List likes and bookmarks"},
	"PUT /api/v1/user/me/watch-history/{video_id}": {"upsertWatchProgress", tagHistory, "Report where one is in a video"},
	"GET /api/v1/user/me/watch-history/{video_id}": {"getWatchProgress", tagHistory, "Get where one is in a video"},
	"POST /api/v1/user/me/watch-history:batchGet":  {"batchGetWatchProgress", tagHistory, "Get where one is in up to 100 videos"},
	"GET /api/v1/user/me/watch-history":            {"listWatchHistory", tagHistory, "List what was watched"},
	"GET /api/v1/videos/{video_id}/stats":          {"getVideoStats", tagVideos, "Get the counters of a video"},
	"GET /api/v1/videos/stats:batchGet":            {"batchGetVideoStats", tagVideos, "Get the counters of up to 100 videos"},
	"GET /api/v1/profile/videos:batchGet":          {"batchGetVideos", tagVideos, "Get up to 100 videos, for services"},
	"POST /api/v1/profile/users/{user_id}:purge":   {"purgeUserData", tagErasure, "Erase everything about a user"},
}

// aliases is the prefix of paths that remain for older callers.
const aliases = "/api/v1/video/"
