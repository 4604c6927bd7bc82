package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lingo-services/profile/internal/clients/catalog"
	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/test/testkit"
)

// ctl runs profilectl and returns what it printed.
func ctl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestM98_InboxCommandsShowAndRedriveFailures(t *testing.T) {
	db := testkit.NewDatabase(t)
	t.Setenv("DATABASE_URL", db.OwnerURL)
	video := testkit.NewVideo()
	good := &videov1.Event{EventId: uuid.NewString(), Payload: &videov1.Event_Updated{Updated: &videov1.VideoUpdated{
		VideoId: video.String(), Version: 1, Title: new("from the past"),
	}}}
	message, err := catalogMessage(good)
	require.NoError(t, err)
	dead, parked := uuid.New(), uuid.MustParse(good.GetEventId())
	require.NoError(t, withInbox(t.Context(), db.OwnerURL, func(inbox services.CatalogInboxService) error {
		return inbox.Park(t.Context(), []services.InboxFailure{
			{EventID: dead, State: po.Dead, Payload: []byte("garbage"), Reason: "payload: \x1b[2J"},
			{EventID: parked, State: po.Parked, Payload: message.Data, Attributes: message.Attributes, Reason: "unknown"},
		})
	}))
	out, err := ctl(t, "inbox", "status")
	require.NoError(t, err)
	var status struct{ Dead, Parked int }
	require.NoError(t, json.Unmarshal([]byte(out), &status))
	require.Equal(t, [2]int{1, 1}, [2]int{status.Dead, status.Parked})

	out, err = ctl(t, "inbox", "list", "--state", "dead", "--json=false")
	require.NoError(t, err)
	require.Contains(t, out, dead.String())
	require.NotContains(t, out, parked.String())
	require.NotContains(t, out, "\x1b", "a terminal must not obey it")
	out, err = ctl(t, "inbox", "list", "--limit", "1")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, "\n"))

	out, err = ctl(t, "inbox", "redrive", "--json=false")
	require.NoError(t, err)
	require.Contains(t, out, "1 applicable")
	require.Contains(t, out, "1 refused")
	require.Contains(t, out, "nothing was changed")
	require.Zero(t, testkit.One[int64](t, db, "SELECT count(*) FROM profile.videos_projection"))
	out, err = ctl(t, "inbox", "redrive", "--yes", "--id", parked.String())
	require.NoError(t, err)
	require.Contains(t, out, `"outcome":"applied"`)
	require.Equal(t, "from the past", testkit.One[string](t, db, "SELECT title FROM profile.videos_projection"))

	discard := []string{"inbox", "discard", "--state", "dead", "--reason", "noise", "--operator", "ada", "--json=false"}
	out, err = ctl(t, discard...)
	require.NoError(t, err)
	require.Contains(t, out, dead.String())
	require.Contains(t, out, "1 to discard; nothing was changed")
	require.Equal(t, int64(1), testkit.One[int64](t, db, "SELECT count(*) FROM profile.inbox_events WHERE processed_at IS NULL"))
	for _, want := range []string{"1 discarded", "0 discarded"} { // safe to repeat
		out, err = ctl(t, append(discard, "--yes")...)
		require.NoError(t, err)
		require.Contains(t, out, want)
	}
	require.Equal(t, "processed|discarded by ada: noise; payload: \x1b[2J", testkit.One[string](t, db,
		"SELECT concat_ws('|', state, payload, attributes, last_error) FROM profile.inbox_events WHERE event_id = '"+dead.String()+"'"))
	for _, args := range [][]string{{"say which"}, {"--reason is required", "--state", "dead"}} {
		_, err = ctl(t, append([]string{"inbox", "discard"}, args[1:]...)...)
		require.ErrorContains(t, err, args[0])
	}

	for _, args := range [][]string{{"--state", "lost"}, {"--id", "x"}} {
		_, err = ctl(t, append([]string{"inbox", "list"}, args...)...)
		require.ErrorContains(t, err, args[0])
	}
}

// What the tool publishes is what our own decoder takes (I13).
func TestM98_PublishCatalogReadsRowsAndLines(t *testing.T) {
	const rows = "video_id,title,channel_title,publish_time,views,likes,thumbnail_link,description\n" +
		"Ro6eob0LrCY,Ciel,c,2017-11-13T17:32:55.000Z,1,2,https://i/x.jpg,a\\nb\n"
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(rows))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	again, err := readCatalog(strings.NewReader(rows))
	require.NoError(t, err)
	events, err := readCatalog(&packed)
	require.NoError(t, err)
	require.Len(t, events, 2)
	for i, e := range events {
		require.Equal(t, again[i].GetEventId(), e.GetEventId(), "the same on every run")
		m, err := catalogMessage(e)
		require.NoError(t, err)
		decoded, err := catalog.Decode(m.Data, m.Attributes)
		require.NoError(t, err)
		require.Equal(t, decoded.Type, m.Attributes["event_type"])
		require.Equal(t, devstack.VideoUUID("Ro6eob0LrCY"), decoded.Change.VideoID)
		require.Equal(t, int64(i+1), decoded.Change.Version)
	}
	require.Equal(t, "a\nb", events[0].GetCreated().GetDescription())

	text, err := protojson.Marshal(events[1])
	require.NoError(t, err)
	lines, err := readCatalog(strings.NewReader(string(text) + "\n\n"))
	require.NoError(t, err)
	require.Len(t, lines, 1)
	for content, want := range map[string]string{"a,b\n": "no column video_id", "{}\n{": "line 2", "": "header"} {
		_, err := readCatalog(strings.NewReader(content))
		require.ErrorContains(t, err, want)
	}
}

func TestM98_PublishCatalogPublishesTheFile(t *testing.T) {
	b := testkit.NewBroker(t)
	b.Topic(t, "videos")
	b.Subscription(t, "videos", "all")
	file := filepath.Join(t.TempDir(), "v.csv")
	require.NoError(t, os.WriteFile(file, []byte("video_id,title,publish_time,thumbnail_link,description\na,t,2017-11-13T17:32:55.000Z,u,d\n"), 0o600))
	out, err := ctl(t, "events", "publish-catalog", file, "--project", b.Project, "--emulator", b.Addr, "--topic", "videos")
	require.NoError(t, err, out)
	require.Contains(t, out, "published 2 events to videos")
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 2)
	received := testkit.Later(func() error { return pull(ctx, b, "all", got) })
	require.Equal(t, []string{catalog.TypeCreated, catalog.TypeUpdated}, []string{<-got, <-got})
	cancel()
	require.NoError(t, <-received)
}

func pull(ctx context.Context, b *testkit.Broker, subscription string, types chan<- string) error {
	return b.Client.Subscriber(subscription).Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		types <- m.Attributes["event_type"]
		m.Ack()
	})
}
