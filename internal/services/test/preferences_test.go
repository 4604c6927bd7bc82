package test

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
)

func TestS66_Extra(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	type json = map[string]any
	deep := json{"l2": json{"l3": json{"l4": json{"l5": json{"leaf": 1.0}}}}}
	for name, c := range map[string]struct {
		stored, sent json
		mask         []string
		want         json
	}{
		"MaskReplaces":             {json{"a": 1.0, "b": 2.0}, json{"b": 3.0}, []string{"extra"}, json{"b": 3.0}},
		"MaskDropsNulls":           {json{"a": 1.0}, json{"a": nil, "b": nil}, []string{"extra"}, json{}},
		"KeySet":                   {json{"a": 1.0}, json{"b": "x", "c": "not named"}, []string{"extra.b"}, json{"a": 1.0, "b": "x"}},
		"KeyAbsentDeletes":         {json{"a": 1.0, "b": 2.0}, json{}, []string{"extra.b"}, json{"a": 1.0}},
		"KeyNullDeletes":           {json{"a": 1.0, "b": 2.0}, json{"b": nil}, []string{"extra.b"}, json{"a": 1.0}},
		"KeyWithDots":              {json{"a": 1.0}, json{"ui.theme": "dark"}, []string{"extra.ui.theme"}, json{"a": 1.0, "ui.theme": "dark"}},
		"NoMaskMerges":             {json{"a": 1.0, "b": 2.0}, json{"b": 3.0, "c": 4.0}, nil, json{"a": 1.0, "b": 3.0, "c": 4.0}},
		"NoMaskNullDeletes":        {json{"a": 1.0, "b": 2.0}, json{"b": nil}, nil, json{"a": 1.0}},
		"NoMaskReplacesTopLevel":   {json{"a": json{"x": 1.0, "y": 2.0}}, json{"a": json{"z": 3.0}}, nil, json{"a": json{"z": 3.0}}},
		"NullInsideIsAValue":       {json{}, json{"a": json{"x": nil}}, nil, json{"a": json{"x": nil}}},
		"EveryJSONType":            {json{}, json{"s": "é☃", "n": -1.5, "t": true, "f": false, "l": []any{1.0, "x", nil}, "o": json{}}, nil, json{"s": "é☃", "n": -1.5, "t": true, "f": false, "l": []any{1.0, "x", nil}, "o": json{}}},
		"FiveLevels":               {json{}, deep, nil, deep},
		"LongestKey":               {json{}, json{strings.Repeat("k", 64): 1.0}, nil, json{strings.Repeat("k", 64): 1.0}},
		"ValuesThatGrowAsHTML":     {json{}, json{"a": strings.Repeat("<", 8<<10)}, nil, json{"a": strings.Repeat("<", 8<<10)}},
		"NumbersThatGrowAsDecimal": {json{}, json{"a": 1e300, "b": 5e-324}, nil, json{"a": 1e300, "b": 5e-324}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(s)
			l.mustPrefer(t, keeping(t, c.stored, "extra"))
			l.mustPrefer(t, keeping(t, c.sent, c.mask...))
			require.Equal(t, c.want, l.extra(t))
		})
	}
}

func TestS66_ExtraRefused(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	type json = map[string]any
	tooMany := json{}
	for i := range 65 {
		tooMany["k"+strings.Repeat("x", i%60)+string(rune('a'+i%26))+string(rune('A'+i/26))] = i
	}
	require.Len(t, tooMany, 65)
	huge := make([]any, 2000)
	for i := range huge {
		huge[i] = 1e300
	}
	for name, c := range map[string]struct {
		sent  json
		field string
	}{
		"TypedGoal":             {json{"learning_goal": "x"}, "preferences.extra.learning_goal"},
		"TypedQuota":            {json{"daily_quota_minutes": 1}, "preferences.extra.daily_quota_minutes"},
		"TypedExtra":            {json{"extra": json{}}, "preferences.extra.extra"},
		"BadKey":                {json{"9lives": 1}, "preferences.extra"},
		"EmptyKey":              {json{"": 1}, "preferences.extra"},
		"KeyTooLong":            {json{strings.Repeat("k", 65): 1}, "preferences.extra"},
		"TooManyKeys":           {tooMany, "preferences.extra"},
		"TooBig":                {json{"a": strings.Repeat("x", 16<<10)}, "preferences.extra"},
		"TooDeep":               {json{"a": json{"b": json{"c": json{"d": json{"e": json{}}}}}}, "preferences.extra.a"},
		"NulCharacter":          {json{"a": "x\x00y"}, "preferences.extra.a"},
		"NulInsideKey":          {json{"a": json{"x\x00": 1}}, "preferences.extra.a"},
		"DecimalsBeyondStorage": {json{"a": huge}, "preferences.extra"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			for _, mask := range [][]string{nil, {"extra"}} {
				_, err := l.UpdatePreferences(t.Context(), keeping(t, c.sent, mask...))
				details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
				require.Equal(t, []string{c.field}, details.Fields())
				require.Empty(t, l.extra(t))
			}
		})
	}
}

func TestS66_MergedExtraKeepsItsLimits(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	half := strings.Repeat("x", 9<<10)
	l.mustPrefer(t, keeping(t, map[string]any{"a": half}))
	_, err := l.UpdatePreferences(t.Context(), keeping(t, map[string]any{"b": half}))
	testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
	require.Equal(t, map[string]any{"a": half}, l.extra(t))
	l.mustPrefer(t, keeping(t, map[string]any{"a": nil, "b": half}))
	require.Equal(t, map[string]any{"b": half}, l.extra(t))
}

func TestS7_KeysAMergeDeletesDoNotCount(t *testing.T) {
	t.Parallel()
	numbered := func(prefix string, n int, value any) map[string]any {
		extra := map[string]any{}
		for i := range n {
			extra[fmt.Sprintf("%s%d", prefix, i)] = value
		}
		return extra
	}
	l := newLearner(testkit.New(t))
	l.mustPrefer(t, keeping(t, numbered("old", 40, "x")))
	swap := numbered("old", 40, nil)
	maps.Copy(swap, numbered("new", 40, "y"))
	l.mustPrefer(t, keeping(t, swap))
	require.Equal(t, numbered("new", 40, "y"), l.extra(t))
	l.mustPrefer(t, keeping(t, numbered("more", 24, "z")))
	require.Len(t, l.extra(t), 64)

	_, err := l.UpdatePreferences(t.Context(), keeping(t, map[string]any{"one": 1, "old0": nil}))
	require.Equal(t, []string{"preferences.extra"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields(), "deletes nothing")
	l.mustPrefer(t, keeping(t, map[string]any{"one": 1, "new0": nil}))
	l.mustPrefer(t, keeping(t, map[string]any{"two": 2}, "extra.two", "extra.new1"))
	require.Len(t, l.extra(t), 64)
	_, err = l.UpdatePreferences(t.Context(), keeping(t, map[string]any{"three": 3}, "extra.three"))
	require.Equal(t, []string{"preferences.extra"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
}

func TestS8_WhatOnlyTheMergeShowsIsNamedInFull(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", 9<<10)
	l := newLearner(testkit.New(t))
	l.mustPrefer(t, keeping(t, map[string]any{"a": half}))
	_, err := l.UpdatePreferences(t.Context(), keeping(t, map[string]any{"b": half}))
	require.Equal(t, []string{"preferences.extra"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	for _, paths := range [][]string{nil, {"extra.b"}} {
		_, err = l.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{
			Profile: &profilev1.Profile{Preferences: keeping(t, map[string]any{"b": half}).GetPreferences()}, UpdateMask: maskOf(paths...),
		})
		require.Equal(t, []string{"profile.preferences.extra"}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument).Fields())
	}
	for field, req := range map[string]*profilev1.UpsertWatchProgressRequest{
		"occurred_at":              {OccurredAt: timestamppb.New(time.Now().Add(time.Hour))},
		"progress.last_watched_at": {Progress: &profilev1.WatchProgress{LastWatchedAt: timestamppb.New(time.Now().Add(time.Hour))}},
	} {
		req.VideoId = testkit.NewVideo().String()
		if req.GetProgress() == nil {
			req.Progress = &profilev1.WatchProgress{}
		}
		_, err = l.UpsertWatchProgress(t.Context(), req)
		require.Equal(t, []string{field}, testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonOccurredAtInFuture).Fields())
	}
}

func TestS67_NoEffectiveChange(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, write := range map[string]func(l learner) *profilev1.Profile{
		"SameName":         func(l learner) *profilev1.Profile { return l.mustUpdate(t, renaming("Old")) },
		"SameNameUnmasked": func(l learner) *profilev1.Profile { return l.mustUpdate(t, renaming(" Old\t")) },
		"SameGoal":         func(l learner) *profilev1.Profile { return l.mustPrefer(t, aiming("A1")).GetProfile() },
		"SameExtraKey": func(l learner) *profilev1.Profile {
			return l.mustPrefer(t, keeping(t, map[string]any{"x": 1})).GetProfile()
		},
		"SameExtra": func(l learner) *profilev1.Profile {
			return l.mustPrefer(t, keeping(t, map[string]any{"y": 2, "x": 1}, "extra")).GetProfile()
		},
		"DeletingNothing": func(l learner) *profilev1.Profile { return l.mustPrefer(t, keeping(t, nil, "extra.none")).GetProfile() },
		"NullForNothing": func(l learner) *profilev1.Profile {
			return l.mustPrefer(t, keeping(t, map[string]any{"none": nil})).GetProfile()
		},
		"SameUnderVersion1": func(l learner) *profilev1.Profile {
			req := aiming("A1")
			req.ExpectedProfileVersion = version(1)
			return l.mustPrefer(t, req).GetProfile()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := full(t, s)
			before, events := l.profile(t), len(l.Events(t, l.id))
			answer := write(l)
			require.Equal(t, int64(1), answer.GetProfileVersion())
			after := l.profile(t)
			require.Equal(t, int64(1), after.GetProfileVersion())
			require.Equal(t, before.GetUpdatedAt().AsTime(), after.GetUpdatedAt().AsTime())
			require.Len(t, l.Events(t, l.id), events)
		})
	}
}

func TestS67_StoredFormDecides(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	negativeZero := keeping(t, map[string]any{"a": math.Copysign(0, -1)})
	l.mustPrefer(t, negativeZero)
	again := l.mustPrefer(t, negativeZero)
	require.Equal(t, int64(1), again.GetProfile().GetProfileVersion(), "jsonb has one zero")
	require.Empty(t, again.GetDelta().GetChanges())
}

func TestS67_NothingToUpdate(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, l := range map[string]learner{"Present": named(t, s), "Absent": newLearner(s)} {
		for call, err := range map[string]error{
			"UpdateProfile":          second(l.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{})),
			"UpdateProfileEmpty":     second(l.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{Preferences: &profilev1.Preferences{}}})),
			"UpdateProfileReadOnly":  second(l.UpdateProfile(t.Context(), &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{ProfileVersion: 9, PreferencesJson: "{}"}})),
			"UpdatePreferences":      second(l.UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{})),
			"UpdatePreferencesEmpty": second(l.UpdatePreferences(t.Context(), keeping(t, map[string]any{}))),
			"UpdatePreferencesMask":  second(l.UpdatePreferences(t.Context(), &profilev1.UpdatePreferencesRequest{UpdateMask: maskOf()})),
		} {
			details := testkit.RequireError(t, err, codes.InvalidArgument, models.ReasonInvalidArgument)
			require.Equal(t, []string{"update_mask"}, details.Fields(), name+call)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// changesOf is a delta as field -> {old, new}.
func changesOf(d *profilev1.PreferenceDelta) map[string][2]any {
	changes := map[string][2]any{}
	for _, c := range d.GetChanges() {
		changes[c.GetField()] = [2]any{c.GetOldValue().AsInterface(), c.GetNewValue().AsInterface()}
	}
	return changes
}

func TestS68_EventCarriesTheDelta(t *testing.T) {
	t.Parallel()
	l := newLearner(testkit.New(t))
	l.Clock.Set(testkit.At(t, "2030-01-02T03:04:05.000006Z"))
	l.mustPrefer(t, &profilev1.UpdatePreferencesRequest{Preferences: preferencesOf(t, "A1", wrapperspb.Int32(10), map[string]any{"secret": "s3cr3t-old", "kept": 1})})
	answer := l.mustPrefer(t, &profilev1.UpdatePreferencesRequest{
		Preferences: preferencesOf(t, "B2", nil, map[string]any{"secret": "s3cr3t-new"}), UpdateMask: maskOf("learning_goal", "daily_quota_minutes", "extra.secret"),
	})
	require.Equal(t, map[string][2]any{
		"learning_goal": {"A1", "B2"}, "daily_quota_minutes": {10.0, nil}, "extra.secret": {"s3cr3t-old", "s3cr3t-new"},
	}, changesOf(answer.GetDelta()), "the caller sees values")

	events := l.Events(t, l.id)
	require.Len(t, events, 2)
	event := events[1].Message.(*profilev1.PreferencesUpdatedEvent)
	require.Equal(t, map[string][2]any{
		"learning_goal": {"A1", "B2"}, "daily_quota_minutes": {10.0, nil}, "extra.secret": {nil, nil},
	}, changesOf(event.GetDelta()), "the event only names keys of extra")
	for _, c := range event.GetDelta().GetChanges() {
		if c.GetField() == "extra.secret" {
			require.Nil(t, c.GetOldValue())
			require.Nil(t, c.GetNewValue())
		}
	}
	require.Equal(t, "profile.preferences.updated", events[1].Type)
	require.Equal(t, events[1].ID, event.GetEventId())
	require.Equal(t, l.id.String(), event.GetUserId())
	require.Equal(t, int64(2), event.GetProfileVersion())
	require.Equal(t, int64(2), events[1].Version)
	require.Equal(t, l.Clock.Now(), event.GetOccurredAt().AsTime())
	require.False(t, testkit.One[bool](t, l.DB, "SELECT bool_or(position('s3cr3t'::bytea IN payload) > 0) FROM profile.outbox_events"))
}

// What a mask names but leaves as it was, and what it does not name, is not part of the delta.
func TestS68_EventNamesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, c := range map[string]struct {
		sent *profilev1.UpdatePreferencesRequest
		want map[string][2]any
	}{
		"SameGoal": {
			&profilev1.UpdatePreferencesRequest{
				Preferences: preferencesOf(t, "A1", wrapperspb.Int32(0), nil), UpdateMask: maskOf("learning_goal", "daily_quota_minutes"),
			},
			map[string][2]any{"daily_quota_minutes": {10.0, 0.0}},
		},
		"GoalRemoved": {
			&profilev1.UpdatePreferencesRequest{Preferences: &profilev1.Preferences{}, UpdateMask: maskOf("learning_goal")},
			map[string][2]any{"learning_goal": {"A1", nil}},
		},
		"ExtraReplaced": {
			keeping(t, map[string]any{"kept": 1, "new": 2}, "extra"),
			map[string][2]any{"extra.new": {nil, nil}, "extra.gone": {nil, nil}},
		},
		"ExtraKeyWithDots": {
			keeping(t, map[string]any{"ui.theme": "dark"}),
			map[string][2]any{"extra.ui.theme": {nil, nil}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(s)
			l.mustPrefer(t, &profilev1.UpdatePreferencesRequest{Preferences: preferencesOf(t, "A1", wrapperspb.Int32(10), map[string]any{"kept": 1, "gone": 1})})
			answer := l.mustPrefer(t, c.sent)
			events := l.Events(t, l.id)
			require.Len(t, events, 2)
			delta := events[1].Message.(*profilev1.PreferencesUpdatedEvent).GetDelta()
			require.Equal(t, c.want, changesOf(delta))
			require.Len(t, answer.GetDelta().GetChanges(), len(delta.GetChanges()), "the caller is told of the same fields")
		})
	}
}

func TestS68_OnlyPreferenceChangesAreAnnounced(t *testing.T) {
	t.Parallel()
	s := testkit.New(t)
	for name, c := range map[string]struct {
		write func(l learner)
		want  int
	}{
		"Name":              {func(l learner) { l.mustUpdate(t, renaming("New")) }, 0},
		"UpdatePreferences": {func(l learner) { l.mustPrefer(t, aiming("B2")) }, 1},
		"NoChange":          {func(l learner) { l.mustPrefer(t, keeping(t, map[string]any{"none": nil})) }, 0},
		"ByUpdateProfile": {func(l learner) {
			l.mustUpdate(t, &profilev1.UpdateProfileRequest{Profile: &profilev1.Profile{Preferences: &profilev1.Preferences{LearningGoal: "B2"}}})
		}, 1},
		"SeveralInOneChange": {func(l learner) {
			l.mustPrefer(t, &profilev1.UpdatePreferencesRequest{Preferences: preferencesOf(t, "B2", wrapperspb.Int32(1), map[string]any{"a": 1, "b": 2})})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := named(t, s)
			c.write(l)
			require.Len(t, l.Events(t, l.id), c.want)
		})
	}
}

func TestS68_Switches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		configure             func(f *confpb.Features)
		preferences, favorite int
	}{
		"PreferencesOff": {func(f *confpb.Features) { f.PublishPreferences = false }, 0, 1},
		"EventsOff":      {func(f *confpb.Features) { f.PublishEvents = false }, 0, 0},
		"AllOn":          {func(*confpb.Features) {}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLearner(testkit.New(t, func(conf *confpb.Bootstrap) { c.configure(conf.GetFeatures()) }))
			answer := l.mustPrefer(t, aiming("B2"))
			require.Len(t, answer.GetDelta().GetChanges(), 1, "the caller is told either way")
			require.Equal(t, "B2", l.profile(t).GetPreferences().GetLearningGoal())
			require.Len(t, l.Events(t, l.id), c.preferences)
			l.mustMutate(t, adding(testkit.NewVideo()))
			require.Len(t, l.Events(t, l.id), c.preferences+c.favorite)
		})
	}
}
