package devstack

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/lingo-services/profile/internal/infrastructure/servers"
	cataloginbox "github.com/lingo-services/profile/internal/tasks/catalog_inbox"
	"github.com/lingo-services/profile/internal/tasks/maintenance"
	"github.com/lingo-services/profile/internal/tasks/outbox"
)

// Tasks are the background workers, which in production are processes of their own.
type Tasks struct {
	Publisher    *outbox.Publisher
	CatalogInbox *cataloginbox.Runner
	Maintenance  *maintenance.Runner
}

// serve runs app and tasks until ctx ends or one of them fails. The tasks outlive the app, so that what its
// last calls wrote is still published.
func (t *Tasks) serve(ctx context.Context, app *servers.App) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running errgroup.Group
	for _, task := range []servers.Task{t.CatalogInbox, t.Maintenance, t.Publisher} {
		running.Go(func() error {
			defer cancel()
			return task.Start(context.WithoutCancel(ctx))
		})
	}
	err := app.Run(ctx)
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancelStop()
	for _, task := range []servers.Task{t.CatalogInbox, t.Maintenance, t.Publisher} {
		err = errors.Join(err, task.Stop(stop))
	}
	return errors.Join(err, running.Wait())
}
