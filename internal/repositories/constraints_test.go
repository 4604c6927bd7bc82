package repositories_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/test/testkit"
)

// columns are SQL expressions by column.
type columns map[string]string

// valid is a row of each table that no constraint minds.
var valid = map[string]columns{
	"users":       {"user_id": "gen_random_uuid()", "display_name": "'Ada'"},
	"engagements": {"user_id": "gen_random_uuid()", "video_id": "gen_random_uuid()", "engagement_type": "'like'", "engaged_at": "now()", "state_at": "now()"},
	"watch_logs": {
		"user_id": "gen_random_uuid()", "video_id": "gen_random_uuid()", "position_seconds": "50", "ratio_bp": "5000", "resume_at": "now()",
		"max_ratio_bp": "6000", "reported_seconds": "20", "counted_seconds": "10", "first_watched_at": "now()", "last_watched_at": "now()",
		"expires_at": "now()",
	},
	"watch_sessions":    {"user_id": "gen_random_uuid()", "video_id": "gen_random_uuid()", "session_id": "'s'", "seq": "1"},
	"videos_projection": {"video_id": "gen_random_uuid()", "version": "1"},
	"video_stats":       {"video_id": "gen_random_uuid()"},
	"user_stats":        {"user_id": "gen_random_uuid()"},
	"outbox_events": {
		"event_id": "gen_random_uuid()", "aggregate_type": "'user'", "aggregate_id": "gen_random_uuid()", "event_type": "'t'",
		"ordering_key": "gen_random_uuid()", "version": "1", "payload": "''", "occurred_at": "now()",
	},
	"outbox_deliveries": {"id": "1", "slot": "0", "lane": "0", "ordering_key": "gen_random_uuid()"},
	"outbox_lanes":      {"lane": "0"},
	"outbox_skipped": {
		"event_id": "gen_random_uuid()", "id": "1", "ordering_key": "gen_random_uuid()", "event_type": "'t'", "version": "1",
		"delivery_attempts": "5", "operator": "'o'", "reason": "'r'",
	},
	"inbox_events": {"event_id": "gen_random_uuid()", "source_service": "'catalog'", "event_type": "'t'", "processed_at": "now()"},
	"idempotency_keys": {
		"user_id": "gen_random_uuid()", "action": "'a'", "resource_id": "gen_random_uuid()", "idempotency_key": "'k'",
		"fingerprint": "decode(repeat('00', 32), 'hex')", "response": "'{}'", "expires_at": "now()",
	},
}

// bounds says of each constraint what it takes and what it refuses; each string is `column = expression`,
// joined by `;`.
var bounds = []struct {
	table, constraint string
	accepted, refused []string
}{
	{"users", "users_display_name_check", []string{"display_name=''", "display_name=repeat('é', 64)"}, []string{"display_name=repeat('a', 65)"}},
	{
		"users", "users_avatar_url_check",
		[]string{"avatar_url=NULL", "avatar_url='h'", "avatar_url=repeat('a', 2048)"},
		[]string{"avatar_url=''", "avatar_url=repeat('a', 2049)", "avatar_url=repeat('é', 1025)"},
	},
	{"users", "users_learning_goal_check", []string{"learning_goal=NULL", "learning_goal=repeat('é', 500)"}, []string{"learning_goal=''", "learning_goal=repeat('a', 501)"}},
	{"users", "users_daily_quota_check", []string{"daily_quota_minutes=0", "daily_quota_minutes=1440"}, []string{"daily_quota_minutes=-1", "daily_quota_minutes=1441"}},
	{
		"users", "users_extra_check",
		[]string{"extra='{}'", "extra=jsonb_build_object('k', repeat('x', 16384))"},
		[]string{"extra='[]'", "extra='1'", "extra='null'", "extra=jsonb_build_object('k', repeat('x', 32768))"},
	},
	{"users", "users_version_check", []string{"profile_version=1", "profile_version=9223372036854775807"}, []string{"profile_version=0", "profile_version=-1"}},
	{"engagements", "engagements_type_check", []string{"engagement_type='bookmark'"}, []string{"engagement_type='share'", "engagement_type=''", "engagement_type='LIKE'"}},
	{
		"engagements", "engagements_state_check",
		[]string{"state_at=now() + interval '1 second'", "state_at=now() - interval '1 second';deleted_at=now()"},
		[]string{"state_at=now() - interval '1 microsecond'"},
	},
	{
		"watch_sessions", "watch_sessions_session_check",
		[]string{"session_id=repeat('s', 128)", "seq=9223372036854775807"},
		[]string{"session_id=''", "session_id=repeat('s', 129)", "seq=0", "seq=-1"},
	},
	{"watch_logs", "watch_logs_position_check", []string{"position_seconds=0", "position_seconds=864000"}, []string{"position_seconds=-1", "position_seconds=864001"}},
	{
		"watch_logs", "watch_logs_ratio_check",
		[]string{"ratio_bp=0;max_ratio_bp=0", "ratio_bp=10000;max_ratio_bp=10000"},
		[]string{"ratio_bp=-1", "ratio_bp=10001;max_ratio_bp=10001", "max_ratio_bp=10001", "max_ratio_bp=4999"},
	},
	{
		"watch_logs", "watch_logs_seconds_check",
		[]string{"reported_seconds=0;counted_seconds=0", "reported_seconds=315360000;counted_seconds=315360000"},
		[]string{"counted_seconds=-1", "counted_seconds=21", "reported_seconds=315360001", "reported_seconds=-1;counted_seconds=-1"},
	},
	{
		"watch_logs", "watch_logs_completed_check",
		[]string{"completed_count=0", "completed_count=2;completed_at=now()"},
		[]string{"completed_count=-1", "completed_count=-1;completed_at=now()", "completed_count=1", "completed_count=0;completed_at=now()"},
	},
	{
		"watch_logs", "watch_logs_emitted_check",
		[]string{"last_emitted_ratio_bp=NULL", "last_emitted_ratio_bp=0", "last_emitted_ratio_bp=10000"},
		[]string{"last_emitted_ratio_bp=-1", "last_emitted_ratio_bp=10001"},
	},
	{
		"watch_logs", "watch_logs_session_check",
		[]string{"session_id=repeat('a', 128);session_seq=0", "session_id=NULL;session_seq=1", "session_id='a'"},
		[]string{"session_id=''", "session_id=repeat('a', 129)", "session_seq=-1", "session_id='a';session_seq=-1"},
	},
	{"watch_logs", "watch_logs_time_check", []string{"last_watched_at=now() + interval '1 second'"}, []string{"last_watched_at=now() - interval '1 microsecond'"}},
	{"videos_projection", "videos_projection_version_check", []string{"version=1"}, []string{"version=0", "version=-1"}},
	{"videos_projection", "videos_projection_duration_check", []string{"duration_micros=NULL", "duration_micros=0"}, []string{"duration_micros=-1"}},
	{"video_stats", "video_stats_like_count_check", []string{"like_count=0", "like_count=9223372036854775807"}, []string{"like_count=-1"}},
	{"video_stats", "video_stats_bookmark_count_check", []string{"bookmark_count=0"}, []string{"bookmark_count=-1"}},
	{"video_stats", "video_stats_unique_watchers_check", []string{"unique_watchers=0"}, []string{"unique_watchers=-1"}},
	{"video_stats", "video_stats_total_watch_seconds_check", []string{"total_watch_seconds=0"}, []string{"total_watch_seconds=-1"}},
	{"user_stats", "user_stats_like_count_check", []string{"like_count=0"}, []string{"like_count=-1"}},
	{"user_stats", "user_stats_bookmark_count_check", []string{"bookmark_count=0"}, []string{"bookmark_count=-1"}},
	{"user_stats", "user_stats_watched_count_check", []string{"watched_count=0"}, []string{"watched_count=-1"}},
	{"user_stats", "user_stats_event_seq_check", []string{"event_seq=0"}, []string{"event_seq=-1"}},
	{"outbox_events", "outbox_events_version_check", []string{"version=1"}, []string{"version=0", "version=-1"}},
	{"outbox_deliveries", "outbox_deliveries_lane_check", []string{"lane=0", "lane=15"}, []string{"lane=-1", "lane=16"}},
	{"outbox_deliveries", "outbox_deliveries_attempts_check", []string{"delivery_attempts=0"}, []string{"delivery_attempts=-1"}},
	{"outbox_lanes", "outbox_lanes_lane_check", []string{"lane=0", "lane=15"}, []string{"lane=-1", "lane=16"}},
	{
		"outbox_skipped", "outbox_skipped_operator_check",
		[]string{"operator='o'", "operator=repeat('o', 200)"},
		[]string{"operator=''", "operator=repeat('o', 201)"},
	},
	{
		"outbox_skipped", "outbox_skipped_reason_check",
		[]string{"reason='r'", "reason=repeat('r', 1000)"},
		[]string{"reason=''", "reason=repeat('r', 1001)"},
	},
	{"inbox_events", "inbox_events_generation_check", []string{"generation=1"}, []string{"generation=0"}},
	{
		"inbox_events", "inbox_events_state_check",
		[]string{"state='dead';processed_at=NULL", "state='parked';processed_at=NULL"},
		[]string{"state='lost'", "state='dead'", "state='processed';processed_at=NULL"},
	},
	{
		"idempotency_keys", "idempotency_keys_key_check",
		[]string{"idempotency_key='k'", "idempotency_key=repeat('k', 128)"},
		[]string{"idempotency_key=''", "idempotency_key=repeat('k', 129)"},
	},
	{"idempotency_keys", "idempotency_keys_fingerprint_check", nil, []string{"fingerprint=''", "fingerprint=decode(repeat('00', 31), 'hex')", "fingerprint=decode(repeat('00', 33), 'hex')"}},
}

func insertion(table, override string) string {
	row := maps.Clone(valid[table])
	for assignment := range strings.SplitSeq(override, ";") {
		column, expression, _ := strings.Cut(assignment, "=")
		row[column] = expression
	}
	var names, values []string
	for _, column := range slices.Sorted(maps.Keys(row)) {
		names, values = append(names, column), append(values, row[column])
	}
	return "INSERT INTO profile." + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}

// insert returns the violated constraint of one INSERT, empty when it was taken. The row never stays.
func insert(t testing.TB, s schema, sql string) (violated string) {
	t.Helper()
	tx, err := s.DB.Owner.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), "DELETE FROM profile.outbox_lanes")
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql)
	if err == nil {
		return ""
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg, sql)
	require.Equal(t, "23514", pg.Code, "%s: %s", sql, pg.Message)
	return pg.ConstraintName
}

func TestM101_ConstraintsRefuseWhatIsOutOfBounds(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, tc := range bounds {
		t.Run(tc.constraint, func(t *testing.T) {
			for _, override := range tc.refused {
				require.Equal(t, tc.constraint, insert(t, s, insertion(tc.table, override)), override)
			}
			for _, override := range tc.accepted {
				require.Empty(t, insert(t, s, insertion(tc.table, override)), override)
			}
		})
	}
}

func TestM101_EveryConstraintHasItsCase(t *testing.T) {
	t.Parallel()
	s := open(t)
	rows, err := s.DB.Owner.Query(t.Context(), `SELECT c.conname::text FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
		WHERE c.contype = 'c' AND r.relnamespace = 'profile'::regnamespace AND NOT r.relispartition`)
	require.NoError(t, err)
	existing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var covered []string
	for _, tc := range bounds {
		covered = append(covered, tc.constraint)
	}
	require.ElementsMatch(t, existing, covered)
}

// A column that cannot hold NaN, infinity or a rounding error needs no check against them.
func TestS6_NoColumnCanHoldNaN(t *testing.T) {
	t.Parallel()
	s := open(t)
	require.Zero(t, testkit.One[int64](t, s.DB, `SELECT count(*) FROM information_schema.columns
		WHERE table_schema = 'profile' AND data_type IN ('numeric', 'real', 'double precision', 'money')`))
	require.Positive(t, testkit.One[int64](t, s.DB, `SELECT count(*) FROM information_schema.columns
		WHERE table_schema = 'profile' AND data_type = 'bigint'`))
}
