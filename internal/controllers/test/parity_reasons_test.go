package test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/test/testkit"
)

// tally counts the reasons that callers saw, by transport. No reason is a success.
type tally struct{ grpc, rest map[models.Reason]int }

func newTally() tally { return tally{map[models.Reason]int{}, map[models.Reason]int{}} }

func (n tally) add(overGRPC, overREST models.Reason) {
	n.grpc[overGRPC]++
	n.rest[overREST]++
}

// notInREST are the reasons that only gRPC can express, and what REST says instead: a merge patch names no expected
// version; If-Match does, and it fails as a precondition.
var notInREST = map[models.Reason]models.Reason{
	models.ReasonVersionConflict:    models.ReasonPreconditionFailed,
	models.ReasonPreferenceConflict: models.ReasonPreconditionFailed,
}

// requireEvery fails for a reason of the contract that a transport never gave.
func (n tally) requireEvery(t *testing.T) {
	t.Helper()
	values := profilev1.ErrorReason_ERROR_REASON_UNSPECIFIED.Descriptor().Values()
	for i := range values.Len() {
		if values.Get(i).Number() == 0 {
			continue // never sent
		}
		reason := models.Reason(strings.TrimPrefix(string(values.Get(i).Name()), "ERROR_REASON_"))
		require.Positive(t, n.grpc[reason], "nothing provokes %s over gRPC", reason)
		if _, unsayable := notInREST[reason]; unsayable {
			require.Zero(t, n.rest[reason], "%s can be had over REST: it is no exception any more", reason)
			continue
		}
		require.Positive(t, n.rest[reason], "nothing provokes %s over REST", reason)
	}
}

// provocation brings a reason about, for one new user after the other.
type provocation struct {
	reason models.Reason
	// service is one of its own; nil is one as it comes.
	service func(t *testing.T) *testkit.Service
	// arrange is what must be so before a user's call; end, unless nil, undoes what stands in the way.
	arrange func(t *testing.T, s *testkit.Service, user models.UserID) (end func())
	route   string
	request proto.Message
	// headers by their names in HTTP.
	headers []string
	// as is the user unless said otherwise.
	as func(user models.UserID) []string
}

const (
	likeRoute = "PUT /api/v1/user/me/likes/{video_id}"
	listRoute = "GET /api/v1/user/me/favorites"
	ownRoute  = "PATCH /api/v1/user/me"
	anyRoute  = "GET /api/v1/profile/users/{user_id}"
)

func with(change ...func(*confpb.Bootstrap)) func(*testing.T) *testkit.Service {
	return func(t *testing.T) *testkit.Service {
		t.Helper()
		return testkit.New(t, change...)
	}
}

// altered is a service whose database was changed by statements.
func altered(statements ...string) func(*testing.T) *testkit.Service {
	return func(t *testing.T) *testkit.Service {
		t.Helper()
		s := testkit.New(t)
		for _, sql := range statements {
			s.DB.Exec(t, sql)
		}
		return s
	}
}

// failingWith makes every new favourite fail with a SQLSTATE.
func failingWith(sqlstate string) func(*testing.T) *testkit.Service {
	return altered(`CREATE FUNCTION profile.fail() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '`+sqlstate+`'; END $$`,
		"CREATE TRIGGER fail BEFORE INSERT ON profile.engagements FOR EACH ROW EXECUTE FUNCTION profile.fail()")
}

// likesAs is a like of a user, with metadata.
func likesAs(t *testing.T, s *testkit.Service, user models.UserID, pairs ...string) error {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), pairs...)
	_, err := s.AsUser(user).MutateFavorite(ctx, like())
	return err
}

// busy has a like of the user at work until end: it waits for the user's row.
func busy(pairs ...string) func(*testing.T, *testkit.Service, models.UserID) func() {
	return func(t *testing.T, s *testkit.Service, user models.UserID) func() {
		t.Helper()
		require.NoError(t, likesAs(t, s, user))
		held := testkit.HoldUser(t, s, user)
		first := testkit.Later(func() error { return likesAs(t, s, user, pairs...) })
		held.AwaitWaiter(t)
		return func() {
			held.Release()
			require.NoError(t, <-first)
		}
	}
}

func liked(t *testing.T, s *testkit.Service, user models.UserID) func() {
	t.Helper()
	require.NoError(t, likesAs(t, s, user))
	return nil
}

// provocations are those of every reason but CANCELLED, which nobody is left to be told.
func provocations() []provocation {
	another := like()
	another.VideoId = "0190d5a0-4444-7abc-8def-00000000abcd"
	bookmark := like()
	bookmark.FavoriteType = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
	named := &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{DisplayName: "Ada"}}
	expecting := proto.CloneOf(named)
	expecting.ExpectedProfileVersion = wrapperspb.Int64(3)
	tomorrow := like()
	tomorrow.OccurredAt = timestamppb.New(timestamppb.Now().AsTime().Add(day))
	return []provocation{
		{reason: models.ReasonInvalidArgument, route: listRoute, request: &profilev1.ListFavoritesRequest{PageSize: -1}},
		{reason: models.ReasonOccurredAtInFuture, route: likeRoute, request: tomorrow},
		{reason: models.ReasonInvalidPageToken, route: listRoute, request: &profilev1.ListFavoritesRequest{PageToken: "20"}},
		{
			reason: models.ReasonIdempotencyKeyReused, route: "PUT /api/v1/user/me/bookmarks/{video_id}", request: bookmark, headers: []string{"Idempotency-Key", "k"},
			arrange: func(t *testing.T, s *testkit.Service, user models.UserID) func() {
				t.Helper()
				require.NoError(t, likesAs(t, s, user, "x-md-idempotency-key", "k"))
				return nil
			},
		},
		{reason: models.ReasonUnauthenticated, route: likeRoute, request: like(), as: func(models.UserID) []string { return nil }},
		{reason: models.ReasonPermissionDenied, route: anyRoute, request: &profilev1.GetProfileRequest{UserId: videoID}},
		{reason: models.ReasonProfileNotFound, route: "GET /api/v1/user/me", request: &profilev1.GetProfileRequest{}},
		{reason: models.ReasonVersionConflict, route: ownRoute, request: expecting, headers: []string{"If-Match", `"3"`}},
		{
			reason: models.ReasonPreferenceConflict, route: "PATCH /api/v1/user/me/preferences", headers: []string{"If-Match", `"3"`},
			request: &profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{LearningGoal: "B2"}, ExpectedProfileVersion: wrapperspb.Int64(3)},
		},
		{reason: models.ReasonPreconditionFailed, route: ownRoute, request: named, headers: []string{"If-Match", `"3"`}},
		{
			reason: models.ReasonIdempotencyInProgress, route: likeRoute, request: like(), headers: []string{"Idempotency-Key", "k"},
			arrange: busy("x-md-idempotency-key", "k"),
		},
		{reason: models.ReasonTransactionConflict, route: likeRoute, request: like(), service: failingWith("40001")},
		{
			reason: models.ReasonVideoUnavailable, route: likeRoute, request: like(),
			arrange: func(t *testing.T, s *testkit.Service, _ models.UserID) func() {
				t.Helper()
				s.Publish(t, models.VideoID(uuid.MustParse(videoID)), func(c *po.VideoChange) { c.Kind = po.VideoDeleted })
				return nil
			},
		},
		{
			reason: models.ReasonFavoriteLimitReached, route: likeRoute, request: another, arrange: liked,
			service: with(func(c *confpb.Bootstrap) { c.Engagement.MaxActivePerType = 1 }),
		},
		{
			reason: models.ReasonMethodNotAvailable, route: "POST /api/v1/profile/users/{user_id}:purge",
			request: &profilev1.PurgeUserDataRequest{UserId: videoID, Reason: "asked"}, as: func(models.UserID) []string { return asService("compliance") },
		},
		{reason: models.ReasonUnavailable, route: likeRoute, request: like(), service: with(withDeadDatabase)},
		{
			reason: models.ReasonDeadlineExceeded, route: likeRoute, request: like(),
			service: with(func(c *confpb.Bootstrap) {
				c.Server.Timeouts.Command.Seconds, c.Server.Timeouts.Command.Nanos = 0, 50_000_000
			}),
			arrange: func(t *testing.T, s *testkit.Service, user models.UserID) func() {
				t.Helper()
				require.NoError(t, likesAs(t, testkit.NewOn(t, s.DB), user)) // one that has time
				return testkit.HoldUser(t, s, user).Release
			},
		},
		{reason: models.ReasonInternal, route: likeRoute, request: like(), service: failingWith("XX000")},
		{
			reason: models.ReasonCounterOverflow, route: likeRoute, request: like(),
			service: altered("INSERT INTO profile.video_stats (video_id, like_count) VALUES ('" + videoID + "', 9223372036854775807)"),
		},
		{
			reason: models.ReasonOverloaded, route: likeRoute, request: like(), arrange: busy(),
			service: with(admitting, func(c *confpb.Bootstrap) { c.Admission.PerUser = 1 }),
		},
		{
			reason: models.ReasonRateLimited, route: likeRoute, request: like(), arrange: liked,
			service: func(t *testing.T) *testkit.Service {
				t.Helper()
				return limited(t, likesOfADay(1))
			},
		},
	}
}

func routeNamed(t *testing.T, name string) rest.Route {
	t.Helper()
	routes := rest.Routes()
	i := slices.IndexFunc(routes, func(r rest.Route) bool { return r.Verb+" "+r.Pattern == name })
	require.GreaterOrEqual(t, i, 0, "there is no route %s", name)
	return routes[i]
}

// provoke makes the call over both transports, each as a user to whom the same has happened.
func (p provocation) provoke(t *testing.T, seen tally) {
	t.Helper()
	if p.service == nil {
		p.service = func(t *testing.T) *testkit.Service { t.Helper(); return testkit.New(t) }
	}
	if p.as == nil {
		p.as = asUser
	}
	s, route := p.service(t), routeNamed(t, p.route)
	over := func(user models.UserID, transport func() said) said {
		if p.arrange != nil {
			if end := p.arrange(t, s, user); end != nil {
				defer end()
			}
		}
		return transport()
	}
	one, other := testkit.NewUser(), testkit.NewUser()
	instead, unsayable := notInREST[p.reason]
	grpcHeaders := inMetadata(p.headers)
	if unsayable {
		grpcHeaders = nil // the condition is a field there
	} else {
		instead = p.reason
	}
	got := over(one, func() said {
		return overGRPC(t, s, method{route.Method}, route, p.request, append(grpcHeaders, p.as(one)...))
	})
	require.Equal(t, p.reason, got.reason)
	path, body, possible := inREST(t, route, proto.Clone(p.request))
	require.True(t, possible)
	same := over(other, func() said { return overREST(t, s, route, path, body, append(slices.Clone(p.headers), p.as(other)...)) })
	require.Equal(t, instead, same.reason)
	require.Equal(t, got.fields, same.fields)
	require.Equal(t, stateOf(t, s, one), stateOf(t, s, other))
	seen.add(got.reason, same.reason)
}

// provokeCancelled has callers leave while their call is at work. Nobody is left to hear the reason; the log has it.
func provokeCancelled(t *testing.T, seen tally) {
	t.Helper()
	s := testkit.New(t)
	leave := func(run func(ctx context.Context, user models.UserID) error) models.UserID {
		user := testkit.NewUser()
		require.NoError(t, likesAs(t, s, user))
		held := testkit.HoldUser(t, s, user)
		defer held.Release()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := testkit.Later(func() error { return run(ctx, user) })
		held.AwaitWaiter(t)
		cancel()
		require.ErrorContains(t, <-done, "canceled")
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(serviceLog(s), func(line string) bool {
				return strings.Contains(line, `"user_id":"`+user.String()) && strings.Contains(line, `"reason":"CANCELLED"`)
			})
		}, patience, tick)
		return user
	}
	remove := like()
	remove.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	one := leave(func(ctx context.Context, user models.UserID) error {
		_, err := s.AsUser(user).MutateFavorite(ctx, remove)
		return err
	})
	other := leave(func(ctx context.Context, user models.UserID) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+s.App.Listeners.HTTP.Addr().String()+likes, nil)
		if err != nil {
			return err
		}
		pair := asUser(user)
		req.Header.Set(pair[0], pair[1])
		resp, err := transportOf(t, "http://"+s.App.Listeners.HTTP.Addr().String()).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
	require.Equal(t, stateOf(t, s, one), stateOf(t, s, other))
	seen.add(models.ReasonCancelled, models.ReasonCancelled)
}
