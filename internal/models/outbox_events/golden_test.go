package outboxevents_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
)

var update = flag.Bool("update", false, "write testdata from what the code gives")

// golden is one published message. Changing a stored one breaks consumers.
type golden struct {
	PayloadHex string            `json:"payload_hex"`
	Payload    json.RawMessage   `json:"payload"`
	Attributes map[string]string `json:"attributes"`
}

var (
	eventID = uuid.MustParse("0190d5a0-0001-7abc-8def-000000000001")
	userID  = models.UserID(uuid.MustParse("0190d5a0-0002-7abc-8def-000000000002"))
	videoID = models.VideoID(uuid.MustParse("0190d5a0-0003-7abc-8def-000000000003"))
	taskID  = uuid.MustParse("0190d5a0-0004-7abc-8def-000000000004")
	at      = time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// samples has an event of every kind whose every field is set.
func samples(t testing.TB) map[outboxevents.Kind]po.Event {
	t.Helper()
	stats := po.VideoStats{LikeCount: 12, BookmarkCount: 3, UniqueWatchers: 40, TotalWatchSeconds: 1 << 53, Version: 99, UpdatedAt: at}
	like := po.FavoriteCommand{UserID: userID, VideoID: videoID, Type: models.Like, Active: true}
	unbookmark := po.FavoriteCommand{UserID: userID, VideoID: videoID, Type: models.Bookmark}
	session, completed := "s-1", at.Add(-time.Minute)
	watched := po.Merged{
		Next: po.WatchLog{
			UserID: userID, VideoID: videoID, PositionSeconds: 42, RatioBP: 4200, MaxRatioBP: 9600, CountedSeconds: 420,
			FirstWatchedAt: at.Add(-time.Hour), LastWatchedAt: at, ExpiresAt: at.AddDate(0, 0, 180), SessionID: &session,
			CompletedAt: &completed, CompletedCount: 2,
		},
		At: at, Progressed: true,
	}
	changes := []po.PreferenceChange{
		{Field: "learning_goal", Old: nil, New: "B2"},
		{Field: "daily_quota_minutes", Old: 10.0, New: nil},
		{Field: "extra.ui.theme", Old: "s3cr3t", New: "s3cr3t"},
	}
	deletion := outboxevents.Deletion{UserID: userID, TaskID: taskID, PurgedAt: at}
	erased := outboxevents.Erased{Profiles: 1, Engagements: 2, WatchRecords: 3, Events: 4, IdempotencyRecords: 5}
	events := map[outboxevents.Kind]po.Event{}
	for _, build := range []func() (po.Event, error){
		func() (po.Event, error) {
			return outboxevents.Engagement(eventID, like, po.FavoriteChange{At: at, EventAt: at}, stats)
		},
		func() (po.Event, error) {
			return outboxevents.Engagement(eventID, unbookmark, po.FavoriteChange{At: at, EventAt: at.Add(time.Microsecond)}, stats)
		},
		func() (po.Event, error) { return outboxevents.Progress(eventID, watched, 100_000_000, stats) },
		func() (po.Event, error) {
			return outboxevents.Removal(eventID, userID, videoID, outboxevents.Expired, at, stats)
		},
		func() (po.Event, error) {
			return outboxevents.Preferences(eventID, po.User{UserID: userID, Version: 7}, changes, at)
		},
		func() (po.Event, error) { return deletion.Scheduled(eventID, at) },
		func() (po.Event, error) { return deletion.Completed(eventID, at.Add(time.Minute), erased) },
	} {
		event, err := build()
		require.NoError(t, err)
		event.Version = 3
		events[event.Type] = event
	}
	return events
}

// delivery is an event as the publisher reads it.
func delivery(e po.Event) po.Delivery {
	return po.Delivery{
		ID: 1, Lane: e.Lane(), EventID: e.ID, AggregateType: "user", AggregateID: uuid.UUID(e.UserID), EventType: e.Type, Key: e.UserID,
		Version: e.Version, Payload: e.Payload, TraceParent: parent, OccurredAt: e.OccurredAt,
	}
}

// Not parallel, so that -update writes before others read.
func TestM116_GoldenEvents(t *testing.T) {
	events := samples(t)
	for _, kind := range outboxevents.Kinds() {
		t.Run(kind, func(t *testing.T) {
			event, found := events[kind]
			require.True(t, found, "every kind has a sample")
			message, err := outboxevents.Decode(kind, event.Payload)
			require.NoError(t, err)
			got := encoded(t, golden{hex.EncodeToString(event.Payload), asJSON(t, message), outboxevents.Attributes(delivery(event))})
			file := filepath.Join("testdata", kind+".json")
			if *update {
				require.NoError(t, os.WriteFile(file, got, 0o600))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestM116_GoldenBytesSurviveDecoding(t *testing.T) {
	t.Parallel()
	for _, kind := range outboxevents.Kinds() {
		text, err := os.ReadFile(filepath.Join("testdata", kind+".json"))
		require.NoError(t, err)
		var stored golden
		require.NoError(t, json.Unmarshal(text, &stored))
		payload, err := hex.DecodeString(stored.PayloadHex)
		require.NoError(t, err)
		message, err := outboxevents.Decode(kind, payload)
		require.NoError(t, err)
		require.Empty(t, message.ProtoReflect().GetUnknown())
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		require.NoError(t, err)
		require.Equal(t, payload, again, kind)

		fromJSON := message.ProtoReflect().New().Interface()
		require.NoError(t, protojson.Unmarshal(stored.Payload, fromJSON))
		require.True(t, proto.Equal(message, fromJSON), kind)
	}
}

// A sample that leaves a field out would leave it untested everywhere.
func TestM116_GoldenEventsSetEveryField(t *testing.T) {
	t.Parallel()
	for kind, event := range samples(t) {
		message, err := outboxevents.Decode(kind, event.Payload)
		require.NoError(t, err)
		fields := message.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			require.True(t, message.ProtoReflect().Has(fields.Get(i)), "%s", fields.Get(i).FullName())
		}
	}
}

func TestM116_EveryKindConstantIsDecodable(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "events.go", nil, 0)
	require.NoError(t, err)
	var constants []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Kind" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			constants = append(constants, value)
		}
		return true
	})
	require.NotEmpty(t, constants)
	require.ElementsMatch(t, constants, outboxevents.Kinds())
}

func TestS68_EventNamesKeysOfExtraOnly(t *testing.T) {
	t.Parallel()
	payload := samples(t)[outboxevents.PreferencesUpdated].Payload
	require.NotContains(t, string(payload), "s3cr3t")
	require.Contains(t, string(payload), "extra.ui.theme")
}

func TestDecodeRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	_, err := outboxevents.Decode("profile.engagement.exploded", nil)
	require.ErrorContains(t, err, "profile.engagement.exploded")
	_, err = outboxevents.Decode(outboxevents.EngagementAdded, []byte{0xff})
	require.ErrorIs(t, err, proto.Error)
}

// asJSON is the canonical form without protojson's deliberately unstable blanks.
func asJSON(t testing.TB, m proto.Message) json.RawMessage {
	t.Helper()
	text, err := protojson.Marshal(m)
	require.NoError(t, err)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, text))
	return compact.Bytes()
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	return append(text, '\n')
}
