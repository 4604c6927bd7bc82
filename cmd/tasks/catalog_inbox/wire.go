//go:build wireinject

package main

import (
	"context"
	"log/slog"

	"github.com/google/wire"

	"github.com/lingo-services/profile/internal/infrastructure/config"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/internal/infrastructure/pubsub"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/services"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
)

func newApp(ctx context.Context, conf *confpb.Bootstrap, log *slog.Logger) (*servers.App, func(), error) {
	panic(wire.Build(
		config.ProviderSet, config.CatalogInboxProviderSet, postgres.ProviderSet, pubsub.ProviderSet, services.ProviderSet,
		cataloginbox.ProviderSet, observability.NewMetrics, observability.NewInboxMetrics, servers.TaskProviderSet,
		wire.Bind(new(cataloginbox.Observer), new(*observability.InboxMetrics)),
		wire.Bind(new(servers.Task), new(*cataloginbox.Runner)),
	))
}
