// Package bench compares the service with pgbench doing the same SQL on the same server, side by side in
// one run. The figures that count are the ratios: these machines are shared.
package bench

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/cache"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services"
	"github.com/lingo-services/profile/internal/services/pagetoken"
	"github.com/lingo-services/profile/test/testkit"
)

const (
	clients = 8
	users   = 1000
	videos  = 1000
)

var turn = flag.Duration("turn", time.Second, "how long each side runs per turn, whole seconds")

// BenchmarkFavorite toggles likes of random users on random videos: through gRPC, and by pgbench with the
// statements the service itself sends. It reports both rates and their ratio.
func BenchmarkFavorite(b *testing.B) {
	b.Run("write", func(b *testing.B) {
		script := writeScript(capture(b, func(s services.EngagementService) error {
			_, err := s.Apply(b.Context(), models.ServiceActor, []services.FavoriteCommand{sample})
			return err
		}))
		compare(b, script, func(ctx context.Context, c profilev1.ProfileServiceClient, user models.UserID, video models.VideoID) error {
			_, err := c.MutateFavorite(ctx, &profilev1.MutateFavoriteRequest{
				UserId: user.String(), VideoId: video.String(), FavoriteType: profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
				Action: profilev1.FavoriteAction(1 + rand.IntN(2)),
			})
			return err
		})
	})
	b.Run("read", func(b *testing.B) {
		script := readScript(capture(b, func(s services.EngagementService) error {
			_, err := s.BatchQuery(b.Context(), models.Call{Subject: sample.UserID}, []models.VideoID{sample.VideoID})
			return err
		}))
		compare(b, script, func(ctx context.Context, c profilev1.ProfileServiceClient, user models.UserID, video models.VideoID) error {
			_, err := c.BatchQueryFavorite(ctx, &profilev1.BatchQueryFavoriteRequest{
				UserId: user.String(), VideoIds: []string{video.String()}, IncludeStats: true,
			})
			return err
		})
	})
}

var sample = services.FavoriteCommand{
	UserID: models.UserID(uuid.MustParse("aaaaaaaa-0000-4000-8000-00000000000a")), VideoID: models.VideoID(uuid.MustParse("bbbbbbbb-0000-4000-8000-00000000000b")),
	Type: models.Like, Active: true,
}

// compare runs the service and pgbench in turns on one database and reports transactions per second.
func compare(b *testing.B, script string, call func(context.Context, profilev1.ProfileServiceClient, models.UserID, models.VideoID) error) {
	b.Helper()
	s := testkit.New(b)
	const turns = 3
	var ours, theirs float64
	b.ResetTimer()
	for range turns {
		ours += drive(b, s, *turn, call) / turns
		theirs += pgbench(b, s.DB, script, *turn) / turns
	}
	b.ReportMetric(ours, "service_tps")
	b.ReportMetric(theirs, "pgbench_tps")
	b.ReportMetric(ours/theirs, "service/pgbench")
	s.RequireNoDrift(b)
}

func drive(b *testing.B, s *testkit.Service, turn time.Duration, call func(context.Context, profilev1.ProfileServiceClient, models.UserID, models.VideoID) error) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	client := s.AsService("admin")
	counts, errs := make([]int, clients), make([]error, clients)
	start := time.Now()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			for time.Since(start) < turn {
				err := call(b.Context(), client, models.UserID(numbered(1+rand.IntN(users))), models.VideoID(numbered(1+rand.IntN(videos))))
				if err != nil {
					errs[i] = err
					return
				}
				counts[i]++
			}
		})
	}
	group.Wait()
	<-ctx.Done()
	total := 0
	for i := range clients {
		require.NoError(b, errs[i])
		total += counts[i]
	}
	return float64(total) / time.Since(start).Seconds()
}

// numbered is md5(n) as a UUID, as the pgbench script computes it.
func numbered(n int) uuid.UUID { return md5UUID(strconv.Itoa(n)) }

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

func pgbench(b *testing.B, db *testkit.Database, script string, turn time.Duration) float64 {
	b.Helper()
	path := filepath.Join(b.TempDir(), "script.sql")
	require.NoError(b, os.WriteFile(path, []byte(script), 0o600))
	dsn, err := url.Parse(db.AppURL)
	require.NoError(b, err)
	password, _ := dsn.User.Password()
	seconds := max(1, int(turn.Seconds()))
	cmd := exec.CommandContext(b.Context(), pgbenchBinary(b), "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2", "-T", strconv.Itoa(seconds),
		"-h", dsn.Hostname(), "-p", dsn.Port(), "-U", dsn.User.Username(), "-f", path, strings.TrimPrefix(dsn.Path, "/"))
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, string(out))
	found := tps.FindSubmatch(out)
	require.NotNil(b, found, string(out))
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(b, err)
	return rate
}

func pgbenchBinary(b *testing.B) string {
	b.Helper()
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	require.NoError(b, err)
	require.NotEmpty(b, found, "pgbench is part of the Postgres server package")
	return found[len(found)-1]
}

// statement is what the service sent.
type statement struct {
	sql  string
	args []any
}

type recorder struct{ sent []statement }

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.sent = append(r.sent, statement{data.SQL, data.Args})
	return ctx
}

func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// capture returns the statements of one warm call.
func capture(b *testing.B, call func(services.EngagementService) error) []statement {
	b.Helper()
	db := testkit.NewDatabase(b)
	config, err := pgxpool.ParseConfig(db.AppURL)
	require.NoError(b, err)
	r := &recorder{}
	config.ConnConfig.Tracer = r
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	store := repositories.NewStore(pool, repositories.TxOptions{StatementTimeout: time.Second, LockTimeout: time.Second, MaxAttempts: 1}, repositories.NoWaker{})
	tokens, err := pagetoken.NewCodec([]string{"benchmark-cursor-key"})
	require.NoError(b, err)
	engagements := services.NewEngagementService(store, tokens, silent{}, services.NewEventID(), cache.Uncached(store), services.Options{
		VideoPolicy: models.PolicyKnown, MaxActivePerType: 1 << 40, PublishEvents: true,
	})
	require.NoError(b, call(engagements))
	_, err = engagements.Apply(b.Context(), models.ServiceActor, []services.FavoriteCommand{{
		UserID: sample.UserID, VideoID: sample.VideoID, Type: models.Like, Active: false,
	}})
	require.NoError(b, err)
	r.sent = nil
	require.NoError(b, call(engagements))
	return r.sent
}

type silent struct{}

func (silent) FavoriteChanged(models.FavoriteType, bool)      {}
func (silent) ProgressReported(models.Outcome, models.Doubts) {}
func (silent) PreferencesUpdated()                            {}
func (silent) CounterDrift()                                  {}

const randomKeys = `\set u random(1, %d)
\set v random(1, %d)
\set active random(0, 1)
\set step 2 * :active - 1
`

// readScript repeats the statements with other keys.
func readScript(sent []statement) string {
	var b strings.Builder
	fmt.Fprintf(&b, randomKeys, users, videos)
	for _, s := range sent {
		b.WriteString(inline(s) + ";\n")
	}
	return b.String()
}

// writeScript also follows the service's decision: nothing is booked when nothing changed. The statements,
// in order: begin, lock user, set favourite, move video, move user, append event, read state, commit.
func writeScript(sent []statement) string {
	var b strings.Builder
	fmt.Fprintf(&b, randomKeys, users, videos)
	// A user's first row, which the service creates once.
	b.WriteString("INSERT INTO profile.user_stats (user_id) VALUES (md5(:u::text)::uuid) ON CONFLICT DO NOTHING;\n")
	b.WriteString("INSERT INTO profile.video_stats (video_id) VALUES (md5(:v::text)::uuid) ON CONFLICT DO NOTHING;\n")
	for _, s := range sent {
		text := inline(s)
		switch {
		case strings.Contains(s.sql, "name: SetFavorites"):
			b.WriteString(text + " \\gset\n\\if :changed\n")
		case strings.Contains(s.sql, "name: AdvanceUsers"):
			b.WriteString(text + " \\gset\n")
		case strings.Contains(s.sql, "name: InsertEvents"):
			b.WriteString(text + ";\n\\endif\n")
		default:
			b.WriteString(text + ";\n")
		}
	}
	return b.String()
}

var (
	comments    = regexp.MustCompile(`(?m)^--.*\n`)
	placeholder = regexp.MustCompile(`\$(\d+)`)
)

// inline puts argument literals into a statement, with the sampled keys made variable.
func inline(s statement) string {
	text := comments.ReplaceAllString(s.sql, "")
	return strings.TrimRight(strings.TrimSpace(placeholder.ReplaceAllStringFunc(text, func(p string) string {
		n, _ := strconv.Atoi(p[1:])
		return literal(s, n)
	})), ";")
}

func literal(s statement, n int) string {
	switch v := s.args[n-1].(type) {
	case uuid.UUID:
		return key(v)
	case []uuid.UUID:
		return "ARRAY[" + key(v[0]) + "]"
	case []string:
		return "ARRAY['" + v[0] + "']"
	case []bool:
		if v[0] == sample.Active && strings.Contains(s.sql, "name: SetFavorites") && n == 5 {
			return "ARRAY[:active = 1]"
		}
		return fmt.Sprintf("ARRAY[%t]", v[0])
	case []time.Time:
		return "ARRAY[clock_timestamp()]"
	case []int32:
		return fmt.Sprintf("ARRAY[%d]", v[0])
	case []int64:
		if strings.Contains(s.sql, "name: InsertEvents") {
			return "ARRAY[:event_seq]"
		}
		if v[0] == 1 && n == 2 {
			return "ARRAY[:step]"
		}
		return fmt.Sprintf("ARRAY[%d]", v[0])
	case [][]byte:
		return fmt.Sprintf(`ARRAY['\x%x'::bytea]`, v[0])
	}
	panic(fmt.Sprintf("no literal for %T", s.args[n-1]))
}

func key(id uuid.UUID) string {
	switch id {
	case uuid.UUID(sample.UserID):
		return "md5(:u::text)::uuid"
	case uuid.UUID(sample.VideoID):
		return "md5(:v::text)::uuid"
	}
	return "gen_random_uuid()" // event ids
}
