package devstack

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

// stopTimeout bounds the orderly end of Postgres.
const stopTimeout = 20 * time.Second

// Options of a development stack.
type Options struct {
	// Ephemeral forgets all data at the end.
	Ephemeral bool
	Env       config.Environment
	Getenv    func(string) string
	// Out gets progress and the lines a developer copies; Log the service's log.
	Out io.Writer
	Log *slog.Logger
}

// Run starts the stack, prints how to use it and "ready", and serves until ctx ends; then it drains and
// stops what it started. Data stays for the next run unless Ephemeral.
func Run(ctx context.Context, o Options) (err error) {
	conf, err := Conf(o.Env)
	if err != nil {
		return err
	}
	db, err := devpg.Start(ctx, devpg.Options{
		DatabaseURL: conf.GetData().GetPostgres().GetUrl(),
		Ephemeral:   o.Ephemeral,
		Getenv:      o.Getenv,
		Report:      func(a devpg.Attempt) { say(o.Out, "%s", a) },
	})
	if err != nil {
		return err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, db.Stop(stop))
	}()
	applied, err := postgres.MigrateUp(ctx, db.OwnerURL(""))
	if err != nil {
		return err
	}
	say(o.Out, "migrations: %d applied", len(applied))
	conf.Data.Postgres.Url = db.AppURL("")
	issuer, token, err := issue(conf.GetAuth(), o)
	if err != nil {
		return err
	}
	if err := config.Validate(conf); err != nil {
		return err
	}
	broker, err := StartBroker(ctx, conf.GetMessaging())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	service, cleanup, err := NewService(ctx, conf, o.Log)
	if err != nil {
		return err
	}
	defer cleanup()
	service.Admin.Handle("GET /.well-known/jwks.json", issuer)
	seeded, err := Seed(ctx, service)
	if err != nil {
		return err
	}
	tasks, cleanupTasks, err := NewTasks(ctx, conf, o.Log, service.Store, service.Watch, service.Metrics)
	if err != nil {
		return err
	}
	defer cleanupTasks()
	announce(o.Out, conf, broker, seeded, service, profilectl(db, o.Ephemeral), token)
	return tasks.serve(ctx, service.App)
}

// announce prints addresses and lines that work as they are, pasted into a shell in the repository.
func announce(out io.Writer, conf *confpb.Bootstrap, broker *Broker, seeded bool, s *Service, profilectl, token string) {
	if seeded {
		say(out, "seed: %d users", len(SeedUsers))
	}
	if broker.InMemory {
		say(out, "broker: %s (in-memory broker: undelivered events are lost on exit)", broker.Addr)
	} else {
		say(out, "broker: %s", broker.Addr)
	}
	say(out, "grpc:   %s", s.App.Listeners.GRPC.Addr())
	say(out, "rest:   http://%s/api/v1", s.App.Listeners.HTTP.Addr())
	if conf.GetServer().GetDocs() {
		say(out, "docs:   http://%s/docs", s.App.Listeners.HTTP.Addr())
	}
	say(out, "admin:  %s", s.App.Listeners.Admin.Addr())
	say(out, "topic:  %s, catalog events from %s", conf.GetMessaging().GetPubsub().GetTopicId(), conf.GetMessaging().GetCatalogInbox().GetTopicId())
	say(out, "\nTry:\n  curl -s http://%s/readyz", s.App.Listeners.Admin.Addr())
	say(out, "  go tool -modfile=tools/go.mod grpcurl -plaintext -H 'x-apigateway-api-userinfo: %s' %s profile.v1.ProfileService/GetProfile",
		UserInfo(SeedUsers[0].ID), s.App.Listeners.GRPC.Addr())
	if token != "" {
		say(out, "  curl -s -H \"authorization: Bearer %s\" http://%s/api/v1/user/me", token, s.App.Listeners.HTTP.Addr())
	}
	say(out, "  %s outbox status", profilectl)
	say(out, "  PUBSUB_EMULATOR_HOST=%s .bin/profilectl events tail\n", broker.Addr)
	say(out, "ready")
}

// profilectl is how a shell calls it for db. It finds a persistent server by itself, and an external one in the shell's
// own DATABASE_URL; the password of a private one is good for nothing once the stack ends.
func profilectl(db *devpg.Server, ephemeral bool) string {
	const program = ".bin/profilectl"
	if !ephemeral || db.Attached() {
		return program
	}
	return "DATABASE_URL='" + db.OwnerURL("") + "' " + program
}

// UserInfo is the identity header's value for a user.
func UserInfo(userID string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"` + userID + `"}`))
}

func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...)
}
