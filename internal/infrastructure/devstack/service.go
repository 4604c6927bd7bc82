// Package devstack runs everything a developer needs in one process tree: Postgres, broker, migrations,
// seed data, the API, publisher, inbox and maintenance. It is what `make run` starts.
package devstack

import (
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
)

// Service is a wired API server.
type Service struct {
	App         *servers.App
	Admin       *servers.Admin
	Pool        *pgxpool.Pool
	Store       *repositories.Store
	Metrics     *observability.Metrics
	Profiles    services.ProfileService
	Engagements services.EngagementService
	Watch       services.WatchHistoryService
	Videos      services.VideoProjectionService
	Stats       services.VideoStatsService
}
