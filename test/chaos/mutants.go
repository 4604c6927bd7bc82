package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is a defect on purpose and the schedule that has to notice it.
type mutant struct {
	name string
	// patches are text; programs are the ones they change.
	patches  []patch
	programs []string
	// sql breaks the database instead.
	sql   string
	fault string
}

// patch replaces text in a file, which must be there.
type patch struct{ file, old, new string }

// mutable are the programs that a mutant's schedule needs.
var mutable = []string{programOutbox, programInbox, programMaintenance, programCtl, programAPI, programChaos}

// mutants are the mutations of spec/events.md, what this suite once found, and one for each invariant that those
// leave untouched, but for I2 (only the oracle's own test breaks it) and I6 (a figure of ten rounds). The ones for
// I9 and I14 are noticed by I8 and I1 first. Those of the API are the mutations that its reliability rests on.
func mutants() []mutant {
	return []mutant{
		{
			name: "sequence-cache-50", fault: "none",
			sql: "ALTER TABLE profile.outbox_events ALTER COLUMN id SET CACHE 50",
		},
		{
			// Versions are claimed on connections of their own: their locks end before the transaction does.
			name: "no-key-lock", fault: "none", programs: []string{programChaos},
			patches: []patch{{
				"internal/repositories/store.go", "\tvar wroteEvents bool\n",
				"\tvar wroteEvents bool\n\tlocked := fn\n\tfn = func(ctx context.Context, tx *Tx) error {\n\t\tt := *tx\n" +
					"\t\tt.UserStats = userStatsRepo{profiledb.New(s.pool)}\n\t\treturn locked(ctx, &t)\n\t}\n",
			}},
		},
		{
			// The same user's likes and progress are numbered side by side.
			name: "no-user-lock", fault: "callers-leave", programs: []string{programAPI},
			patches: []patch{
				{"internal/repositories/profiledb/user_stats.sql.go", "        FOR UPDATE SKIP LOCKED) u)", "        ) u)"},
				{"internal/repositories/profiledb/user_stats.sql.go", "    ORDER BY user_id\n    FOR UPDATE)", "    ORDER BY user_id)"},
			},
		},
		{
			// COMMIT is on its way when the caller is answered.
			name: "acknowledged-before-commit", fault: "api-killed", programs: []string{programAPI},
			patches: []patch{
				{"internal/repositories/store.go", "\tdefer conn.Release()\n\tvar wroteEvents bool\n", "\tvar wroteEvents bool\n"},
				{
					"internal/repositories/store.go", "\tif err := translate(transact(ctx, conn.Conn(), start, &wroteEvents, fn)); err != nil {",
					"\tapplied := make(chan error, 2)\n\tgo func(ctx context.Context) {\n\t\tdefer conn.Release()\n" +
						"\t\tapplied <- transact(ctx, conn.Conn(), start, &wroteEvents, func(ctx context.Context, tx *Tx) error {\n" +
						"\t\t\terr := fn(ctx, tx)\n\t\t\tif err == nil {\n\t\t\t\tapplied <- nil\n\t\t\t}\n\t\t\treturn err\n\t\t})\n" +
						"\t}(context.WithoutCancel(ctx))\n\tif err := translate(<-applied); err != nil {",
				},
			},
		},
		{
			// COMMIT is answered before the disk has it.
			name: "acknowledged-before-durable", fault: "api-postgres-killed", programs: []string{programAPI},
			patches: []patch{{
				"internal/repositories/store.go", "writing: prelude{statements: append([]statement{beginning}, settling...)},",
				"writing: prelude{statements: append([]statement{beginning}, settling...), set: \", set_config('synchronous_commit', 'off', true)\"},",
			}},
		},
		{
			name: "neighbours-error", fault: "poisoned-command", programs: []string{programAPI},
			patches: []patch{{
				"internal/services/coalesce/queue.go", "case len(calls) > 1 && concernsCommands(err):", "case len(calls) > 1 && err == nil && concernsCommands(err):",
			}},
		},
		{
			// A slow reader puts back what has changed since.
			name: "fill-after-invalidation", fault: "reads-race-writes", programs: []string{programAPI},
			patches: []patch{{"internal/infrastructure/cache/lru.go", "if lease.Version != *version {", "if lease.Version == 0 || *version == 0 {"}},
		},
		{
			name: "admission-off", fault: "overload-broker-down", programs: []string{programAPI},
			patches: []patch{{"internal/controllers/admission/doors.go", "if !s.Enabled {", "if s.Enabled || !s.Enabled {"}},
		},
		{
			name: "id-cursor", fault: "none", programs: []string{programOutbox},
			patches: []patch{{"internal/repositories/profile_delivery_repo.go", "Snapshot: t.Snapshot", `Snapshot: ""`}},
		},
		{
			// Transactions above the newest ended one are in no list of running transactions.
			name: "running-transactions-only", fault: "overtaken-writer", programs: []string{programOutbox},
			patches: []patch{{
				"internal/repositories/profiledb/outbox_delivery.sql.go", "WHERE d.writer >= pg_snapshot_xmax(", "WHERE false AND d.writer >= pg_snapshot_xmax(",
			}},
		},
		{
			name: "delete-before-ack", fault: "broker-slow", programs: []string{programOutbox},
			patches: []patch{
				{
					"internal/tasks/outbox/deliver.go", "\tgo func() {\n\t\tg.await(",
					"\tearly := *g\n\tearly.acknowledged = len(g.events)\n\tp.acknowledge(&early)\n\tgo func() {\n\t\tg.await(",
				},
				{"internal/tasks/outbox/deliver.go", "\tif g.acknowledged > 0 {\n\t\tp.acknowledge(g)\n\t}\n", ""},
			},
		},
		{
			name: "resume-on-first-error", fault: "messages-refused", programs: []string{programOutbox},
			patches: []patch{{
				"internal/tasks/outbox/deliver.go", "\tif k.mode == flowing {\n\t\tk.mode = failing\n\t}\n",
				"\tif k.mode == flowing {\n\t\tp.topic.ResumePublish(k.name)\n\t\tk.cause = nil\n" +
					"\t\tfor _, e := range g.events[g.acknowledged:] {\n\t\t\tp.letGo(e)\n\t\t\tp.rewind(e.Lane)\n\t\t}\n\t}\n",
			}},
		},
		{
			name: "no-field-versions", fault: "inbox-none", programs: []string{programInbox},
			patches: []patch{{
				"internal/repositories/profiledb/videos_projection.sql.go", "CASE WHEN excluded.status_version > p.status_version THEN",
				"CASE WHEN excluded.status_version > 0 THEN",
			}},
		},
		{
			name: "ack-before-commit", fault: "inbox-none", programs: []string{programInbox},
			patches: []patch{{
				"internal/tasks/catalog_inbox/worker.go", "\terr := b.try(ctx, func(ctx context.Context) error {\n\t\tstart := time.Now()",
				"\tb.acknowledge(ctx, batch)\n\terr := b.try(ctx, func(ctx context.Context) error {\n\t\tstart := time.Now()",
			}},
		},
		{
			name: "error-in-failed-transaction", fault: "inbox-poison", programs: []string{programInbox},
			patches: []patch{{
				"internal/services/catalog_inbox_service.go", "counts, err = apply(ctx, tx, s.generation, events)\n\t\treturn err",
				"counts, err = apply(ctx, tx, s.generation, events)\n\t\tif err != nil && len(events) == 1 {\n" +
					"\t\t\t_, err = tx.Inbox.Park(ctx, s.generation, []InboxFailure{{EventID: events[0].ID, State: po.Dead, Reason: err.Error()}})\n\t\t}\n\t\treturn err",
			}},
		},
		{
			name: "forgets-before-deleting", fault: "none", programs: []string{programOutbox},
			patches: []patch{
				{"internal/tasks/outbox/pump.go", "l.after = max(l.after, p.highest)", "l.after = 0"},
				{"internal/tasks/outbox/pump.go", "\t\tp.letGo(p.inHand[d.ID])\n", "\t\t_ = d\n"},
				{"internal/tasks/outbox/deliver.go", "p.acknowledged = append(p.acknowledged, po.Delivered{Lane: e.Lane, ID: e.ID})", "p.acknowledged = append(p.acknowledged, po.Delivered{Lane: e.Lane, ID: e.ID})\n\t\tp.letGo(e)"},
				{
					"internal/tasks/outbox/pump.go", "if err := tx.Later(func(tx *repositories.Tx) error { return tx.Deliveries.Forget(ctx, acknowledged) }); err != nil {\n\t\t\t\treturn err\n\t\t\t}",
					"defer func() {\n\t\t\t\tif err == nil {\n\t\t\t\t\terr = tx.Deliveries.Forget(ctx, acknowledged)\n\t\t\t\t}\n\t\t\t}()",
				},
			},
		},
		{
			name: "projection-version-overwritten", fault: "inbox-none", programs: []string{programInbox},
			patches: []patch{{
				"internal/repositories/profiledb/videos_projection.sql.go", "SET version             = greatest(p.version, excluded.version)",
				"SET version             = excluded.version",
			}},
		},
		{
			name: "log-never-emptied", fault: "retention", programs: []string{programMaintenance},
			patches: []patch{{"internal/repositories/profiledb/outbox_log.sql.go", "WHERE s.slot NOT IN (", "WHERE false AND s.slot NOT IN ("}},
		},
		{
			name: "epochs-reused", fault: "publisher-killed", programs: []string{programOutbox},
			patches: []patch{{
				"internal/repositories/profiledb/outbox_delivery.sql.go", "SET owner = $1::text, epoch = epoch + 1,", "SET owner = $1::text,",
			}},
		},
		{
			name: "attribute-left-out", fault: "none", programs: []string{programOutbox},
			patches: []patch{{"internal/models/outbox_events/attributes.go", "\tattributes[\"aggregate_type\"] = d.AggregateType\n", ""}},
		},
		{
			name: "wake-ups-ignored", fault: "none", programs: []string{programOutbox},
			patches: []patch{
				{"internal/tasks/outbox/pump.go", "case <-p.alarm.Woken():\n\t\tp.hungry = true\n", "case <-p.alarm.Woken():\n"},
				{"internal/tasks/outbox/options.go", "safetyPoll = time.Second", "safetyPoll = 10 * time.Second"},
			},
		},
	}
}

// runMutants fails when a mutant survives.
func runMutants(ctx context.Context, o options, dir string, out io.Writer) error {
	base := filepath.Join(dir, "unchanged")
	if err := os.Mkdir(base, 0o700); err != nil {
		return err
	}
	for _, program := range mutable {
		if err := compile(ctx, filepath.Join(base, filepath.Base(program)), program, ""); err != nil {
			return err
		}
	}
	var survivors []error
	for _, m := range mutants() {
		if o.faults != "" && !slices.Contains(strings.Split(o.faults, ","), m.name) {
			continue
		}
		line, err := m.try(ctx, o, base, filepath.Join(dir, m.name))
		if err != nil {
			survivors = append(survivors, fmt.Errorf("%s: %w", m.name, err))
			line = "SURVIVED or could not be tried"
		}
		_, _ = fmt.Fprintf(out, "%-28s %s\n", m.name, line)
	}
	return errors.Join(survivors...)
}

// mutantRounds is how many rounds a mutant may last at most.
const mutantRounds = 10

// invariant finds the first broken one in a run's complaints.
var invariant = regexp.MustCompile(`(?s)round (\d+): .*?([AI]\d+): ([^\n]*)`)

// try builds the mutant, runs its schedule and says how it was caught.
func (m mutant) try(ctx context.Context, o options, base, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if err := m.build(ctx, base, dir); err != nil {
		return "", err
	}
	args := []string{
		"-programs", dir, "-fault", m.fault, "-rounds", fmt.Sprint(mutantRounds), "-seed", fmt.Sprint(o.seed), "-parallel", "1",
		"-failures", "1", "-patience", "4s", "-mutation", m.sql,
	}
	text, err := exec.CommandContext(ctx, filepath.Join(dir, "chaos"), args...).CombinedOutput() //nolint:gosec // G204: built above
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	found := invariant.FindSubmatch(text)
	if err == nil || found == nil {
		return "", fmt.Errorf("not noticed in %d rounds of %s\n%s", mutantRounds, m.fault, text)
	}
	return fmt.Sprintf("caught by %s in round %s of %s: %s", found[2], found[1], m.fault, found[3]), nil
}

// build makes dir hold all programs, the patched ones anew.
func (m mutant) build(ctx context.Context, base, dir string) error {
	overlay, err := m.overlay(dir)
	if err != nil {
		return err
	}
	for _, program := range mutable {
		name := filepath.Base(program)
		if !slices.Contains(m.programs, program) {
			if err := os.Symlink(filepath.Join(base, name), filepath.Join(dir, name)); err != nil {
				return err
			}
			continue
		}
		if err := compile(ctx, filepath.Join(dir, name), program, overlay); err != nil {
			return err
		}
	}
	return nil
}

// overlay writes the patched files and the list that the go command asks for. The tree stays as it is.
func (m mutant) overlay(dir string) (string, error) {
	texts := map[string]string{}
	for _, p := range m.patches {
		path, err := filepath.Abs(p.file)
		if err != nil {
			return "", err
		}
		if texts[path] == "" {
			text, err := os.ReadFile(path) //nolint:gosec // G304: sources
			if err != nil {
				return "", err
			}
			texts[path] = string(text)
		}
		if strings.Count(texts[path], p.old) != 1 {
			return "", fmt.Errorf("the patch does not fit %s any more: %q", p.file, p.old)
		}
		texts[path] = strings.Replace(texts[path], p.old, p.new, 1)
	}
	replace := map[string]string{}
	for path, text := range texts {
		patched := filepath.Join(dir, strings.ReplaceAll(filepath.Base(path), "/", "_"))
		if err := os.WriteFile(patched, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[path] = patched
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, list, 0o600)
}
