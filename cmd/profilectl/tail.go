package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
)

// Limits of a temporary subscription. Expiry and retention are the shortest that Pub/Sub takes: they clean up
// after a tail that was killed.
const (
	tailExpiry    = 24 * time.Hour
	tailRetention = 10 * time.Minute
	tailCleanup   = 10 * time.Second
)

// tail reads a topic for a human or a script.
type tail struct {
	// subscription is an existing one; empty makes a temporary one, so that tails do not take each other's
	// messages.
	subscription string
	// count ends the tail after that many messages; 0 never does.
	count  int
	asJSON bool
	// out gets messages, notes what else there is to say.
	out, notes io.Writer
}

func tailCommand() *cobra.Command {
	var t tail
	var flags confpb.Messaging_Pubsub
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Prints events as they are published, until Ctrl-C",
		Long: `Prints events as they are published, until Ctrl-C: for people on a terminal, else one JSON object a line.
Project, emulator and topic are those of the service: GOOGLE_CLOUD_PROJECT, PUBSUB_EMULATOR_HOST and
PROFILE_MESSAGING_PUBSUB_TOPIC_ID.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := config.Load("", os.Environ())
			if err != nil {
				return err
			}
			override(conf.GetMessaging().GetPubsub(), &flags)
			t.out, t.notes = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if !cmd.Flags().Changed("json") {
				t.asJSON = !isTerminal(t.out)
			}
			return t.run(cmd.Context(), conf.GetMessaging())
		},
	}
	cmd.Flags().StringVar(&flags.ProjectId, "project", "", "Google Cloud project")
	cmd.Flags().StringVar(&flags.EmulatorHost, "emulator", "", "host:port of a Pub/Sub emulator")
	cmd.Flags().StringVar(&flags.TopicId, "topic", "", "topic id")
	cmd.Flags().StringVar(&t.subscription, "subscription", "", "read this subscription instead of a temporary one; its messages are acknowledged")
	cmd.Flags().IntVar(&t.count, "count", 0, "stop after this many messages; 0: never")
	cmd.Flags().BoolVar(&t.asJSON, "json", false, "one JSON object a line; the default when the output is no terminal")
	return cmd
}

func override(conf, flags *confpb.Messaging_Pubsub) {
	for target, value := range map[*string]string{
		&conf.ProjectId: flags.GetProjectId(), &conf.EmulatorHost: flags.GetEmulatorHost(), &conf.TopicId: flags.GetTopicId(),
	} {
		if value != "" {
			*target = value
		}
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run returns nil when ctx ends.
func (t tail) run(ctx context.Context, conf *confpb.Messaging) (err error) {
	client, closeClient, err := infrapubsub.NewClient(ctx, conf)
	if err != nil {
		return err
	}
	defer closeClient()
	if t.subscription == "" {
		remove, failure := t.subscribe(ctx, client, conf.GetPubsub().GetTopicId())
		switch {
		case ctx.Err() != nil:
			return nil
		case failure != nil:
			return failure
		}
		defer func() { err = errors.Join(err, remove()) }()
	}
	_, _ = fmt.Fprintf(t.notes, "reading %s of project %s; Ctrl-C ends\n", t.subscription, client.Project())
	return t.receive(ctx, client.Subscriber(t.subscription))
}

// subscribe makes a temporary subscription, which remove deletes.
func (t *tail) subscribe(ctx context.Context, client *pubsub.Client, topic string) (remove func() error, err error) {
	t.subscription = topic + ".tail-" + uuid.NewString()
	name := fmt.Sprintf("projects/%s/subscriptions/%s", client.Project(), t.subscription)
	_, err = client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name: name, Topic: fmt.Sprintf("projects/%s/topics/%s", client.Project(), topic), EnableMessageOrdering: true,
		MessageRetentionDuration: durationpb.New(tailRetention),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(tailExpiry)},
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tailCleanup)
		defer cancel()
		if err := client.SubscriptionAdminClient.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name}); err != nil {
			return fmt.Errorf("delete %s: %w", name, err)
		}
		return nil
	}, nil
}

// receive prints messages and acknowledges those it printed, one at a time.
func (t tail) receive(ctx context.Context, subscriber *pubsub.Subscriber) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var printed int
	var failure error
	err := subscriber.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			m.Nack()
			return
		}
		if _, failure = t.out.Write(newTailed(m).text(t.asJSON)); failure != nil {
			m.Nack()
			cancel()
			return
		}
		m.Ack()
		printed++
		if printed == t.count {
			cancel()
		}
	})
	if err != nil {
		err = fmt.Errorf("read %s: %w", t.subscription, err)
	}
	return errors.Join(err, failure)
}
