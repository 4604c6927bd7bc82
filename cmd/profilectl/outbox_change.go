package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/lingo-services/profile/internal/services"
)

const (
	redriveHelp = `Gives dead letters all their attempts again. What waits behind them is published after them, in order.
Publishers take notice within a second or two. Find out first why the broker refused them: outbox list.`
	skipHelp = `Gives a dead letter up for good: it is never published, and what waits behind it goes on. Consumers see a gap in
the versions of the user. It is kept in profile.outbox_skipped with operator and reason.`
	replayHelp = `Publishes events of a time range again, under the same event ids, as far as the log still has them
(maintenance.event_retention, 7 days). Consumers ignore them unless they have forgotten the ids: it is for those that
lost data. A repeated event may arrive after newer ones of its user; a consumer has to compare versions. Left out are
events that still wait, that were skipped, and those behind a dead letter of their user. What is repeated waits in the
queue like anything else, and can become a dead letter.`
)

var errNoSelection = errors.New("say which: --id, --key or --all")

func (o *outboxTool) redrive(ctx context.Context, outbox services.OutboxService) error {
	if !o.all && o.key == "" && len(o.ids) == 0 {
		return errNoSelection
	}
	q, err := o.query()
	if err != nil {
		return err
	}
	err = o.show(q, 0, func(q services.StuckQuery) ([]services.StuckEvent, error) { return outbox.Redrive(ctx, q, !o.yes) })
	return errors.Join(err, o.remind())
}

// skipFlags say who gives up what and why.
type skipFlags struct{ id, operator, reason string }

func (s *skipFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.id, "id", "", "id or event id (required)")
	cmd.Flags().StringVar(&s.operator, "operator", "", "who does it; the user of this system when empty")
	cmd.Flags().StringVar(&s.reason, "reason", "", "why (required)")
}

// operatorOr is who asks, when nobody is named: the user of this system.
func operatorOr(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	current, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("--operator is required: %w", err)
	}
	return current.Username, nil
}

func (o *outboxTool) skip(ctx context.Context, outbox services.OutboxService, flags skipFlags) error {
	const longestOperator, longestReason = 200, 1000 // the columns'
	for name, value := range map[string]string{"--id": flags.id, "--reason": flags.reason} {
		if strings.TrimSpace(value) == "" {
			return fmt.Errorf("%s is required", name)
		}
	}
	operator, err := operatorOr(flags.operator)
	if err != nil {
		return err
	}
	flags.operator = operator
	if len(flags.operator) > longestOperator || len(flags.reason) > longestReason {
		return fmt.Errorf("--operator and --reason take at most %d and %d bytes", longestOperator, longestReason)
	}
	o.ids = []string{flags.id}
	q, err := o.query()
	if err != nil {
		return err
	}
	err = o.show(q, 0, func(q services.StuckQuery) ([]services.StuckEvent, error) {
		events, err := outbox.List(ctx, q)
		if err != nil || len(events) == 0 || !o.yes {
			return events, err
		}
		found, err := outbox.Skip(ctx, services.Skip{ID: events[0].ID, Operator: flags.operator, Reason: flags.reason})
		if !found {
			return nil, err
		}
		return events, err
	})
	return errors.Join(err, o.remind())
}

// replayFlags select events of the log.
type replayFlags struct {
	from, to  string
	since     time.Duration
	key, kind string
}

func (r *replayFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.from, "from", "", "events written at or after this RFC 3339 time")
	cmd.Flags().StringVar(&r.to, "to", "", "events written before this RFC 3339 time; now when empty")
	cmd.Flags().DurationVar(&r.since, "since", 0, "instead of --from: events of the last while, as in 90m")
	cmd.Flags().StringVar(&r.key, "key", "", "only this ordering key: a user id")
	cmd.Flags().StringVar(&r.kind, "type", "", "only this event type")
}

func (r *replayFlags) query() (q services.ReplayQuery, err error) {
	if (r.from == "") == (r.since <= 0) {
		return q, errors.New("say from when: --from or --since")
	}
	q.Since, q.Type = r.since, r.kind
	if q.From, err = timeFlag("--from", r.from); err != nil {
		return q, err
	}
	if q.To, err = timeFlag("--to", r.to); err != nil {
		return q, err
	}
	q.Key, err = userFlag("--key", r.key)
	return q, err
}

// timeFlag is the zero time for an empty text.
func timeFlag(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is not an RFC 3339 time", name, text)
	}
	return at, nil
}

func (o *outboxTool) replay(ctx context.Context, outbox services.OutboxService, flags replayFlags) error {
	q, err := flags.query()
	if err != nil {
		return err
	}
	done, err := outbox.Replay(ctx, q, !o.yes, logProgress(o.notes))
	if done.Gone > 0 && done.From.Before(done.Oldest) {
		_, _ = fmt.Fprintf(o.notes, "the log begins at %s; older events, up to %d, are gone\n", done.Oldest.Format(time.RFC3339), done.Gone)
	}
	if o.asJSON {
		return errors.Join(err, o.print(map[string]any{
			"dry_run": !o.yes, "by_type": done.ByType, "oldest": done.Oldest, "gone_up_to": done.Gone,
		}, ""))
	}
	for _, kind := range slices.Sorted(maps.Keys(done.ByType)) {
		err = errors.Join(err, o.print(nil, fmt.Sprintf("%d %q\n", done.ByType[kind], kind)))
	}
	if len(done.ByType) == 0 {
		err = errors.Join(err, o.print(nil, "no such events\n"))
	}
	return errors.Join(err, o.remind())
}

// logProgress draws how much of the log was looked through, on a terminal only.
func logProgress(w io.Writer) (advance func(step, total int64)) {
	if !isTerminal(w) {
		return func(int64, int64) {}
	}
	var bar *progressbar.ProgressBar
	return func(step, total int64) {
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("reading the log"),
				progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
		_ = bar.Add64(step)
	}
}
