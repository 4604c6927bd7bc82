package test

import (
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/test/testkit"
	"github.com/lingo-services/profile/test/testkit/workload"
)

// admitting is for tests of admission, whatever else is switched off. Calls that share no transaction would need more connections.
func admitting(conf *confpb.Bootstrap) { conf.Admission.Enabled, conf.Coalescing.Enabled = true, true }

// perProcessor is what is configured by default; testkit's services allow more, which run beside other tests.
const perProcessor = 64

func pressed(conf *confpb.Bootstrap) {
	admitting(conf)
	conf.Admission.RunnablePerProcessor = perProcessor
}

// While processors have more to do than they can, calls are refused where they come in, on both transports; whoever asks
// whether the service is alive is answered.
func TestT13_CallsAreRefusedWhereTheyComeInUnderPress(t *testing.T) {
	s := testkit.New(t, pressed)
	user := testkit.NewUser()
	client := s.AsUser(user)
	get := func() error {
		_, err := client.GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: user.String()})
		return err
	}
	require.Equal(t, string(models.ReasonProfileNotFound), reasonText(get()))

	stop := sync.OnceFunc(workload.Busy(2000 * runtime.GOMAXPROCS(0)))
	defer stop()
	var refusal error
	require.Eventually(t, func() bool {
		refusal = get()
		return reasonText(refusal) == string(models.ReasonOverloaded)
	}, time.Minute, time.Millisecond)
	var problem answer
	require.Eventually(t, func() bool {
		problem = ask(t, s, http.MethodGet, me, "", asUser(user)...)
		return problem.code == http.StatusTooManyRequests
	}, time.Minute, time.Millisecond)
	health, err := grpc_health_v1.NewHealthClient(s.Conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	stop()

	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, health.GetStatus())
	told := testkit.RequireError(t, refusal, codes.ResourceExhausted, models.ReasonOverloaded)
	require.Positive(t, told.Retry.GetRetryDelay().AsDuration())
	require.Equal(t, models.ReasonOverloaded, models.Reason(problem.problem.Reason))
	require.NotEmpty(t, problem.header.Get("Retry-After"))
	require.Eventually(t, func() bool { return reasonText(get()) == string(models.ReasonProfileNotFound) }, time.Minute, time.Millisecond)
}

// Each connection of REST has a goroutine: that as many are busy as gRPC would take for a crowd is no reason to refuse.
func TestT13_BusyConnectionsOfRESTAreNoPress(t *testing.T) {
	s := testkit.New(t, pressed)
	user := testkit.NewUser()
	client := s.AsUser(user)
	stop := workload.Busy(2 * perProcessor * runtime.GOMAXPROCS(0))
	defer stop()
	require.Eventually(t, func() bool {
		_, err := client.GetProfile(t.Context(), &profilev1.GetProfileRequest{UserId: user.String()})
		return reasonText(err) == string(models.ReasonOverloaded)
	}, time.Minute, time.Millisecond)
	for range 20 {
		require.Equal(t, http.StatusNotFound, ask(t, s, http.MethodGet, me, "", asUser(user)...).code)
	}
}
