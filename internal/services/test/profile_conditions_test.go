package test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

// conditional is a write of one of the two methods that takes S62's conditions.
type conditional struct {
	name   string
	reason models.Reason
	// write stores text under a condition; expected nil sends none.
	write func(ctx context.Context, l learner, text string, expected *int64) (*profilev1.Profile, error)
}

func conditionals() []conditional {
	return []conditional{
		{"UpdateProfile", models.ReasonVersionConflict, func(ctx context.Context, l learner, text string, expected *int64) (*profilev1.Profile, error) {
			req := renaming(text)
			if expected != nil {
				req.ExpectedProfileVersion = version(*expected)
			}
			resp, err := l.UpdateProfile(ctx, req)
			return resp.GetProfile(), err
		}},
		{"UpdatePreferences", models.ReasonPreferenceConflict, func(ctx context.Context, l learner, text string, expected *int64) (*profilev1.Profile, error) {
			req := aiming(text)
			if expected != nil {
				req.ExpectedProfileVersion = version(*expected)
			}
			resp, err := l.UpdatePreferences(ctx, req)
			return resp.GetProfile(), err
		}},
	}
}

func requireConflict(t *testing.T, err error, reason models.Reason, current int64) {
	t.Helper()
	details := testkit.RequireError(t, err, codes.Aborted, reason)
	require.Equal(t, strconv.FormatInt(current, 10), details.Info.GetMetadata()["current_version"])
	require.Nil(t, details.Retry, "the same call cannot succeed later")
}

func TestS62_ExpectedVersion(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, c := range conditionals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			present := named(t, s)
			present.mustPrefer(t, aiming("A1"))
			for _, wrong := range []int64{0, 1, 3, 1 << 62} {
				_, err := c.write(t.Context(), present, "New", &wrong)
				requireConflict(t, err, c.reason, 2)
				require.Equal(t, int64(2), present.profile(t).GetProfileVersion())
			}
			right := int64(2)
			got, err := c.write(t.Context(), present, "New", &right)
			require.NoError(t, err)
			require.Equal(t, int64(3), got.GetProfileVersion())
		})
		t.Run(c.name+"Absent", func(t *testing.T) {
			t.Parallel()
			absent, one, zero := newLearner(s), int64(1), int64(0)
			_, err := c.write(t.Context(), absent, "New", &one)
			requireConflict(t, err, c.reason, 0)
			got, err := c.write(t.Context(), absent, "New", &zero)
			require.NoError(t, err, "0 means: must not exist")
			require.Equal(t, int64(1), got.GetProfileVersion())
		})
		t.Run(c.name+"Negative", func(t *testing.T) {
			t.Parallel()
			negative := int64(-1)
			_, err := c.write(t.Context(), named(t, s), "New", &negative)
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{"expected_profile_version"}, details.Fields())
		})
	}
}

func TestS62_ConflictEvenWhenNothingWouldChange(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	req := renaming("Ada")
	req.ExpectedProfileVersion = version(7)
	_, err := l.UpdateProfile(t.Context(), req)
	requireConflict(t, err, models.ReasonVersionConflict, 1)
}

// race starts n conditional writes at once and returns how many won. Every loser is told version after.
func race(t *testing.T, l learner, c conditional, expected int64, after int64) int {
	t.Helper()
	const writers = 12
	release := holdEverybody(t, l.Service)
	done := make(chan []error, 1)
	go func() {
		done <- testkit.Together(writers, func(i int) error {
			_, err := c.write(t.Context(), l, "writer "+strconv.Itoa(i), &expected)
			return err
		})
	}()
	awaitBlocked(t, l.Service, writers)
	release()
	won := 0
	for _, err := range <-done {
		if err == nil {
			won++
			continue
		}
		requireConflict(t, err, c.reason, after)
	}
	return won
}

func TestS62_OneOfManyWritersWins(t *testing.T) {
	t.Parallel()
	for _, c := range conditionals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := named(t, testkit.New(t))
			require.Equal(t, 1, race(t, l, c, 1, 2))
			require.Equal(t, int64(2), l.profile(t).GetProfileVersion())
		})
		t.Run(c.name+"FirstWrite", func(t *testing.T) {
			t.Parallel()
			l := newLearner(testkit.New(t))
			require.Equal(t, 1, race(t, l, c, 0, 1))
			require.Equal(t, int64(1), l.profile(t).GetProfileVersion())
		})
	}
}

func TestP6_SecondWriterWithTheSameVersionLoses(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	expected := int64(1)
	c := conditionals()[0]
	release := holdUser(t, l)
	first := testkit.Later(func() error {
		_, err := c.write(t.Context(), l, "first", &expected)
		return err
	})
	awaitBlocked(t, l.Service, 1)
	second := testkit.Later(func() error {
		_, err := c.write(t.Context(), l, "second", &expected)
		return err
	})
	awaitBlocked(t, l.Service, 2)
	release()
	require.NoError(t, <-first)
	requireConflict(t, <-second, models.ReasonVersionConflict, 2)
	require.Equal(t, "first", l.profile(t).GetDisplayName())
}

func TestS62_WithoutExpectationNoFieldIsLost(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	l := named(t, s)
	const writers = 12
	writes := make([]func() error, 0, writers)
	for i := range writers - 2 {
		req := keeping(t, map[string]any{"k" + strconv.Itoa(i): i})
		if i%2 == 0 {
			req.UpdateMask = maskOf("extra.k" + strconv.Itoa(i))
		}
		writes = append(writes, func() error {
			_, err := l.UpdatePreferences(t.Context(), req)
			return err
		})
	}
	writes = append(writes, func() error {
		_, err := l.UpdateProfile(t.Context(), renaming("New"))
		return err
	}, func() error {
		_, err := l.UpdatePreferences(t.Context(), aiming("B2"))
		return err
	})
	release := holdEverybody(t, s)
	done := make(chan []error, 1)
	go func() { done <- testkit.Together(writers, func(i int) error { return writes[i]() }) }()
	awaitBlocked(t, s, writers)
	release()
	for _, err := range <-done {
		require.NoError(t, err)
	}
	stored := l.profile(t)
	require.Equal(t, int64(1+writers), stored.GetProfileVersion())
	require.Equal(t, "New", stored.GetDisplayName())
	require.Equal(t, "B2", stored.GetPreferences().GetLearningGoal())
	for i := range writers - 2 {
		require.InEpsilon(t, float64(i)+1, stored.GetPreferences().GetExtra().AsMap()["k"+strconv.Itoa(i)].(float64)+1, 1e-9)
	}
}

func TestS62_IfMatch(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, c := range conditionals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			old := etagOf(t, l)
			l.mustPrefer(t, aiming("A1"))
			current := etagOf(t, l)
			for name, tag := range map[string]string{"Old": old, "OfSomebody": etagOf(t, named(t, s)), "Nonsense": "nonsense"} {
				_, err := c.write(with(t.Context(), "x-md-if-match", tag), l, "New", nil)
				details := testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonPreconditionFailed)
				require.Equal(t, "2", details.Info.GetMetadata()["current_version"], name)
				require.Len(t, details.Precondition.GetViolations(), 1, name)
				require.Equal(t, int64(2), l.profile(t).GetProfileVersion(), name)
			}
			_, err := c.write(with(t.Context(), "x-md-if-match", current), l, "One", nil)
			require.NoError(t, err)
			got, err := c.write(with(t.Context(), "x-md-if-match", "*"), l, "Two", nil)
			require.NoError(t, err)
			require.Equal(t, int64(4), got.GetProfileVersion())
		})
		t.Run(c.name+"Absent", func(t *testing.T) {
			t.Parallel()
			absent := newLearner(s)
			_, err := c.write(with(t.Context(), "x-md-if-match", "*"), absent, "New", nil)
			testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonPreconditionFailed)
			require.Zero(t, testkit.One[int64](t, s.DB, "SELECT count(*) FROM profile.users WHERE user_id = $1", absent.id.String()))
		})
	}
}

func TestS62_BothConditions(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for _, c := range conditionals() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			tag := etagOf(t, l)
			ctx := with(t.Context(), "x-md-if-match", tag)
			other, same := int64(2), int64(1)
			_, err := c.write(ctx, l, "New", &other)
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{"expected_profile_version"}, details.Fields())
			require.Equal(t, int64(1), l.profile(t).GetProfileVersion())
			got, err := c.write(ctx, l, "New", &same)
			require.NoError(t, err)
			require.Equal(t, int64(2), got.GetProfileVersion())
			_, err = c.write(ctx, l, "Newer", &same)
			requireConflict(t, err, c.reason, 2)
		})
	}
}

func TestS63_RepeatWithKeyReturnsTheStoredAnswer(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	req := renaming("Grace")
	req.ExpectedProfileVersion, req.IdempotencyKey = version(1), "once"
	first := l.mustUpdate(t, req)
	l.mustUpdate(t, renaming("Hedy"))
	again := l.mustUpdate(t, req)
	require.Equal(t, int64(2), again.GetProfileVersion(), "the answer of then")
	require.Equal(t, first.GetDisplayName(), again.GetDisplayName())
	require.Equal(t, "Hedy", l.profile(t).GetDisplayName(), "nothing was applied again")
	require.Equal(t, int64(3), l.profile(t).GetProfileVersion())
}

func TestS63_RepeatWithoutKeyIsAConflict(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	req := renaming("Grace")
	req.ExpectedProfileVersion = version(1)
	l.mustUpdate(t, req)
	_, err := l.UpdateProfile(t.Context(), req)
	requireConflict(t, err, models.ReasonVersionConflict, 2)
}

func TestP9_ConditionHeadersAreObeyed(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	tag := etagOf(t, l)
	for name, c := range map[string]struct {
		pairs []string
		call  func(ctx context.Context) error
		want  codes.Code
	}{
		"IfMatch": {[]string{"x-md-if-match", `"stale"`}, func(ctx context.Context) error {
			_, err := l.UpdateProfile(ctx, renaming("New"))
			return err
		}, codes.FailedPrecondition},
		"MalformedIdempotencyKey": {[]string{"x-md-idempotency-key", "two words"}, func(ctx context.Context) error {
			_, err := l.UpdateProfile(ctx, renaming("New"))
			return err
		}, codes.InvalidArgument},
	} {
		require.Equal(t, c.want, status.Code(c.call(with(t.Context(), c.pairs...))), name)
	}
	got, err := l.GetProfile(with(t.Context(), "x-md-if-none-match", tag), &profilev1.GetProfileRequest{})
	require.NoError(t, err)
	require.True(t, got.GetNotModified())
	key := with(t.Context(), "x-md-idempotency-key", "k")
	_, err = l.UpdateProfile(key, renaming("One"))
	require.NoError(t, err)
	_, err = l.UpdateProfile(key, renaming("Two"))
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonIdempotencyKeyReused)
	require.Equal(t, "One", l.profile(t).GetDisplayName())
}
