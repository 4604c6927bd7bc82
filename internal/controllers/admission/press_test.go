package admission_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/test/testkit/workload"
)

func TestT13_APressIsLookedAtOnceAMillisecond(t *testing.T) {
	t.Parallel()
	now, runnable, looks := time.Unix(1, 0), 10, 0
	press := admission.NewPress(10, func() int { looks++; return runnable }, func() time.Time { return now })
	require.False(t, press.Crowded(1), "as many as may be")
	runnable = 11
	require.False(t, press.Crowded(1), "seen just now")
	require.Equal(t, 1, looks)
	now = now.Add(time.Millisecond)
	require.True(t, press.Crowded(1))
	require.False(t, press.Crowded(2), "for whom twice as many may wait")
	runnable = 0
	require.True(t, press.Crowded(1))
	now = now.Add(time.Millisecond)
	require.False(t, press.Crowded(1))
	require.Equal(t, 3, looks)
}

func TestT13_GoroutinesThatWaitForAProcessorAreCounted(t *testing.T) {
	stop := workload.Busy(1000)
	require.Eventually(t, func() bool { return admission.Runnable() > 500 }, 10*time.Second, time.Millisecond)
	stop()
	require.Eventually(t, func() bool { return admission.Runnable() < 100 }, 10*time.Second, time.Millisecond)
}

// What comes while processors have more to do than they can is refused before it costs anything, and counted at its
// gate.
func TestT13_ArrivalsAreRefusedUnderPress(t *testing.T) {
	seen := &counts{refused: map[string]int{}}
	open := admission.Options{Slots: 10, PerUser: 10, MaxWait: time.Second}
	doors := admission.NewDoors(admission.Settings{Enabled: true, Reads: open, Updates: open, Shared: open, SharedReads: open, Runnable: 100}, seen)
	require.True(t, doors.Arrive(admission.Shared, 1))
	stop := workload.Busy(1000)
	require.Eventually(t, func() bool { return !doors.Arrive(admission.Shared, 1) }, 10*time.Second, time.Millisecond)
	stop()
	require.Equal(t, map[string]int{admission.Pressed: 1}, seen.refused)
	require.Eventually(t, func() bool { return doors.Arrive(admission.Shared, 1) }, 10*time.Second, time.Millisecond)
}

func TestT13_DoorsThatAreOffLetEverybodyArrive(t *testing.T) {
	stop := workload.Busy(1000)
	defer stop()
	doors := admission.NewDoors(admission.Settings{Runnable: 1}, &counts{})
	for range 100 {
		require.True(t, doors.Arrive(admission.Reads, 1))
	}
}
