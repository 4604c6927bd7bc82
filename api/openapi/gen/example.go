package main

import (
	"encoding/json"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lingo-services/profile/internal/controllers/rest"
)

// sample is a body of a request, as people would send it.
type sample struct{ name, summary, body string }

// requests has the examples of every operation with a body, by the name of the operation or of the method.
var requests = map[string][]sample{
	"updateProfile": {
		{"create", "A new learner", `{"display_name": "Ada", "avatar_url": "https://cdn.example.org/ada.png", "preferences": {"learning_goal": "B2 by summer", "daily_quota_minutes": 20, "extra": {"theme": "dark"}}}`},
		{"clear", "Without a picture; everything else stays", `{"display_name": "Ada L.", "avatar_url": null}`},
	},
	"updatePreferences": {
		{"change", "Twenty minutes a day, and no theme", `{"daily_quota_minutes": 20, "extra": {"theme": null, "captions": true}}`},
		{"clear", "No goal any more", `{"learning_goal": null}`},
	},
	"MutateFavorite": {
		{"now", "The learner did it now", `{}`},
		{"earlier", "The learner did it while away from the network", `{"occurred_at": "2026-01-02T03:04:05Z"}`},
	},
	"batchQueryFavorite": {{"one", "With counters", `{"video_ids": ["` + exampleVideo + `"], "include_stats": true}`}},
	"upsertWatchProgress": {
		{"position", "42 seconds in, of 100", `{"progress": {"position_seconds": "42", "progress_ratio": 0.42, "total_watch_seconds": "40"}}`},
		{"numbered", "The seventh report of a session", `{"progress": {"position_seconds": "50", "progress_ratio": 0.5, "total_watch_seconds": "48", "session_id": "s-1"}, "seq": "7"}`},
	},
	"batchGetWatchProgress": {{"one", "One video", `{"video_ids": ["` + exampleVideo + `"]}`}},
	"purgeUserData":         {{"asked", "The user asked for it", `{"reason": "request of the user"}`}},
}

const (
	sampleProfile = `{"user_id": "` + exampleUser + `", "display_name": "Ada", "avatar_url": "https://cdn.example.org/ada.png", "profile_version": "3",
		"preferences": {"learning_goal": "B2 by summer", "daily_quota_minutes": 20, "extra": {"theme": "dark"}},
		"created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-11-27T08:00:00Z",
		"preferences_json": "{\"daily_quota_minutes\":20,\"learning_goal\":\"B2 by summer\",\"theme\":\"dark\"}"}`
	sampleStats    = `{"like_count": "12", "bookmark_count": "3", "unique_watchers": "40", "total_watch_seconds": "5400", "updated_at": "2026-11-27T08:00:00Z", "stats_version": "55"}`
	sampleState    = `{"has_liked": true, "liked_at": "2026-11-27T08:00:00Z"}`
	sampleProgress = `{"position_seconds": "42", "progress_ratio": 0.42, "total_watch_seconds": "40", "first_watched_at": "2026-11-27T07:58:00Z",
		"last_watched_at": "2026-11-27T08:00:00Z", "max_ratio": 0.42, "duration_seconds": "100", "resume_position_seconds": "42"}`
	sampleVideo = `{"video_id": "` + exampleVideo + `", "title": "Greetings", "description": "How to say hello.", "duration_micros": "100000000",
		"thumbnail_url": "https://cdn.example.org/greetings.jpg", "status": "published", "visibility_status": "public",
		"published_at": "2025-12-01T00:00:00Z", "version": "2", "updated_at": "2025-12-01T00:00:00Z"}`
)

// answers has the example of every message that is the body of a success, without what is zero.
var answers = map[protoreflect.Name]string{
	"Profile":                    sampleProfile,
	"UpdatePreferencesResponse":  `{"profile": ` + sampleProfile + `, "delta": {"changes": [{"field": "daily_quota_minutes", "old_value": null, "new_value": 20}]}}`,
	"MutateFavoriteResponse":     `{"state": ` + sampleState + `, "stats": ` + sampleStats + `, "changed": true}`,
	"BatchQueryFavoriteResponse": `{"summaries": [{"video_id": "` + exampleVideo + `", "state": ` + sampleState + `, "stats": ` + sampleStats + `}]}`,
	"ListFavoritesResponse": `{"favorites": [{"video_id": "` + exampleVideo + `", "favorite_type": "FAVORITE_TYPE_LIKE", "state": ` + sampleState + `, "video": ` + sampleVideo + `,
		"created_at": "2026-11-27T08:00:00Z", "updated_at": "2026-11-27T08:00:00Z", "stats": ` + sampleStats + `, "availability": "AVAILABILITY_AVAILABLE"}], "total_count": "1"}`,
	"UpsertWatchProgressResponse":   `{"progress": ` + sampleProgress + `, "stats": ` + sampleStats + `, "recorded": true}`,
	"GetWatchProgressResponse":      `{"progress": ` + sampleProgress + `, "recorded": true}`,
	"BatchGetWatchProgressResponse": `{"items": [{"video_id": "` + exampleVideo + `", "progress": ` + sampleProgress + `, "recorded": true}]}`,
	"ListWatchHistoryResponse": `{"items": [{"video_id": "` + exampleVideo + `", "progress": ` + sampleProgress + `, "video": ` + sampleVideo + `,
		"stats": ` + sampleStats + `, "availability": "AVAILABILITY_AVAILABLE"}]}`,
	"VideoStats":                 sampleStats,
	"BatchGetVideoStatsResponse": `{"items": [{"video_id": "` + exampleVideo + `", "stats": ` + sampleStats + `}]}`,
	"BatchGetVideosResponse": `{"items": [{"video_id": "` + exampleVideo + `", "video": ` + sampleVideo + `, "stats": ` + sampleStats + `,
		"availability": "AVAILABILITY_AVAILABLE"}]}`,
	"PurgeUserDataResponse": `{"purge_task_id": "0190d5a0-4444-7abc-8def-000000000001"}`,
}

func requestExamples(r rest.Route, called name) (object, error) {
	list := requests[called.id]
	if list == nil {
		list = requests[string(r.Method.Name())]
	}
	if list == nil {
		return nil, fmt.Errorf("%s has no example of a request", called.id)
	}
	examples := object{}
	for _, s := range list {
		var value any
		if err := json.Unmarshal([]byte(s.body), &value); err != nil {
			return nil, fmt.Errorf("example %s of %s: %w", s.name, called.id, err)
		}
		examples[s.name] = object{"summary": s.summary, "value": value}
	}
	return examples, nil
}

// answerExamples passes the example through the message, so that it is as complete as the service's own answers.
func answerExamples(r rest.Route, called name) (object, error) {
	text := answers[r.Answer.Name()]
	if text == "" {
		return nil, fmt.Errorf("%s has no example of an answer", r.Answer.Name())
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(r.Answer.FullName())
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", r.Answer.Name(), err)
	}
	message := kind.New().Interface()
	if err := protojson.Unmarshal([]byte(text), message); err != nil {
		return nil, fmt.Errorf("example of %s: %w", r.Answer.Name(), err)
	}
	value, err := complete(message)
	if err != nil {
		return nil, fmt.Errorf("example of %s: %w", r.Answer.Name(), err)
	}
	if r.Verb == http.MethodDelete {
		value["state"] = object{"has_liked": false, "has_bookmarked": false}
	}
	return object{"answer": object{"summary": called.summary, "value": value}}, nil
}

func complete(message proto.Message) (value object, err error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	return value, json.Unmarshal(text, &value)
}
