package po_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
)

func ptr[T any](v T) *T { return &v }

// content is a profile with every field set; each call returns maps of its own.
func content() po.Content {
	return po.Content{
		DisplayName: "Ada", AvatarURL: ptr("https://a.example/a.png"),
		Preferences: po.Preferences{LearningGoal: ptr("A1"), DailyQuotaMinutes: ptr(int32(10)), Extra: map[string]any{"x": 1.0, "y": map[string]any{"z": 2.0}}},
	}
}

// with is content after a change of one field.
func with(change func(c *po.Content)) po.Content {
	c := content()
	change(&c)
	return c
}

func TestS65_PatchTouchesOnlyWhatItSets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patch po.ProfilePatch
		want  po.Content
	}{
		"Nothing":     {po.ProfilePatch{}, content()},
		"Name":        {po.ProfilePatch{DisplayName: po.Set("Grace")}, with(func(c *po.Content) { c.DisplayName = "Grace" })},
		"Avatar":      {po.ProfilePatch{AvatarURL: po.Set(ptr("https://b"))}, with(func(c *po.Content) { c.AvatarURL = ptr("https://b") })},
		"AvatarClear": {po.ProfilePatch{AvatarURL: po.Set[*string](nil)}, with(func(c *po.Content) { c.AvatarURL = nil })},
		"Goal":        {po.ProfilePatch{LearningGoal: po.Set(ptr("B2"))}, with(func(c *po.Content) { c.LearningGoal = ptr("B2") })},
		"GoalClear":   {po.ProfilePatch{LearningGoal: po.Set[*string](nil)}, with(func(c *po.Content) { c.LearningGoal = nil })},
		"QuotaZero":   {po.ProfilePatch{DailyQuotaMinutes: po.Set(ptr(int32(0)))}, with(func(c *po.Content) { c.DailyQuotaMinutes = ptr(int32(0)) })},
		"QuotaClear":  {po.ProfilePatch{DailyQuotaMinutes: po.Set[*int32](nil)}, with(func(c *po.Content) { c.DailyQuotaMinutes = nil })},
		"Several": {
			po.ProfilePatch{DisplayName: po.Set("Grace"), LearningGoal: po.Set[*string](nil)},
			with(func(c *po.Content) { c.DisplayName, c.LearningGoal = "Grace", nil }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.patch.Apply(content())
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestS66_ExtraPatch(t *testing.T) {
	t.Parallel()
	type json = map[string]any
	for name, c := range map[string]struct {
		stored json
		patch  po.ExtraPatch
		want   json
	}{
		"Nothing":                {json{"a": 1.0}, po.ExtraPatch{}, json{"a": 1.0}},
		"Set":                    {json{"a": 1.0}, po.ExtraPatch{Values: json{"b": 2.0}}, json{"a": 1.0, "b": 2.0}},
		"Overwrite":              {json{"a": 1.0}, po.ExtraPatch{Values: json{"a": "x"}}, json{"a": "x"}},
		"NilDeletes":             {json{"a": 1.0, "b": 2.0}, po.ExtraPatch{Values: json{"a": nil}}, json{"b": 2.0}},
		"NilForNothing":          {json{"a": 1.0}, po.ExtraPatch{Values: json{"b": nil}}, json{"a": 1.0}},
		"NestedIsReplaced":       {json{"a": json{"x": 1.0}}, po.ExtraPatch{Values: json{"a": json{"y": 2.0}}}, json{"a": json{"y": 2.0}}},
		"Replace":                {json{"a": 1.0}, po.ExtraPatch{Replace: true, Values: json{"b": 2.0}}, json{"b": 2.0}},
		"ReplaceByNothing":       {json{"a": 1.0}, po.ExtraPatch{Replace: true}, json{}},
		"ReplaceDropsNil":        {json{"a": 1.0}, po.ExtraPatch{Replace: true, Values: json{"a": nil}}, json{}},
		"FromNothing":            {nil, po.ExtraPatch{Values: json{"a": 1.0}}, json{"a": 1.0}},
		"NothingFromNothing":     {nil, po.ExtraPatch{}, json{}},
		"FalseAndZeroAreNotNull": {json{}, po.ExtraPatch{Values: json{"f": false, "z": 0.0, "s": ""}}, json{"f": false, "z": 0.0, "s": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := po.ProfilePatch{Extra: c.patch}.Apply(po.Content{Preferences: po.Preferences{Extra: c.stored}})
			require.NoError(t, err)
			require.Equal(t, c.want, got.Extra)
		})
	}
}

func TestS66_PatchSharesNoMapWithWhatItStartedFrom(t *testing.T) {
	t.Parallel()
	stored := content()
	next, err := po.ProfilePatch{}.Apply(stored)
	require.NoError(t, err)
	next.Extra["new"] = true
	require.Equal(t, content(), stored)
}

func TestS66_MergedExtraIsChecked(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", 9<<10)
	stored := po.Content{Preferences: po.Preferences{Extra: map[string]any{"a": half}}}
	_, err := po.ProfilePatch{Extra: po.ExtraPatch{Values: map[string]any{"b": half}}}.Apply(stored)
	require.ErrorIs(t, err, models.ErrInvalidArgument)
	_, err = po.ProfilePatch{Extra: po.ExtraPatch{Values: map[string]any{"b": half, "a": nil}}}.Apply(stored)
	require.NoError(t, err)
}

func TestS61_PatchKnowsWhetherItTouchesMoreThanPreferences(t *testing.T) {
	t.Parallel()
	require.True(t, po.ProfilePatch{LearningGoal: po.Set(ptr("B2")), DailyQuotaMinutes: po.Set[*int32](nil), Extra: po.ExtraPatch{Replace: true}}.TouchesPreferencesOnly())
	require.False(t, po.ProfilePatch{DisplayName: po.Set("Ada")}.TouchesPreferencesOnly())
	require.False(t, po.ProfilePatch{AvatarURL: po.Set[*string](nil)}.TouchesPreferencesOnly())
}

func TestS67_EqualContent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other po.Content
		equal bool
	}{
		"Same":            {content(), true},
		"Name":            {with(func(c *po.Content) { c.DisplayName = "Grace" }), false},
		"Avatar":          {with(func(c *po.Content) { c.AvatarURL = ptr("https://b") }), false},
		"NoAvatar":        {with(func(c *po.Content) { c.AvatarURL = nil }), false},
		"NoGoal":          {with(func(c *po.Content) { c.LearningGoal = nil }), false},
		"QuotaZero":       {with(func(c *po.Content) { c.DailyQuotaMinutes = ptr(int32(0)) }), false},
		"NoQuota":         {with(func(c *po.Content) { c.DailyQuotaMinutes = nil }), false},
		"MoreExtra":       {with(func(c *po.Content) { c.Extra["new"] = false }), false},
		"LessExtra":       {with(func(c *po.Content) { delete(c.Extra, "x") }), false},
		"ExtraValue":      {with(func(c *po.Content) { c.Extra["x"] = 1.5 }), false},
		"ExtraType":       {with(func(c *po.Content) { c.Extra["x"] = "1" }), false},
		"ExtraInside":     {with(func(c *po.Content) { c.Extra["y"] = map[string]any{"z": 3.0} }), false},
		"ExtraSameInside": {with(func(c *po.Content) { c.Extra["y"] = map[string]any{"z": 2.0} }), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.equal, content().Equal(c.other))
			require.Equal(t, c.equal, c.other.Equal(content()))
		})
	}
}

func TestS67_NegativeZeroIsStoredAsZero(t *testing.T) {
	t.Parallel()
	zero, negative := content(), content()
	zero.Extra["n"], negative.Extra["n"] = []any{0.0}, []any{math.Copysign(0, -1)}
	require.True(t, zero.Equal(negative))
}

func TestS68_ChangesNameFieldsWithOldAndNew(t *testing.T) {
	t.Parallel()
	before := content().Preferences
	after := po.Preferences{LearningGoal: nil, DailyQuotaMinutes: ptr(int32(20)), Extra: map[string]any{"x": 1.0, "w": true}}
	require.Equal(t, []po.PreferenceChange{
		{Field: "daily_quota_minutes", Old: 10.0, New: 20.0},
		{Field: "extra.w", Old: nil, New: true},
		{Field: "extra.y", Old: map[string]any{"z": 2.0}, New: nil},
		{Field: "learning_goal", Old: "A1", New: nil},
	}, before.Changes(after))
	require.Empty(t, before.Changes(content().Preferences))
}
