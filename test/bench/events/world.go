package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/repositories"
)

// world is what every contestant shares: one Postgres with fsync on, one broker.
type world struct {
	conf *confpb.Bootstrap
	// superURL is for housekeeping.
	superURL string
	// pool is for filling and measuring, worker for what is measured: its statements are counted.
	pool, worker *pgxpool.Pool
	statements   *counter
	broker       *pstest.Server
	client       *pubsub.Client
	accepted     *accepted
	close        []func() error
}

func newWorld(ctx context.Context) (w *world, err error) {
	w = &world{statements: &counter{}, accepted: newAccepted()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	durable := map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
	pg, err := devpg.Start(ctx, devpg.Options{Ephemeral: true, Settings: durable})
	if err != nil {
		return w, err
	}
	w.close = append(w.close, func() error { return pg.Stop(context.WithoutCancel(ctx)) })
	if _, err = postgres.MigrateUp(ctx, pg.OwnerURL("")); err != nil {
		return w, err
	}
	if w.conf, err = devstack.Conf(nil); err != nil {
		return w, err
	}
	w.conf.Data.Postgres.Url, w.superURL = pg.OwnerURL(""), pg.SuperURL("")
	w.broker = pstest.NewServer(pstest.ServerReactorOption{FuncName: "Publish", Reactor: w.accepted})
	w.close = append(w.close, w.broker.Close)
	w.conf.Messaging.Pubsub.EmulatorHost = w.broker.Addr
	if w.pool, err = w.newPool(ctx, nil); err != nil {
		return w, err
	}
	if w.worker, err = w.newPool(ctx, w.statements); err != nil {
		return w, err
	}
	client, closeClient, err := infrapubsub.NewClient(ctx, w.conf.GetMessaging())
	if err != nil {
		return w, err
	}
	w.client = client
	w.close = append(w.close, func() error { closeClient(); return nil })
	name := fmt.Sprintf("projects/%s/topics/%s", infrapubsub.DevProject, w.conf.GetMessaging().GetPubsub().GetTopicId())
	_, err = w.client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: name})
	return w, err
}

// newPool connects as the service does; every connection's statements go to tracer.
func (w *world) newPool(ctx context.Context, tracer pgx.QueryTracer) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(w.conf.GetData().GetPostgres().GetUrl())
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Tracer = tracer
	config.AfterConnect = func(_ context.Context, c *pgx.Conn) error {
		c.TypeMap().RegisterDefaultPgType(uuid.UUID{}, "uuid")
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err == nil {
		w.close = append(w.close, func() error { pool.Close(); return nil })
	}
	return pool, err
}

// rest does now what the server would do in the background after a heavy turn.
func (w *world) rest(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.superURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for _, sql := range []string{"VACUUM", "CHECKPOINT"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// store runs transactions on pool; filling takes long statements.
func (w *world) store(pool *pgxpool.Pool, waker repositories.Waker) *repositories.Store {
	limits := config.TxOptions(w.conf.GetData().GetPostgres())
	limits.StatementTimeout = time.Minute
	return repositories.NewStore(pool, limits, waker)
}

// Close ends everything in reverse order.
func (w *world) Close() (err error) {
	for _, end := range slices.Backward(w.close) {
		err = errors.Join(err, end())
	}
	return err
}

// counter counts statements sent to the database, and how many times some were sent.
type counter struct{ trips, n atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.trips.Add(1)
	c.n.Add(1)
	if strings.HasPrefix(data.SQL, "begin") {
		c.n.Add(int64(strings.Count(data.SQL, ";"))) // its settings
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
