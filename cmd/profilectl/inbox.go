package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/clients/catalog"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
)

const (
	inboxPage             = 100
	inboxStatementTimeout = 30 * time.Second
)

// inboxTool is what the inbox commands share.
type inboxTool struct {
	state  string
	ids    []string
	limit  int
	yes    bool
	asJSON bool
	// operator and reason are kept with what is discarded.
	operator, reason string
}

func inboxCommand() *cobra.Command {
	var tool inboxTool
	cmd := &cobra.Command{Use: "inbox", Short: "Shows and redrives catalog events that could not be applied (DATABASE_URL, else the running make run)"}
	add := func(use, short string, run func(ctx context.Context, inbox services.CatalogInboxService, out io.Writer) error) *cobra.Command {
		sub := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: withOperatedURL(func(cmd *cobra.Command, url string) error {
			if !cmd.Flags().Changed("json") {
				tool.asJSON = !isTerminal(cmd.OutOrStdout())
			}
			return withInbox(cmd.Context(), url, func(inbox services.CatalogInboxService) error {
				return run(cmd.Context(), inbox, cmd.OutOrStdout())
			})
		})}
		sub.Flags().BoolVar(&tool.asJSON, "json", false, "one JSON object a line; the default when the output is no terminal")
		cmd.AddCommand(sub)
		return sub
	}
	add("status", "Says how many events failed and since when", tool.status)
	list := add("list", "Lists failures, oldest first", tool.list)
	list.Flags().IntVar(&tool.limit, "limit", inboxPage, "show at most this many; 0: all")
	redrive := add("redrive", "Tries failures again; without --yes it only says which could be applied", tool.redrive)
	redrive.Flags().BoolVar(&tool.yes, "yes", false, "apply them")
	discard := add("discard", "Gives failures up for good; without --yes it only says which", tool.discard)
	discard.Flags().BoolVar(&tool.yes, "yes", false, "do it")
	discard.Flags().StringVar(&tool.operator, "operator", "", "who does it; the user of this system when empty")
	discard.Flags().StringVar(&tool.reason, "reason", "", "why (required)")
	for _, selecting := range []*cobra.Command{list, redrive, discard} {
		selecting.Flags().StringVar(&tool.state, "state", "", "dead or parked; empty for both")
		selecting.Flags().StringSliceVar(&tool.ids, "id", nil, "event ids; none for all")
	}
	return cmd
}

func withInbox(ctx context.Context, url string, run func(services.CatalogInboxService) error) error {
	limits := repositories.TxOptions{StatementTimeout: inboxStatementTimeout, LockTimeout: inboxStatementTimeout, MaxAttempts: 3}
	return withStore(ctx, url, limits, func(store *repositories.Store) error {
		return run(services.NewCatalogInboxService(store, catalog.Decode, 1)) // failures carry their own generation
	})
}

func (i *inboxTool) status(ctx context.Context, inbox services.CatalogInboxService, out io.Writer) error {
	status, err := inbox.Status(ctx)
	if err != nil {
		return err
	}
	if i.asJSON {
		_, err := out.Write(line(map[string]any{
			"dead": status.Dead, "parked": status.Parked, "counted_up_to": po.InboxCountLimit, "oldest_failure": status.OldestFailure,
			"last_received": status.LastReceived, "table_bytes": status.TableBytes,
		}))
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "dead\t%s\nparked\t%s\noldest failure\t%s\nlast received\t%s\ntable\t%d bytes\n",
		upTo(status.Dead), upTo(status.Parked), orNone(status.OldestFailure), orNone(status.LastReceived), status.TableBytes)
	return table.Flush()
}

func upTo(count int64) string { return orMore(count, po.InboxCountLimit) }

func orNone(at *time.Time) string {
	if at == nil {
		return "none"
	}
	return at.Format(time.RFC3339)
}

func (i *inboxTool) list(ctx context.Context, inbox services.CatalogInboxService, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if !i.asJSON {
		_, _ = fmt.Fprintln(table, "event\tgeneration\tstate\treceived\ttype\taggregate\tbytes\treason")
	}
	err := i.pages(ctx, inbox, i.limit, func(page []services.InboxEntry) error {
		for _, e := range page {
			if !i.asJSON {
				_, _ = fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%q\t%q\t%d\t%q\n", e.EventID, e.Generation, e.State,
					e.ReceivedAt.Format(time.RFC3339), e.EventType, e.AggregateID, e.PayloadBytes, e.Reason)
				continue
			}
			if _, err := out.Write(line(map[string]any{
				"event_id": e.EventID, "generation": e.Generation, "state": e.State, "received_at": e.ReceivedAt, "event_type": e.EventType,
				"aggregate_type": e.AggregateType, "aggregate_id": e.AggregateID, "message_id": e.MessageID,
				"payload_bytes": e.PayloadBytes, "reason": e.Reason,
			})); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, table.Flush())
}

func (i *inboxTool) redrive(ctx context.Context, inbox services.CatalogInboxService, out io.Writer) error {
	counts := map[string]int{}
	err := i.pages(ctx, inbox, 0, func(page []services.InboxEntry) error {
		results, err := inbox.Redrive(ctx, keysOf(page), !i.yes)
		for _, r := range results {
			counts[r.Outcome]++
			text := fmt.Appendf(nil, "%s\t%s\t%q\n", r.EventID, r.Outcome, r.Reason)
			if i.asJSON {
				text = line(map[string]any{"event_id": r.EventID, "generation": r.Generation, "outcome": r.Outcome, "reason": r.Reason})
			}
			if _, err := out.Write(text); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil || i.asJSON {
		return err
	}
	for outcome, n := range counts {
		_, _ = fmt.Fprintf(out, "%d %s\n", n, outcome)
	}
	if !i.yes {
		_, _ = fmt.Fprintln(out, "nothing was changed: repeat with --yes")
	}
	return nil
}

// discard asks for a selection: what is discarded is gone.
func (i *inboxTool) discard(ctx context.Context, inbox services.CatalogInboxService, out io.Writer) error {
	if len(i.ids) == 0 && i.state == "" {
		return errors.New("say which: --id or --state")
	}
	if strings.TrimSpace(i.reason) == "" {
		return errors.New("--reason is required")
	}
	operator, err := operatorOr(i.operator)
	if err != nil {
		return err
	}
	n := 0
	err = i.pages(ctx, inbox, 0, func(page []services.InboxEntry) error {
		keys := keysOf(page)
		if i.yes {
			if keys, err = inbox.Discard(ctx, services.Discard{Keys: keys, Operator: operator, Reason: i.reason}); err != nil {
				return err
			}
		}
		n += len(keys)
		return i.say(out, keys)
	})
	if err != nil || i.asJSON {
		return err
	}
	if !i.yes {
		_, err = fmt.Fprintf(out, "%d to discard; nothing was changed: repeat with --yes\n", n)
		return err
	}
	_, err = fmt.Fprintf(out, "%d discarded\n", n)
	return err
}

// say prints keys, one a line.
func (i *inboxTool) say(out io.Writer, keys []services.InboxKey) error {
	for _, k := range keys {
		text := fmt.Appendf(nil, "%s\t%d\n", k.EventID, k.Generation)
		if i.asJSON {
			text = line(map[string]any{"event_id": k.EventID, "generation": k.Generation, "discarded": i.yes})
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(page []services.InboxEntry) []services.InboxKey {
	keys := make([]services.InboxKey, len(page))
	for n, e := range page {
		keys[n] = e.InboxKey
	}
	return keys
}

// pages walks the failures asked for; limit 0 is all.
func (i *inboxTool) pages(ctx context.Context, inbox services.CatalogInboxService, limit int, each func([]services.InboxEntry) error) error {
	q := services.InboxQuery{State: po.InboxState(i.state), Limit: inboxPage}
	if q.State != "" && q.State != po.Dead && q.State != po.Parked {
		return fmt.Errorf("--state: %q is neither dead nor parked", i.state)
	}
	for _, text := range i.ids {
		id, err := uuid.Parse(text)
		if err != nil {
			return fmt.Errorf("--id: %q is not a UUID", text)
		}
		q.IDs = append(q.IDs, id)
	}
	for left := limit; ; left -= inboxPage {
		if limit > 0 {
			q.Limit = int32(min(left, inboxPage))
		}
		page, err := inbox.List(ctx, q)
		if err != nil {
			return err
		}
		if err := each(page); err != nil {
			return err
		}
		if len(page) < inboxPage || limit > 0 && left <= inboxPage {
			return nil
		}
		q.After = page[len(page)-1]
	}
}
