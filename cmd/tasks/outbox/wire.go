//go:build wireinject

package main

import (
	"context"
	"log/slog"

	gpubsub "cloud.google.com/go/pubsub/v2"
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/tasks/outbox"
)

func newApp(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*servers.App, func(), error) {
	panic(wire.Build(
		config.ProviderSet, config.OutboxProviderSet, postgres.ProviderSet, postgres.NewListener, pubsub.ProviderSet,
		repositories.ProviderSet, outbox.NewPublisher, observability.NewMetrics, observability.NewOutboxMetrics, servers.TaskProviderSet,
		wire.Bind(new(outbox.Store), new(*repositories.Store)),
		wire.Bind(new(outbox.Topic), new(*gpubsub.Publisher)),
		wire.Bind(new(outbox.Alarm), new(*postgres.Listener)),
		wire.Bind(new(outbox.Observer), new(*observability.OutboxMetrics)),
		wire.Bind(new(servers.Task), new(*outbox.Publisher)),
	))
}
