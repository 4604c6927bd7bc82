package testkit

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devstack"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/models"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
)

// Service is the whole service on a database of its own, listening on loopback.
type Service struct {
	*devstack.Service
	DB    *Database
	Clock Clock
	Conn  *grpc.ClientConn
	// Log has every line the service wrote.
	Log *Buffer
}

// New starts the service; configure may change its configuration.
func New(t testing.TB, configure ...func(*confpb.Bootstrap)) *Service {
	t.Helper()
	return NewOn(t, NewDatabase(t), configure...)
}

// NewOn is New on an existing database: a second instance, or one with other settings.
func NewOn(t testing.TB, db *Database, configure ...func(*confpb.Bootstrap)) *Service {
	t.Helper()
	conf, err := devstack.Conf(nil)
	require.NoError(t, err)
	conf.Server.Grpc.Addr, conf.Server.Http.Addr, conf.Server.Admin.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	conf.Data.Postgres.Url = db.AppURL
	conf.Data.Postgres.MinConns = 0 // hundreds of services share a server
	conf.Data.Postgres.MaxConns = 56
	conf.Admission.Updates.Slots = 32 // tests let many calls wait in the database at a time
	if mode := os.Getenv("PROFILE_TEST_QUERY_MODE"); mode != "" {
		conf.Data.Postgres.QueryMode = mode
	}
	conf.Admission.RunnablePerProcessor = 512 // they share a process with all other tests and services
	if os.Getenv("PROFILE_TEST_SWITCHES") == "off" {
		conf.Coalescing.Enabled, conf.Admission.Enabled, conf.Cache.Backend = false, false, "off"
	}
	conf.Limits.Backend = "off" // tests make one user call as fast as they can
	conf.Service.LogLevel = "debug"
	// The machine is shared: tests are about results, and those about deadlines set their own.
	relax(conf)
	for _, f := range configure {
		f(conf)
	}
	require.NoError(t, config.Validate(conf))
	lines := &Buffer{}
	log, err := observability.NewLogger(lines, conf.GetService().GetLogLevel())
	require.NoError(t, err)
	return run(t, db, conf, log, lines)
}

func relax(conf *confpb.Bootstrap) {
	const ceiling = 5
	for _, d := range []interface{ Reset() }{conf.Server.Timeouts.Query, conf.Server.Timeouts.Command, conf.Server.Timeouts.Progress} {
		d.Reset()
	}
	conf.Server.Timeouts.Query.Seconds, conf.Server.Timeouts.Command.Seconds, conf.Server.Timeouts.Progress.Seconds = ceiling, ceiling, ceiling
	conf.Data.Postgres.LockTimeout.Seconds = ceiling
}

func run(t testing.TB, db *Database, conf *confpb.Bootstrap, log *slog.Logger, lines *Buffer) *Service {
	t.Helper()
	service, cleanup, err := devstack.NewService(t.Context(), conf, log)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.App.Run(ctx) }()
	conn, err := grpc.NewClient(service.App.Listeners.GRPC.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		stop()
		require.NoError(t, <-done)
		cleanup()
	})
	return &Service{Service: service, DB: db, Clock: Clock{t, db}, Conn: conn, Log: lines}
}

// AsUser is a client with a user's identity header.
func (s *Service) AsUser(id models.UserID) profilev1.ProfileServiceClient {
	return s.As("x-apigateway-api-userinfo", devstack.UserInfo(id.String()))
}

// AsService is a client of the development service with that role.
func (s *Service) AsService(role string) profilev1.ProfileServiceClient {
	return s.As("authorization", "Bearer "+devstack.DevToken(role))
}

// As is a client that sends the given metadata pairs with every call.
func (s *Service) As(pairs ...string) profilev1.ProfileServiceClient {
	return profilev1.NewProfileServiceClient(persona{s.Conn, pairs})
}

type persona struct {
	grpc.ClientConnInterface
	pairs []string
}

func (p persona) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return p.ClientConnInterface.Invoke(metadata.AppendToOutgoingContext(ctx, p.pairs...), method, args, reply, opts...)
}

// Event is a written event, decoded.
type Event struct {
	ID         string
	Type       string
	Version    int64
	OccurredAt time.Time
	Message    proto.Message
}

// Events returns what was written for a user, in version order; queued only while deliveries exist.
func (s *Service) Events(t testing.TB, user models.UserID) []Event {
	t.Helper()
	rows, err := s.DB.Owner.Query(t.Context(), `
		SELECT e.event_id::text, e.event_type, e.version, e.occurred_at, e.payload FROM profile.outbox_events e
		JOIN profile.outbox_deliveries d ON d.id = e.id AND d.slot = e.slot AND d.ordering_key = e.ordering_key
		WHERE e.ordering_key = $1 ORDER BY e.version`, uuid.UUID(user))
	require.NoError(t, err)
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Event, err error) {
		var payload []byte
		if err = row.Scan(&e.ID, &e.Type, &e.Version, &e.OccurredAt, &payload); err != nil {
			return e, err
		}
		e.OccurredAt = e.OccurredAt.UTC()
		e.Message, err = outboxevents.Decode(e.Type, payload)
		return e, err
	})
	require.NoError(t, err)
	return events
}

// NewUser and NewVideo make random ids.
func NewUser() models.UserID { return models.UserID(uuid.New()) }

// NewVideo makes a random id.
func NewVideo() models.VideoID { return models.VideoID(uuid.New()) }

// Publish tells the projection about a video in a given state; change may set more.
func (s *Service) Publish(t testing.TB, id models.VideoID, change ...func(*po.VideoChange)) {
	t.Helper()
	title, status, visibility := "Title of "+id.String(), "published", "public"
	c := po.VideoChange{VideoID: id, Kind: po.VideoCreated, Version: 1, Title: &title, Status: &status, VisibilityStatus: &visibility}
	for _, f := range change {
		f(&c)
	}
	_, err := s.Videos.Upsert(t.Context(), []po.VideoChange{c})
	require.NoError(t, err)
}

// RequireError checks code and reason of a gRPC error and returns its details.
func RequireError(t testing.TB, err error, code codes.Code, reason models.Reason) ErrorDetails {
	t.Helper()
	require.Error(t, err)
	st := status.Convert(err)
	require.Equal(t, code.String(), st.Code().String(), st.Message())
	var d ErrorDetails
	for _, detail := range st.Details() {
		switch m := detail.(type) {
		case *errdetails.ErrorInfo:
			d.Info = m
		case *errdetails.BadRequest:
			d.BadRequest = m
		case *errdetails.RetryInfo:
			d.Retry = m
		case *errdetails.PreconditionFailure:
			d.Precondition = m
		}
	}
	require.NotNil(t, d.Info, "every error carries ErrorInfo")
	require.Equal(t, "profile", d.Info.GetDomain())
	require.Equal(t, string(reason), d.Info.GetReason())
	return d
}

// ErrorDetails are the details of a gRPC error; absent ones are nil.
type ErrorDetails struct {
	Info         *errdetails.ErrorInfo
	BadRequest   *errdetails.BadRequest
	Retry        *errdetails.RetryInfo
	Precondition *errdetails.PreconditionFailure
}

// Fields are the violated fields, in the order reported.
func (d ErrorDetails) Fields() []string {
	var fields []string
	for _, v := range d.BadRequest.GetFieldViolations() {
		fields = append(fields, v.GetField())
	}
	return fields
}

// RequireNoDrift recounts every video (S42).
func (s *Service) RequireNoDrift(t testing.TB) {
	t.Helper()
	drift, err := s.Stats.Verify(t.Context())
	require.NoError(t, err)
	require.Empty(t, drift)
}

// Buffer is a concurrent bytes.Buffer.
type Buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is everything written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
