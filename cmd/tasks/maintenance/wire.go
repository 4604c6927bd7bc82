//go:build wireinject

package main

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/internal/tasks/maintenance"
)

func newApp(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*servers.App, func(), error) {
	panic(wire.Build(
		config.ProviderSet, config.MaintenanceProviderSet, postgres.ProviderSet, services.ProviderSet, cataloginbox.ProviderSet,
		cache.UncachedVideos,
		maintenance.NewRunner, observability.NewMetrics, observability.NewMaintenanceMetrics, servers.TaskProviderSet,
		wire.Bind(new(maintenance.Store), new(*repositories.Store)),
		wire.Bind(new(maintenance.Inbox), new(services.CatalogInboxService)),
		wire.Bind(new(services.Observer), new(*observability.Metrics)),
		wire.Bind(new(maintenance.Watches), new(services.WatchHistoryService)),
		wire.Bind(new(maintenance.Observer), new(*observability.MaintenanceMetrics)),
		wire.Bind(new(servers.Task), new(*maintenance.Runner)),
	))
}
