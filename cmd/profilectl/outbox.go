package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
)

const (
	outboxPage             = 100
	outboxStatementTimeout = 30 * time.Second
)

// outboxTool is what the outbox commands share.
type outboxTool struct {
	ids      []string
	key      string
	all      bool
	retrying bool
	limit    int
	yes      bool
	asJSON   bool
	out      io.Writer
	// notes is for what is no result.
	notes io.Writer
}

func outboxCommand() *cobra.Command {
	var tool outboxTool
	var skip skipFlags
	var replay replayFlags
	cmd := &cobra.Command{Use: "outbox", Short: "Shows the queue of events and helps those that are stuck (DATABASE_URL, else the running make run)"}
	add := func(use, short, long string, run func(ctx context.Context, outbox services.OutboxService) error) *cobra.Command {
		sub := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs, RunE: withOperatedURL(func(cmd *cobra.Command, url string) error {
			tool.out, tool.notes = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if !cmd.Flags().Changed("json") {
				tool.asJSON = !isTerminal(tool.out)
			}
			return withOutbox(cmd.Context(), url, func(outbox services.OutboxService) error { return run(cmd.Context(), outbox) })
		})}
		sub.Flags().BoolVar(&tool.asJSON, "json", false, "one JSON object a line; the default when the output is no terminal")
		cmd.AddCommand(sub)
		return sub
	}
	add("status", "Says how many events wait, for how long, and who publishes them", "", tool.status)

	list := add("list", "Lists dead letters in the order of their ids, with what waits behind them", "", tool.list)
	list.Flags().BoolVar(&tool.retrying, "retrying", false, "also list refused events that are still tried")
	list.Flags().IntVar(&tool.limit, "limit", outboxPage, "show at most this many; 0: all")

	redrive := add("redrive", "Tries dead letters again; without --yes it only says which", redriveHelp, tool.redrive)
	redrive.Flags().BoolVar(&tool.all, "all", false, "every dead letter")
	for _, selecting := range []*cobra.Command{list, redrive} {
		selecting.Flags().StringSliceVar(&tool.ids, "id", nil, "ids or event ids")
		selecting.Flags().StringVar(&tool.key, "key", "", "ordering key: a user id")
	}

	skipping := add("skip", "Gives a dead letter up, so that its key goes on; without --yes it only says which", skipHelp,
		func(ctx context.Context, outbox services.OutboxService) error { return tool.skip(ctx, outbox, skip) })
	skip.bind(skipping)

	replaying := add("replay", "Publishes delivered events again; without --yes it only counts them", replayHelp,
		func(ctx context.Context, outbox services.OutboxService) error {
			return tool.replay(ctx, outbox, replay)
		})
	replay.bind(replaying)

	for _, changing := range []*cobra.Command{redrive, skipping, replaying} {
		changing.Flags().BoolVar(&tool.yes, "yes", false, "do it")
	}
	return cmd
}

func withOutbox(ctx context.Context, url string, run func(services.OutboxService) error) error {
	limits := repositories.TxOptions{StatementTimeout: outboxStatementTimeout, LockTimeout: outboxStatementTimeout, MaxAttempts: 10}
	return withStore(ctx, url, limits, func(store *repositories.Store) error { return run(services.NewOutboxService(store)) })
}

// print writes v as a line of JSON, or text.
func (o *outboxTool) print(v any, text string) error {
	output := []byte(text)
	if o.asJSON {
		output = line(v)
	}
	_, err := o.out.Write(output)
	return err
}

// remind says that nothing was changed, when nothing was.
func (o *outboxTool) remind() error {
	if o.yes || o.asJSON {
		return nil
	}
	_, err := fmt.Fprintln(o.out, "nothing was changed: repeat with --yes")
	return err
}

func (o *outboxTool) status(ctx context.Context, outbox services.OutboxService) error {
	status, err := outbox.Status(ctx)
	if err != nil {
		return err
	}
	if o.asJSON {
		lanes := make([]any, len(status.Lanes))
		for i, l := range status.Lanes {
			lanes[i] = map[string]any{"lane": l.Number, "owner": l.Owner, "epoch": l.Epoch, "lease_seconds": l.Lease.Seconds()}
		}
		return o.print(map[string]any{
			"backlog_estimate": status.Backlog, "lag_seconds": status.Lag.Seconds(), "publishers": status.Publishers,
			"dead": status.DeadLetters, "counted_up_to": po.OutboxCountLimit, "skipped": status.Skipped, "lanes": lanes,
		}, "")
	}
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "waiting\tabout %d\noldest waits\t%s\ndead letters\t%s\nskipped ever\t%d\npublishers\t%d\n\nlane\tepoch\tlease\towner\n",
		status.Backlog, status.Lag.Round(time.Millisecond), counted(status.DeadLetters), status.Skipped, status.Publishers)
	for _, l := range status.Lanes {
		_, _ = fmt.Fprintf(table, "%d\t%d\t%s\t%q\n", l.Number, l.Epoch, l.Lease.Round(time.Millisecond), l.Owner)
	}
	return table.Flush()
}

func counted(n int64) string { return orMore(n, po.OutboxCountLimit) }

func (o *outboxTool) list(ctx context.Context, outbox services.OutboxService) error {
	q, err := o.query()
	if err != nil {
		return err
	}
	return o.show(q, o.limit, func(q services.StuckQuery) ([]services.StuckEvent, error) { return outbox.List(ctx, q) })
}

// query is what the flags select.
func (o *outboxTool) query() (q services.StuckQuery, err error) {
	q.Retrying = o.retrying
	for _, text := range o.ids {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			q.IDs = append(q.IDs, id)
			continue
		}
		id, err := uuid.Parse(text)
		if err != nil {
			return q, fmt.Errorf("--id: %q is neither an id nor an event id", text)
		}
		q.EventIDs = append(q.EventIDs, id)
	}
	q.Key, err = userFlag("--key", o.key)
	return q, err
}

// userFlag is the zero id for an empty text.
func userFlag(name, text string) (models.UserID, error) {
	if text == "" {
		return models.UserID{}, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return models.UserID{}, fmt.Errorf("%s: %q is not a UUID", name, text)
	}
	return models.UserID(id), nil
}

// show prints the events of every page, at most limit of them, 0 for all, and fails for an id that was asked for
// and did not come.
func (o *outboxTool) show(q services.StuckQuery, limit int, next func(services.StuckQuery) ([]services.StuckEvent, error)) error {
	table := tabwriter.NewWriter(o.out, 0, 0, 2, ' ', 0)
	if !o.asJSON {
		_, _ = fmt.Fprintln(table, "id\tevent\tkey\tversion\ttype\tattempts\tdead since\twaiting\terror")
	}
	missing := map[string]bool{}
	for _, id := range q.IDs {
		missing[strconv.FormatInt(id, 10)] = true
	}
	for _, id := range q.EventIDs {
		missing[id.String()] = true
	}
	err := walk(q, limit, next, func(e services.StuckEvent) error {
		delete(missing, strconv.FormatInt(e.ID, 10))
		delete(missing, e.EventID.String())
		if !o.asJSON {
			_, err := fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%q\t%d\t%s\t%s\t%q\n", e.ID, e.EventID, e.Key, e.Version, e.EventType, e.Attempts,
				orNone(e.DeadAt), counted(e.Waiting), e.Error)
			return err
		}
		return o.print(stuckJSON(e), "")
	})
	err = errors.Join(err, table.Flush())
	for id := range missing {
		err = errors.Join(err, fmt.Errorf("%s is not a dead letter", id))
	}
	return err
}

func stuckJSON(e services.StuckEvent) map[string]any {
	return map[string]any{
		"id": e.ID, "event_id": e.EventID, "key": e.Key.String(), "version": e.Version, "event_type": e.EventType, "attempts": e.Attempts,
		"last_error": e.Error, "created_at": e.CreatedAt, "dead_at": e.DeadAt, "waiting": e.Waiting, "counted_up_to": po.OutboxCountLimit,
	}
}

// walk visits the events of every page, at most limit of them; 0 is all.
func walk(q services.StuckQuery, limit int, next func(services.StuckQuery) ([]services.StuckEvent, error), visit func(services.StuckEvent) error) error {
	q.Limit = outboxPage
	for left := limit; ; left -= outboxPage {
		if limit > 0 {
			q.Limit = int32(min(left, outboxPage))
		}
		page, err := next(q)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := visit(e); err != nil {
				return err
			}
		}
		if len(page) == 0 || limit > 0 && left <= outboxPage {
			return nil
		}
		q.After = page[len(page)-1].ID
	}
}
