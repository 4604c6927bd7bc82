package test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

// keyed is one mutating method, called with an idempotency key in its field.
type keyed struct {
	// call does the same thing each time; other asks for something else on the same resource.
	call, other func(ctx context.Context, l learner, key string, opts ...grpc.CallOption) (proto.Message, error)
}

// keyedMethods are all methods that take a key. They act on video where they act on one.
func keyedMethods(t testing.TB, video models.VideoID) map[string]keyed {
	t.Helper()
	update := func(name string) func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error) {
		return func(ctx context.Context, l learner, key string, opts ...grpc.CallOption) (proto.Message, error) {
			req := renaming(name)
			req.IdempotencyKey = key
			return l.UpdateProfile(ctx, req, opts...)
		}
	}
	prefer := func(goal string) func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error) {
		return func(ctx context.Context, l learner, key string, opts ...grpc.CallOption) (proto.Message, error) {
			req := aiming(goal)
			req.Preferences.Extra = object(t, map[string]any{"c": 3, "a": 1.25, "b": map[string]any{"y": true, "x": nil}})
			req.IdempotencyKey = key
			return l.UpdatePreferences(ctx, req, opts...)
		}
	}
	mutate := func(kind profilev1.FavoriteType) func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error) {
		return func(ctx context.Context, l learner, key string, opts ...grpc.CallOption) (proto.Message, error) {
			req := adding(video)
			req.FavoriteType, req.IdempotencyKey = kind, key
			return l.MutateFavorite(ctx, req, opts...)
		}
	}
	report := func(ratio float64) func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error) {
		return func(ctx context.Context, l learner, key string, opts ...grpc.CallOption) (proto.Message, error) {
			req := watching(video, ratio)
			req.IdempotencyKey = key
			return l.UpsertWatchProgress(ctx, req, opts...)
		}
	}
	return map[string]keyed{
		"UpdateProfile":       {update("Grace"), update("Hedy")},
		"UpdatePreferences":   {prefer("B2"), prefer("C1")},
		"MutateFavorite":      {mutate(profilev1.FavoriteType_FAVORITE_TYPE_LIKE), mutate(profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK)},
		"UpsertWatchProgress": {report(0.5), report(0.75)},
	}
}

const replayed = "idempotency-replayed"

func records(t testing.TB, l learner) int64 {
	t.Helper()
	return testkit.One[int64](t, l.DB, "SELECT count(*) FROM profile.idempotency_keys WHERE user_id = $1", l.id.String())
}

func TestS85_ReplayReturnsTheStoredAnswer(t *testing.T) {
	t.Parallel()
	s, video := testkit.New(t), testkit.NewVideo()
	for name, m := range keyedMethods(t, video) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			md, option := header()
			first, err := m.call(t.Context(), l, "k", option)
			require.NoError(t, err)
			require.Empty(t, md.Get(replayed))
			_, err = m.other(t.Context(), l, "") // the world moves on
			require.NoError(t, err)
			l.mustUpdate(t, renaming("Somebody"))

			events, rows := l.Events(t, l.id), records(t, l)
			md, option = header()
			again, err := m.call(t.Context(), l, "k", option)
			require.NoError(t, err)
			require.Equal(t, []string{"true"}, md.Get(replayed))
			require.True(t, proto.Equal(first, again), "%v\n%v", first, again)
			require.Len(t, l.Events(t, l.id), len(events))
			require.Equal(t, rows, records(t, l))
			require.Equal(t, "Somebody", l.profile(t).GetDisplayName(), "nothing is applied again")
		})
	}
}

func TestS85_ReplayCarriesTheETagOfThen(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	req := aiming("B2")
	req.IdempotencyKey = "k"
	md, option := header()
	_, err := l.UpdatePreferences(t.Context(), req, option)
	require.NoError(t, err)
	then := md.Get("etag")
	l.mustPrefer(t, aiming("C1"))
	md, option = header()
	_, err = l.UpdatePreferences(t.Context(), req, option)
	require.NoError(t, err)
	require.Equal(t, then, md.Get("etag"))
	require.NotEqual(t, []string{etagOf(t, l)}, then)
}

func TestS85_OtherRequestWithTheSameKey(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, m := range keyedMethods(t, testkit.NewVideo()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			_, err := m.call(t.Context(), l, "k")
			require.NoError(t, err)
			events := l.Events(t, l.id)
			_, err = m.other(t.Context(), l, "k")
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonIdempotencyKeyReused)
			require.Nil(t, details.Retry)
			require.Len(t, l.Events(t, l.id), len(events))
			require.Equal(t, int64(1), records(t, l))
			_, err = m.call(t.Context(), l, "k")
			require.NoError(t, err, "the first answer is still there")
		})
	}
}

func TestS85_ConditionsArePartOfTheRequest(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, other := range map[string]func(ctx context.Context, l learner, req *profilev1.UpdateProfileRequest) error{
		"IfMatch": func(ctx context.Context, l learner, req *profilev1.UpdateProfileRequest) error {
			_, err := l.UpdateProfile(with(ctx, "x-md-if-match", "*"), req)
			return err
		},
		"ExpectedVersion": func(ctx context.Context, l learner, req *profilev1.UpdateProfileRequest) error {
			req.ExpectedProfileVersion = version(1)
			_, err := l.UpdateProfile(ctx, req)
			return err
		},
		"Mask": func(ctx context.Context, l learner, req *profilev1.UpdateProfileRequest) error {
			req.UpdateMask = maskOf("display_name", "avatar_url")
			_, err := l.UpdateProfile(ctx, req)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, req := named(t, s), renaming("Grace")
			req.IdempotencyKey = "k"
			l.mustUpdate(t, req)
			testkit.RequireError(t, other(t.Context(), l, req), codes.InvalidArgument, models.ReasonIdempotencyKeyReused)
		})
	}
}

func TestS85_SameRequestSaidDifferently(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, again := range map[string]func(l learner, opts ...grpc.CallOption) error{
		"KeyInHeader": func(l learner, opts ...grpc.CallOption) error {
			_, err := l.UpdateProfile(with(t.Context(), "x-md-idempotency-key", "k"), renaming("Grace"), opts...)
			return err
		},
		"KeyInBoth": func(l learner, opts ...grpc.CallOption) error {
			req := renaming("Grace")
			req.IdempotencyKey = "k"
			_, err := l.UpdateProfile(with(t.Context(), "x-md-idempotency-key", "k"), req, opts...)
			return err
		},
		"NamingOneself": func(l learner, opts ...grpc.CallOption) error {
			req := renaming("Grace")
			req.IdempotencyKey, req.UserId = "k", strings.ToUpper(l.id.String())
			_, err := l.UpdateProfile(t.Context(), req, opts...)
			return err
		},
		"Masked": func(l learner, opts ...grpc.CallOption) error {
			req := renaming("Grace")
			req.IdempotencyKey, req.UpdateMask = "k", maskOf("profile.display_name")
			_, err := l.UpdateProfile(t.Context(), req, opts...)
			return err
		},
		"OtherClientClock": func(l learner, opts ...grpc.CallOption) error {
			req := renaming("Grace")
			req.IdempotencyKey = "k"
			_, err := l.UpdateProfile(with(t.Context(), "x-md-client-time", "2001-01-01T00:00:00Z"), req, opts...)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, req := named(t, s), renaming("Grace")
			req.IdempotencyKey = "k"
			l.mustUpdate(t, req)
			md, option := header()
			require.NoError(t, again(l, option))
			require.Equal(t, []string{"true"}, md.Get(replayed))
		})
	}
}

func TestS85_AVideoInUpperCaseIsTheSameVideo(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	l, video := newLearner(s), testkit.NewVideo()
	like, report := adding(video), watching(video, 0.5)
	like.IdempotencyKey, report.IdempotencyKey = "k", "k"
	want, wantReport := l.mustMutate(t, like), l.mustReport(t, report)
	like.VideoId, report.VideoId = strings.ToUpper(like.GetVideoId()), strings.ToUpper(report.GetVideoId())
	md, option := header()
	got, err := l.MutateFavorite(t.Context(), like, option)
	require.NoError(t, err)
	require.Equal(t, []string{"true"}, md.Get(replayed))
	require.True(t, proto.Equal(want, got))
	md, option = header()
	gotReport, err := l.UpsertWatchProgress(t.Context(), report, option)
	require.NoError(t, err)
	require.Equal(t, []string{"true"}, md.Get(replayed))
	require.True(t, proto.Equal(wantReport, gotReport))
}

func TestS85_FirstStillRunning(t *testing.T) {
	t.Parallel()
	for name, m := range keyedMethods(t, testkit.NewVideo()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, testkit.New(t))
			release := holdUser(t, l)
			first := testkit.Later(func() error {
				_, err := m.call(t.Context(), l, "k")
				return err
			})
			awaitBlocked(t, l.Service, 1)
			for _, repeat := range []func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error){m.call, m.other} {
				_, err := repeat(t.Context(), l, "k")
				details := testkit.RequireError(t, err, codes.Aborted, models.ReasonIdempotencyInProgress)
				require.Positive(t, details.Retry.GetRetryDelay().AsDuration())
			}
			release()
			require.NoError(t, <-first)
			md, option := header()
			_, err := m.call(t.Context(), l, "k", option)
			require.NoError(t, err)
			require.Equal(t, []string{"true"}, md.Get(replayed))
			require.Equal(t, int64(1), records(t, l))
		})
	}
}

func TestS85_RollbackLeavesNoRecord(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	before := l.DB.RowCounts(t)
	failing(t, l.Service, onProfileCommit, "P0001", 1)
	req := aiming("B2")
	req.IdempotencyKey = "k"
	_, err := l.UpdatePreferences(t.Context(), req)
	testkit.RequireError(t, err, codes.Internal, models.ReasonInternal)
	require.Equal(t, before, l.DB.RowCounts(t))
	md, option := header()
	_, err = l.UpdatePreferences(t.Context(), req, option)
	require.NoError(t, err)
	require.Empty(t, md.Get(replayed), "the repeat is the first that counts")
	require.Equal(t, int64(1), records(t, l))
}

func TestS85_FailuresAreNotStored(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	t.Run("Conflict", func(t *testing.T) {
		t.Parallel()
		l, req := named(t, s), renaming("Grace")
		req.ExpectedProfileVersion, req.IdempotencyKey = version(2), "k"
		_, err := l.UpdateProfile(t.Context(), req)
		testkit.RequireError(t, err, codes.Aborted, models.ReasonVersionConflict)
		require.Zero(t, records(t, l))
		l.mustPrefer(t, aiming("B2"))
		require.Equal(t, int64(3), l.mustUpdate(t, req).GetProfileVersion())
	})
	t.Run("VideoUnavailable", func(t *testing.T) {
		t.Parallel()
		l, video := newLearner(s), testkit.NewVideo()
		state := func(version int64, status string) {
			s.Publish(t, video, func(c *po.VideoChange) { c.Version, c.Status, c.Kind = version, &status, po.VideoUpdated })
		}
		s.Publish(t, video)
		state(2, "rejected")
		req := adding(video)
		req.IdempotencyKey = "k"
		_, err := l.MutateFavorite(t.Context(), req)
		testkit.RequireError(t, err, codes.FailedPrecondition, models.ReasonVideoUnavailable)
		require.Zero(t, records(t, l))
		state(3, "published")
		require.True(t, l.mustMutate(t, req).GetChanged())
	})
	t.Run("Invalid", func(t *testing.T) {
		t.Parallel()
		l, req := named(t, s), renaming("\u0007")
		req.IdempotencyKey = "k"
		_, err := l.UpdateProfile(t.Context(), req)
		testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
		require.Zero(t, records(t, l))
		req.Profile.DisplayName = "Grace"
		l.mustUpdate(t, req)
	})
}

func TestS85_AnswersAreKeptForADay(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	l.Clock.Set(testkit.At(t, "2030-01-02T03:04:05Z"))
	m := keyedMethods(t, testkit.NewVideo())["UpdateProfile"]
	call := func(call func(context.Context, learner, string, ...grpc.CallOption) (proto.Message, error)) []string {
		md, option := header()
		_, err := call(t.Context(), l, "k", option)
		require.NoError(t, err)
		return md.Get(replayed)
	}
	require.Empty(t, call(m.call))
	l.Clock.Advance(24*time.Hour - time.Microsecond)
	require.Equal(t, []string{"true"}, call(m.call))
	l.Clock.Advance(time.Microsecond)
	require.Empty(t, call(m.other), "an expired key is free, even for another request")
	require.Equal(t, []string{"true"}, call(m.other), "and taken again")
	l.Clock.Advance(24*time.Hour - time.Microsecond)
	require.Equal(t, []string{"true"}, call(m.other), "for a whole day")
	require.Equal(t, int64(1), records(t, l))
}

func TestS85_HeaderAndField(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, m := range keyedMethods(t, testkit.NewVideo()) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			_, err := m.call(with(t.Context(), "x-md-idempotency-key", "header"), l, "field")
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{"idempotency_key"}, details.Fields())
			require.Zero(t, records(t, l))
			_, err = m.call(with(t.Context(), "x-md-idempotency-key", "header"), l, "")
			require.NoError(t, err)
			require.Equal(t, "header", testkit.One[string](t, s.DB, "SELECT idempotency_key FROM profile.idempotency_keys WHERE user_id = $1", l.id.String()))
		})
	}
}

func TestS85_KeysMustBeVisibleASCII(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	for _, bad := range []string{" ", "two words", strings.Repeat("k", 129), "é", "\x7f"} {
		req := renaming("Grace")
		req.IdempotencyKey = bad
		_, err := l.UpdateProfile(t.Context(), req)
		details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
		require.Equal(t, []string{"idempotency_key"}, details.Fields(), "%q", bad)
	}
	for _, good := range []string{"k", strings.Repeat("k", 128), "!~:/\\'\"%;--"} {
		req := renaming("Grace")
		req.IdempotencyKey = good
		l.mustUpdate(t, req)
	}
	require.Equal(t, int64(3), records(t, l))
}

func TestS85_ScopesAreSeparate(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	// Every call uses the key "k"; none of them may see another's answer.
	run := func(t *testing.T, calls ...func(opts ...grpc.CallOption) error) {
		t.Helper()
		for i, call := range calls {
			md, option := header()
			require.NoError(t, call(option), i)
			require.Empty(t, md.Get(replayed), i)
		}
	}
	bind := func(m keyed, l learner) func(opts ...grpc.CallOption) error {
		return func(opts ...grpc.CallOption) error {
			_, err := m.call(t.Context(), l, "k", opts...)
			return err
		}
	}
	t.Run("PerUser", func(t *testing.T) {
		t.Parallel()
		m := keyedMethods(t, testkit.NewVideo())["MutateFavorite"]
		run(t, bind(m, newLearner(s)), bind(m, newLearner(s)))
	})
	t.Run("PerAction", func(t *testing.T) {
		t.Parallel()
		l := newLearner(s)
		var calls []func(opts ...grpc.CallOption) error
		for m := range maps.Values(keyedMethods(t, testkit.NewVideo())) {
			calls = append(calls, bind(m, l))
		}
		run(t, calls...)
		require.Equal(t, int64(4), records(t, l))
	})
	t.Run("PerResource", func(t *testing.T) {
		t.Parallel()
		l := newLearner(s)
		for _, method := range []string{"MutateFavorite", "UpsertWatchProgress"} {
			run(t, bind(keyedMethods(t, testkit.NewVideo())[method], l), bind(keyedMethods(t, testkit.NewVideo())[method], l))
		}
	})
	t.Run("NotPerCaller", func(t *testing.T) {
		t.Parallel()
		l, req := named(t, s), renaming("Grace")
		req.IdempotencyKey = "k"
		l.mustUpdate(t, req)
		req.UserId = l.id.String()
		md, option := header()
		_, err := s.AsService("writer").UpdateProfile(t.Context(), req, option)
		require.NoError(t, err)
		require.Equal(t, []string{"true"}, md.Get(replayed))
	})
}

func TestP9_IdempotencyKeyIsObeyed(t *testing.T) {
	t.Parallel()
	l := named(t, testkit.New(t))
	key := with(t.Context(), "x-md-idempotency-key", "k")
	_, err := l.UpdatePreferences(key, keeping(t, map[string]any{"n": 1}))
	require.NoError(t, err)
	l.mustPrefer(t, keeping(t, map[string]any{"n": 2}))
	_, err = l.UpdatePreferences(key, keeping(t, map[string]any{"n": 1}))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"n": 2.0}, l.extra(t), "the repeat did not undo what came later")
	require.Len(t, l.Events(t, l.id), 2)
}
