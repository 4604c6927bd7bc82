package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 678901000, time.UTC)

func at(d time.Duration) *time.Time {
	moment := now.Add(d)
	return &moment
}

func date(year int) *time.Time {
	moment := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	return &moment
}

func TestS5_WithoutATimeTheDatabaseClockDecides(t *testing.T) {
	t.Parallel()
	// What the client thinks of the time does not matter then.
	for _, clientNow := range []*time.Time{nil, at(time.Hour), at(-time.Hour)} {
		got, err := models.ClaimedTime{ClientNow: clientNow}.Effective(now.Add(999))
		require.NoError(t, err)
		require.Equal(t, models.Effective{At: now, Live: true}, got, "in microseconds")
	}
}

func TestS5_ClaimedTimes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		occurred, client *time.Time
		want             *time.Time
	}{
		"past":                                {at(-time.Hour), nil, at(-time.Hour)},
		"exactly now":                         {at(0), nil, at(0)},
		"a little ahead is now":               {at(time.Second), nil, at(0)},
		"5 minutes ahead is now":              {at(5 * time.Minute), nil, at(0)},
		"year 2000":                           {date(2000), nil, date(2000)},
		"below a microsecond is cut":          {at(-time.Second + 999), nil, at(-time.Second)},
		"client clock right":                  {at(-time.Minute), at(0), at(-time.Minute)},
		"client 2 s ahead is not corrected":   {at(-time.Minute), at(2 * time.Second), at(-time.Minute)},
		"client over 2 s ahead is corrected":  {at(-time.Minute), at(2*time.Second + time.Microsecond), at(-time.Minute - 2*time.Second - time.Microsecond)},
		"client an hour ahead is corrected":   {at(time.Hour), at(time.Hour), at(0)},
		"client an hour behind is corrected":  {at(-time.Hour), at(-time.Hour), at(0)},
		"client 2 s behind is not corrected":  {at(-time.Minute), at(-2 * time.Second), at(-time.Minute)},
		"corrected into the future is now":    {at(-time.Minute), at(-time.Minute - 3*time.Second), at(0)},
		"another zone is the same moment":     {inZone(at(-time.Hour)), nil, at(-time.Hour)},
		"ahead but right by the client clock": {at(10 * time.Minute), at(10 * time.Minute), at(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := models.ClaimedTime{OccurredAt: tc.occurred, ClientNow: tc.client}.Effective(now)
			require.NoError(t, err)
			require.Equal(t, models.Effective{At: *tc.want}, got)
		})
	}
}

func inZone(moment *time.Time) *time.Time {
	moved := moment.In(time.FixedZone("far", 13*60*60))
	return &moved
}

func TestS5_RefusedTimes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		occurred, client *time.Time
		want             *models.Error
	}{
		"over 5 minutes ahead":              {at(5*time.Minute + time.Microsecond), nil, models.ErrOccurredAtInFuture},
		"year 9999":                         {date(9999), nil, models.ErrOccurredAtInFuture},
		"ahead, by the client's clock too":  {at(time.Hour), at(time.Minute), models.ErrOccurredAtInFuture},
		"before 2000":                       {at(date(2000).Sub(now) - time.Microsecond), nil, models.ErrInvalidArgument},
		"year 1":                            {date(1), nil, models.ErrInvalidArgument},
		"corrected to before 2000":          {date(2000), at(time.Hour), models.ErrInvalidArgument},
		"client clock at the end of time":   {at(0), date(9999), models.ErrInvalidArgument},
		"client clock at the start of time": {at(0), date(1), models.ErrOccurredAtInFuture},
		"both as far apart as they can be":  {date(9999), date(1), models.ErrOccurredAtInFuture},
		"both as far apart, the other way":  {date(1), date(9999), models.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := models.ClaimedTime{OccurredAt: tc.occurred, ClientNow: tc.client}.Effective(now)
			require.ErrorIs(t, err, tc.want)
			require.Zero(t, got)
			var known *models.Error
			require.ErrorAs(t, err, &known)
			require.Len(t, known.Violations, 1)
			require.Equal(t, "occurred_at", known.Violations[0].Field)
		})
	}
}

func TestS8_TimesAreNamedByTheFieldTheyCameIn(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{now.Add(time.Hour), models.Earliest.Add(-time.Second)} {
		for given, want := range map[string]string{"": "occurred_at", "progress.last_watched_at": "progress.last_watched_at"} {
			_, err := models.ClaimedTime{OccurredAt: &at, ClientNow: &now, Field: given}.Effective(now)
			var refused *models.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Violations[0].Field)
		}
	}
}
