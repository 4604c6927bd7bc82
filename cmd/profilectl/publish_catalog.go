package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	videov1 "github.com/lingo-services/profile/internal/clients/catalog/video/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
)

func publishCatalogCommand() *cobra.Command {
	var topic string
	var flags confpb.Messaging_Pubsub
	cmd := &cobra.Command{
		Use:   "publish-catalog FILE",
		Short: "Publishes catalog events as the Catalog service would",
		Long: `Publishes catalog events as the Catalog service would, from a file that may be compressed with gzip:
CSV with a header row and the columns video_id, title, publish_time, thumbnail_link and description (a created and
an updated event per row), or one video.v1.Event in JSON per line. Events of a row keep their ids: publishing the
same file again changes nothing. Project, emulator and topic are those of the service: GOOGLE_CLOUD_PROJECT,
PUBSUB_EMULATOR_HOST and PROFILE_MESSAGING_CATALOG_INBOX_TOPIC_ID.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			conf, err := config.Load("", os.Environ())
			if err != nil {
				return err
			}
			override(conf.GetMessaging().GetPubsub(), &flags)
			if topic == "" {
				topic = conf.GetMessaging().GetCatalogInbox().GetTopicId()
			}
			events, err := readCatalogFile(args[0])
			if err != nil {
				return err
			}
			client, closeClient, err := infrapubsub.NewClient(cmd.Context(), conf.GetMessaging())
			if err != nil {
				return err
			}
			defer closeClient()
			if err := publishCatalog(cmd.Context(), client.Publisher(topic), events, newProgress(cmd.ErrOrStderr(), len(events))); err != nil {
				return err
			}
			cmd.Printf("published %d events to %s\n", len(events), topic)
			return nil
		},
	}
	cmd.Flags().StringVar(&flags.ProjectId, "project", "", "Google Cloud project")
	cmd.Flags().StringVar(&flags.EmulatorHost, "emulator", "", "host:port of a Pub/Sub emulator")
	cmd.Flags().StringVar(&topic, "topic", "", "topic id")
	return cmd
}

// publishCatalog sends events in order, a window at a time, and stops the publisher.
func publishCatalog(ctx context.Context, topic *pubsub.Publisher, events []*videov1.Event, advance func(int)) error {
	const window = 500
	topic.EnableMessageOrdering = true
	defer topic.Stop()
	for from := 0; from < len(events); from += window {
		batch := events[from:min(from+window, len(events))]
		results := make([]*pubsub.PublishResult, len(batch))
		for i, e := range batch {
			m, err := catalogMessage(e)
			if err != nil {
				return err
			}
			results[i] = topic.Publish(ctx, m)
		}
		for i, r := range results {
			if _, err := r.Get(ctx); err != nil {
				return fmt.Errorf("publish event %d: %w", from+i+1, err)
			}
			advance(1)
		}
	}
	return nil
}

func catalogMessage(e *videov1.Event) (*pubsub.Message, error) {
	data, err := proto.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.GetEventId(), err)
	}
	kind := map[videov1.EventType]string{
		videov1.EventType_EVENT_TYPE_VIDEO_CREATED: "catalog.video.created",
		videov1.EventType_EVENT_TYPE_VIDEO_UPDATED: "catalog.video.updated",
		videov1.EventType_EVENT_TYPE_VIDEO_DELETED: "catalog.video.deleted",
	}[e.GetEventType()]
	return &pubsub.Message{Data: data, OrderingKey: e.GetAggregateId(), Attributes: map[string]string{
		"event_id": e.GetEventId(), "event_type": kind, "aggregate_id": e.GetAggregateId(), "aggregate_type": e.GetAggregateType(),
		"version": strconv.FormatInt(e.GetVersion(), 10), "occurred_at": e.GetOccurredAt(), "schema_version": "v1",
		"content-type": "application/protobuf",
	}}, nil
}

// newProgress returns what to call with every number of events done: it draws a bar on a terminal, and writes a
// line every few seconds elsewhere.
func newProgress(w io.Writer, total int) (advance func(int)) {
	if isTerminal(w) {
		bar := progressbar.NewOptions(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("publishing"),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionClearOnFinish())
		return func(n int) { _ = bar.Add(n) }
	}
	const every = 3 * time.Second
	done, next := 0, time.Now().Add(every)
	return func(n int) {
		done += n
		if now := time.Now(); now.After(next) {
			next = now.Add(every)
			_, _ = fmt.Fprintf(w, "%d of %d events published\n", done, total)
		}
	}
}
