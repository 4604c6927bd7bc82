//go:build wireinject

package devstack

import (
	"context"
	"log/slog"

	"cloud.google.com/go/pubsub/v2"
	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/controllers"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	infrapubsub "github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/infrastructure/ratelimit"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/internal/tasks/maintenance"
	"github.com/lingo-services/profile/internal/tasks/outbox"
)

// NewService wires the API server with its services reachable, for seeding and tests. The same providers
// as cmd/grpc; the caller calls cleanup after the app has stopped.
func NewService(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*Service, func(), error) {
	panic(wire.Build(
		config.ProviderSet, postgres.ProviderSet, observability.ProviderSet, cache.ProviderSet, ratelimit.ProviderSet, services.ProviderSet, controllers.ProviderSet,
		servers.ProviderSet, wire.Struct(new(Service), "*"),
	))
}

// NewTasks wires the workers beside a service, with its pool and its registry of metrics. They are stopped
// before cleanup.
func NewTasks(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger, store *repositories.Store, watches services.WatchHistoryService, metrics *observability.Metrics) (*Tasks, func(), error) {
	panic(wire.Build(
		config.Messaging, config.OutboxOptions, config.CatalogInboxOptions, config.MaintenanceOptions, config.InboxGeneration, infrapubsub.ProviderSet, postgres.NewListener,
		observability.NewOutboxMetrics, observability.NewInboxMetrics, observability.NewMaintenanceMetrics,
		wire.Bind(new(outbox.Store), new(*repositories.Store)),
		wire.Bind(new(outbox.Topic), new(*pubsub.Publisher)),
		wire.Bind(new(outbox.Alarm), new(*postgres.Listener)),
		wire.Bind(new(outbox.Observer), new(*observability.OutboxMetrics)),
		outbox.NewPublisher,
		wire.Bind(new(services.Store), new(*repositories.Store)),
		services.NewCatalogInboxService,
		cataloginbox.ProviderSet,
		wire.Bind(new(cataloginbox.Observer), new(*observability.InboxMetrics)),
		wire.Bind(new(maintenance.Store), new(*repositories.Store)),
		wire.Bind(new(maintenance.Inbox), new(services.CatalogInboxService)),
		wire.Bind(new(maintenance.Watches), new(services.WatchHistoryService)),
		wire.Bind(new(maintenance.Observer), new(*observability.MaintenanceMetrics)),
		maintenance.NewRunner,
		wire.Struct(new(Tasks), "*"),
	))
}
